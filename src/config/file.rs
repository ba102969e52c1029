//! The shape of the configuration file: which keys there are, and of what type.
//!
//! What one value alone can tell is checked here; what takes several, in `resolve` and `routes`.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};

use crate::approov::{MissingClaim, Strategy};
use crate::limits::Limit;
use crate::policy::{HostPattern, Policy};

use super::AccessLog;
use super::error::{Fault, Located, Location, Reported, quoted};
use super::keys::KeySection;
use super::limits::{self, LimitsSection};
use super::listeners::ListenerSection;
use super::named_file::{located_path, path};
use super::origins::OriginSection;
use super::reader::{Mapping, THREADS, Value};
use super::text::{self, STRATEGIES};

pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
pub(super) const MILLISECOND: Duration = Duration::from_millis(1);
const MAX_LEEWAY: Duration = Duration::from_secs(5 * 60);
const POOL_SIZES: RangeInclusive<usize> = 1..=100_000;
const TOKEN_LENGTHS: RangeInclusive<usize> = 256..=64 * 1024;

/// The file as it was written; `None` and empty lists where it is silent.
#[derive(Default)]
pub(super) struct File {
    pub server: ServerSection,
    pub listeners: Option<Vec<Result<ListenerSection, Reported>>>,
    pub admin: Option<Result<Located<SocketAddr>, Reported>>,
    pub approov: ApproovSection,
    pub rejection: RejectionSection,
    pub origins: Option<Result<Vec<OriginSection>, Reported>>,
    pub routes: Option<Located<Vec<Result<RouteSection, Reported>>>>,
    pub limits: LimitsSection,
    pub log: LogSection,
}

#[derive(Default)]
pub(super) struct ServerSection {
    pub threads: Option<usize>,
    pub grace_period: Option<Duration>,
    pub pid_file: Option<PathBuf>,
    pub upgrade_sock: Option<PathBuf>,
    pub upstream_keepalive_pool_size: Option<usize>,
    pub user: Option<Located<String>>,
    pub group: Option<Located<String>>,
    pub watch: Option<bool>,
}

#[derive(Default)]
pub(super) struct LogSection {
    pub access: Option<AccessLog>,
    pub file: Option<Located<PathBuf>>,
}

#[derive(Default)]
pub(super) struct ApproovSection {
    pub token_header: Option<Located<HeaderName>>,
    pub token_prefix: Option<String>,
    pub forward_token: Option<bool>,
    pub max_token_length: Option<usize>,
    pub keys: Option<Located<Vec<Result<KeySection, Reported>>>>,
    pub strategy: Option<Strategy>,
    pub binding_headers: Option<Vec<Located<HeaderName>>>,
    pub binding_claim: Option<Located<String>>,
    pub missing_claim: Option<MissingClaim>,
    pub leeway: Option<Duration>,
    pub issuers: Option<Vec<String>>,
    pub audiences: Option<Vec<String>>,
}

#[derive(Default)]
pub(super) struct RejectionSection {
    pub status: Option<StatusCode>,
    pub content_type: Option<HeaderValue>,
    pub body: Option<String>,
}

pub(super) struct RouteSection {
    pub at: Location,
    pub name: Option<Located<String>>,
    pub path: Located<Box<str>>,
    pub kind: Option<PathMatch>,
    pub methods: Vec<Box<str>>,
    pub hosts: Vec<HostPattern>,
    pub policy: Option<Policy>,
    pub strategy: Option<Located<Strategy>>,
    pub origin: Option<Located<String>>,
    pub rates: Vec<Located<Limit>>,
    pub body_bytes: Option<u64>,
}

/// How a route's path is compared.
#[derive(Clone, Copy)]
pub(super) enum PathMatch {
    Exact,
    Prefix,
}

/// Reads the whole file. Relative paths in it begin at `folder`.
pub(super) fn read(root: &Value<'_>, folder: &Path) -> File {
    let root = root.mapping(&[
        "server",
        "listeners",
        "admin",
        "approov",
        "rejection",
        "origins",
        "routes",
        "limits",
        "log",
    ]);
    File {
        server: server(&root, folder),
        listeners: root
            .read("listeners", Value::list)
            .flatten()
            .map(|list| list.iter().map(|value| ListenerSection::read(value, folder)).collect()),
        admin: root
            .section("admin", &["address"])
            .find("address")
            .map(|value| value.parse(text::listen_address)),
        approov: approov(&root, folder),
        rejection: rejection(&root),
        origins: root.find("origins").map(|origins| {
            let entries = origins.entries()?;
            Ok(entries.iter().map(|(name, value)| OriginSection::read(name, value, folder)).collect())
        }),
        routes: located_list(&root, "routes", route),
        limits: limits::read(&root, folder),
        log: log(&root, folder),
    }
}

fn log(root: &Mapping<'_>, folder: &Path) -> LogSection {
    let log = root.section("log", &["access", "access_file"]);
    LogSection {
        access: log.read("access", |value| value.word(&[("json", AccessLog::Json), ("off", AccessLog::Off)])),
        file: log.read("access_file", |value| located_path(value, folder)),
    }
}

/// A list whose entries that cannot be used are still counted.
pub(super) fn located_list<'t, T>(
    mapping: &Mapping<'t>,
    key: &'static str,
    read: impl Fn(&Value<'t>) -> Result<T, Reported>,
) -> Option<Located<Vec<Result<T, Reported>>>> {
    let value = mapping.find(key)?;
    let items = match value.list() {
        Ok(items) => items?.iter().map(read).collect(),
        Err(reported) => vec![Err(reported)],
    };
    Some(Located { value: items, at: value.at().clone() })
}

