//! The shape of the configuration file: which keys there are, and of what type.
//!
//! What one value alone can tell is checked here; what takes several, in `resolve` and `routes`.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};

use crate::approov::{MissingClaim, Strategy};
use crate::policy::{HostPattern, Policy};

use super::AccessLog;
use super::domain::{Domain, domain};
use super::error::{Fault, Located, Location, Reported, quoted};
use super::keys::KeySection;
use super::reader::{Mapping, THREADS, Value, is_name, path};
use super::text::{self, STRATEGIES};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MILLISECOND: Duration = Duration::from_millis(1);
const MAX_LEEWAY: Duration = Duration::from_secs(5 * 60);
const TOKEN_LENGTHS: RangeInclusive<usize> = 256..=64 * 1024;

/// The file as it was written; `None` and empty lists where it is silent.
#[derive(Default)]
pub(super) struct File {
    pub server: ServerSection,
    pub listeners: Option<Vec<Result<Located<SocketAddr>, Reported>>>,
    pub admin: Option<Result<Located<SocketAddr>, Reported>>,
    pub approov: ApproovSection,
    pub rejection: RejectionSection,
    pub origins: Option<Result<Vec<OriginSection>, Reported>>,
    pub routes: Option<Located<Vec<Result<RouteSection, Reported>>>>,
    pub access_log: Option<AccessLog>,
}

#[derive(Default)]
pub(super) struct ServerSection {
    pub threads: Option<usize>,
    pub grace_period: Option<Duration>,
    pub pid_file: Option<PathBuf>,
    pub upgrade_sock: Option<PathBuf>,
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

pub(super) struct OriginSection {
    pub name: String,
    pub at: Location,
    pub domain: Option<Result<Located<Domain>, Reported>>,
    pub connect_timeout: Option<Duration>,
    pub read_timeout: Option<Duration>,
    pub write_timeout: Option<Duration>,
    pub idle_timeout: Option<Duration>,
    pub resolve_interval: Option<Duration>,
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
    if let Some(limits) = root.find("limits") {
        for (_, limit) in limits.entries().unwrap_or_default() {
            limit.problem("this is not supported in this version", "remove it");
        }
    }
    File {
        server: server(&root, folder),
        listeners: root
            .read("listeners", Value::list)
            .flatten()
            .map(|list| list.iter().map(listener).collect()),
        admin: root
            .section("admin", &["address"])
            .find("address")
            .map(|value| value.parse(text::listen_address)),
        approov: approov(&root, folder),
        rejection: rejection(&root),
        origins: root
            .find("origins")
            .map(|origins| Ok(origins.entries()?.iter().map(|(name, value)| origin(name, value)).collect())),
        routes: located_list(&root, "routes", route),
        access_log: root
            .section("log", &["access"])
            .read("access", |value| value.word(&[("json", AccessLog::Json), ("off", AccessLog::Off)])),
    }
}

/// A list whose entries that cannot be used are still counted.
fn located_list<'t, T>(
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
    let keys = &["threads", "pid_file", "upgrade_sock", "grace_period", "user", "group"];
    let server = root.section("server", keys);
    server.unsupported("user");
    server.unsupported("group");
    ServerSection {
        threads: server.read("threads", |value| value.integer(THREADS)),
        grace_period: server.read("grace_period", |value| duration(value, Duration::ZERO..=DAY)),
        pid_file: server.read("pid_file", |value| path(value, folder)),
        upgrade_sock: server.read("upgrade_sock", |value| path(value, folder)),
    }
}

fn listener(value: &Value<'_>) -> Result<Located<SocketAddr>, Reported> {
    let listener = value.mapping(&["address", "tls"]);
    listener.unsupported("tls");
    match listener.find("address") {
        Some(address) => address.parse(text::listen_address),
        None => Err(listener.missing("address", "write one such as address: 127.0.0.1:8787")),
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
    let names = |key| {
        let list = approov.find(key)?;
        if list.is_empty_list() {
            list.problem("the list is empty", "write what is accepted, or remove the key to accept any");
        }
        let names = list.list_of(|name| name.parse(text::printable))?;
        Some(names.into_iter().map(|name| name.value).collect())
    };
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
        issuers: names("issuers"),
        audiences: names("audiences"),
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

fn origin(name: &str, value: &Value<'_>) -> OriginSection {
    if !is_name(name) {
        value.problem("this is not a name for an origin", "write 1 to 32 letters, digits, -, _ or .");
    }
    let origin = value.mapping(&[
        "domain",
        "connect_timeout",
        "read_timeout",
        "write_timeout",
        "idle_timeout",
        "resolve_interval",
    ]);
    let timeout = |key| origin.read(key, |value| duration(value, MILLISECOND..=DAY));
    OriginSection {
        name: name.to_owned(),
        at: value.at().clone(),
        domain: origin.find("domain").map(|value| value.parse(domain)),
        connect_timeout: timeout("connect_timeout"),
        read_timeout: timeout("read_timeout"),
        write_timeout: timeout("write_timeout"),
        idle_timeout: timeout("idle_timeout"),
        resolve_interval: origin
            .read("resolve_interval", |value| duration(value, Duration::from_secs(1)..=DAY)),
    }
}

fn route(value: &Value<'_>) -> Result<RouteSection, Reported> {
    let route = value.mapping(&["path", "match", "methods", "hosts", "policy", "strategy", "origin", "name"]);
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

fn duration(value: &Value<'_>, range: RangeInclusive<Duration>) -> Result<Duration, Reported> {
    value.parse(|text| text::duration(text, range)).map(|duration| duration.value)
}