fn server(root: &Mapping<'_>, folder: &Path) -> ServerSection {
    let keys = &[
        "threads",
        "pid_file",
        "upgrade_sock",
        "grace_period",
        "upstream_keepalive_pool_size",
        "user",
        "group",
        "watch",
    ];
    let server = root.section("server", keys);
    ServerSection {
        threads: server.read("threads", |value| value.integer(THREADS)),
        grace_period: server.read("grace_period", |value| duration(value, Duration::ZERO..=DAY)),
        pid_file: server.read("pid_file", |value| path(value, folder)),
        upgrade_sock: server.read("upgrade_sock", |value| path(value, folder)),
        upstream_keepalive_pool_size: server
            .read("upstream_keepalive_pool_size", |value| value.integer(POOL_SIZES)),
        user: server.read("user", |value| value.parse(text::printable)),
        group: server.read("group", |value| value.parse(text::printable)),
        watch: server.read("watch", Value::boolean),
    }
}

fn approov(root: &Mapping<'_>, folder: &Path) -> ApproovSection {
    let approov = root.section(
        "approov",
        &[
            "token_header",
            "token_prefix",
            "forward_token",
            "max_token_length",
            "keys",
            "strategy",
            "binding",
            "leeway",
            "issuers",
            "audiences",
        ],
    );
    let binding = approov.section("binding", &["headers", "claim", "missing_claim"]);
    ApproovSection {
        token_header: approov.read("token_header", |value| value.parse(text::header_name)),
        token_prefix: approov
            .read("token_prefix", |value| value.parse(text::token_prefix))
            .map(|prefix| prefix.value),
        forward_token: approov.read("forward_token", Value::boolean),
        max_token_length: approov.read("max_token_length", |value| value.integer(TOKEN_LENGTHS)),
        keys: located_list(&approov, "keys", |value| KeySection::read(value, folder)),
        strategy: approov.read("strategy", |value| value.word(&STRATEGIES)),
        binding_headers: binding.find("headers").and_then(|headers| {
            let names = headers.list_of(|name| name.parse(text::header_name))?;
            if headers.is_empty_list() {
                headers.problem("the list is empty", "name a header, or remove the key for Authorization");
            }
            Some(names)
        }),
        binding_claim: binding.read("claim", |value| value.parse(text::binding_claim)),
        missing_claim: binding.read("missing_claim", |value| {
            value.word(&[("reject", MissingClaim::Reject), ("accept", MissingClaim::Accept)])
        }),
        leeway: approov.read("leeway", |value| duration(value, Duration::ZERO..=MAX_LEEWAY)),
        issuers: text::names(&approov, "issuers"),
        audiences: text::names(&approov, "audiences"),
    }
}

fn rejection(root: &Mapping<'_>) -> RejectionSection {
    let rejection = root.section("rejection", &["status", "content_type", "body"]);
    RejectionSection {
        status: rejection.read("status", |value| {
            let status = value.integer(400..=499)?;
            u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok()).ok_or(Reported)
        }),
        content_type: rejection
            .read("content_type", |value| value.parse(content_type))
            .map(|content_type| content_type.value),
        body: rejection.read("body", Value::text).map(str::to_owned),
    }
}

fn content_type(text: &str) -> Result<HeaderValue, Fault> {
    match HeaderValue::from_str(text) {
        Ok(value) if text.is_ascii() && text.contains('/') => Ok(value),
        _ => Err(Fault::new(
            format!("{} is not a media type", quoted(text)),
            "write one such as application/json or text/plain; charset=utf-8",
        )),
    }
}

fn route(value: &Value<'_>) -> Result<RouteSection, Reported> {
    let keys = &["path", "match", "methods", "hosts", "policy", "strategy", "origin", "name", "limits"];
    let route = value.mapping(keys);
    let limits = route.section("limits", &["rate", "body_bytes"]);
    let path = match route.find("path") {
        Some(path) => path.parse(text::route_path),
        None => Err(route.missing("path", "write one such as path: /v1/")),
    };
    let policies = Policy::ALL.map(|policy| (policy.label(), policy));
    let section = RouteSection {
        at: route.at().clone(),
        name: route.read("name", |value| value.parse(text::printable)),
        path: path.clone().unwrap_or_else(|Reported| Located { value: "/".into(), at: route.at().clone() }),
        kind: route
            .read("match", |value| value.word(&[("exact", PathMatch::Exact), ("prefix", PathMatch::Prefix)])),
        methods: conditions(&route, "methods", text::method),
        hosts: conditions(&route, "hosts", text::host_pattern),
        policy: route.read("policy", |value| value.word(&policies)),
        strategy: route.read("strategy", |value| value.parse(|text| super::reader::word(text, &STRATEGIES))),
        origin: route.read("origin", |value| value.parse(|text| Ok(text.to_owned()))),
        rates: limits.find("rate").and_then(limits::of_route).unwrap_or_default(),
        body_bytes: limits.read("body_bytes", limits::body_bytes),
    };
    path.map(|_| section)
}

/// A route's list of conditions. An empty one would take nothing, or everything: who knows.
fn conditions<T>(route: &Mapping<'_>, key: &'static str, parse: fn(&str) -> Result<T, Fault>) -> Vec<T> {
    let Some(value) = route.find(key) else { return Vec::new() };
    if value.is_empty_list() {
        value.problem("the list is empty", "write what the route takes, or remove the key to take any");
    }
    let read = |item: &Value<'_>| item.parse(parse).map(|found| found.value);
    value.list_of(read).unwrap_or_default()
}

pub(super) fn duration(value: &Value<'_>, range: RangeInclusive<Duration>) -> Result<Duration, Reported> {
    value.parse(|text| text::duration(text, range)).map(|duration| duration.value)
}
