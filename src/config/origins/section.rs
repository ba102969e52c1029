//! The shape of an entry of `origins`: which keys there are, and of what type.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderName;

use super::address::{AddressSection, addresses};
use crate::config::domain::{Domain, domain};
use crate::config::error::{Fault, Located, Location, Reported, quoted};
use crate::config::file::{DAY, MILLISECOND, duration, located_list};
use crate::config::identity::IdentitySection;
use crate::config::keys::KeySection;
use crate::config::named_file::located_path;
use crate::config::reader::{Mapping, Value, integer, is_name};
use crate::config::text;
use crate::origins::Balance;

const SECOND: Duration = Duration::from_secs(1);

/// An origin as it was written; `None` where the file is silent.
pub(in crate::config) struct OriginSection {
    pub name: String,
    pub at: Location,
    pub domain: Option<Result<Located<Domain>, Reported>>,
    pub addresses: Option<Located<Vec<Result<AddressSection, Reported>>>>,
    pub balance: Option<Balance>,
    pub http: Option<Located<HttpWord>>,
    pub http2: Http2Section,
    pub tls: Option<TlsSection>,
    pub connect_timeout: Option<Duration>,
    pub first_byte_timeout: Option<Located<Duration>>,
    pub read_timeout: Option<Duration>,
    pub write_timeout: Option<Duration>,
    pub total_timeout: Option<Duration>,
    pub idle_timeout: Option<Duration>,
    pub resolve_interval: Option<Duration>,
    pub tcp_keepalive: KeepaliveSection,
    pub health_check: Option<HealthCheckSection>,
    pub ejection: Option<EjectionSection>,
    pub retries: Option<RetriesSection>,
    pub max_in_flight: Option<usize>,
    pub queue: Option<Located<usize>>,
    pub queue_timeout: Option<Located<Duration>>,
    pub secret_header: Option<Result<SecretHeaderSection, Reported>>,
    pub approov: Option<ApproovOfOrigin>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum HttpWord {
    H1,
    H2,
    H2c,
}

pub(in crate::config) struct Http2Section {
    pub at: Option<Location>,
    pub max_streams: Option<usize>,
    pub ping_interval: Option<Duration>,
}

#[derive(Default)]
pub(in crate::config) struct TlsSection {
    pub at: Option<Location>,
    pub server_name: Option<Located<Box<str>>>,
    pub ca_file: Option<Located<PathBuf>>,
    pub client_certificate: Option<Result<IdentitySection, Reported>>,
}

pub(in crate::config) struct KeepaliveSection {
    pub idle: Option<Duration>,
    pub interval: Option<Duration>,
    pub count: Option<usize>,
}

pub(in crate::config) struct HealthCheckSection {
    pub kind: Option<Located<CheckWord>>,
    pub path: Option<Located<Box<str>>>,
    pub statuses: Option<Located<Vec<RangeInclusive<u16>>>>,
    pub interval: Option<Duration>,
    pub timeout: Option<Duration>,
    pub healthy_threshold: Option<usize>,
    pub unhealthy_threshold: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum CheckWord {
    Tcp,
    Http,
}

pub(in crate::config) struct EjectionSection {
    pub connect_failures: Option<usize>,
    pub timeouts: Option<usize>,
    pub errors: Option<usize>,
    pub base_time: Option<Duration>,
    pub max_time: Option<Located<Duration>>,
}

pub(in crate::config) struct RetriesSection {
    pub attempts: Option<usize>,
    pub on: Option<Vec<RetryWord>>,
    pub budget_percent: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum RetryWord {
    Error,
    Timeout,
    Status(u16),
}

pub(in crate::config) struct SecretHeaderSection {
    pub name: Located<HeaderName>,
    pub value_file: Located<PathBuf>,
    pub next_value_file: Option<Located<PathBuf>>,
}

/// What is asked of the tokens of this origin's requests, in place of what `approov` says.
pub(in crate::config) struct ApproovOfOrigin {
    pub keys: Result<Located<Vec<Result<KeySection, Reported>>>, Reported>,
    pub issuers: Option<Vec<String>>,
    pub audiences: Option<Vec<String>>,
}

impl OriginSection {
    /// An entry that says nothing.
    pub fn silent(name: &str, at: Location) -> Self {
        Self {
            name: name.to_owned(),
            at,
            domain: None,
            addresses: None,
            balance: None,
            http: None,
            http2: Http2Section { at: None, max_streams: None, ping_interval: None },
            tls: None,
            connect_timeout: None,
            first_byte_timeout: None,
            read_timeout: None,
            write_timeout: None,
            total_timeout: None,
            idle_timeout: None,
            resolve_interval: None,
            tcp_keepalive: KeepaliveSection { idle: None, interval: None, count: None },
            health_check: None,
            ejection: None,
            retries: None,
            max_in_flight: None,
            queue: None,
            queue_timeout: None,
            secret_header: None,
            approov: None,
        }
    }

    /// Reads the entry, but none of the files that it names.
    pub fn read(name: &str, value: &Value<'_>, folder: &Path) -> Self {
        if !is_name(name) {
            value.problem("this is not a name for an origin", "write 1 to 32 letters, digits, -, _ or .");
        }
        let origin = value.mapping(&[
            "domain",
            "addresses",
            "balance",
            "http",
            "http2",
            "tls",
            "secret_header",
            "approov",
            "connect_timeout",
            "first_byte_timeout",
            "read_timeout",
            "write_timeout",
            "total_timeout",
            "idle_timeout",
            "resolve_interval",
            "tcp_keepalive",
            "health_check",
            "ejection",
            "retries",
            "max_in_flight",
            "queue",
            "queue_timeout",
        ]);
        let timeout = |key| origin.read(key, |value| duration(value, MILLISECOND..=DAY));
        let domain = origin.find("domain").map(|value| value.parse(domain));
        Self {
            name: name.to_owned(),
            at: value.at().clone(),
            addresses: addresses(&origin, folder),
            domain,
            balance: origin.read("balance", |value| value.word(&Balance::ALL)),
            http: origin.read("http", |value| located(value, |value| value.word(&HTTP))),
            http2: http2(&origin),
            tls: origin.find("tls").map(|value| tls(value, folder)),
            connect_timeout: timeout("connect_timeout"),
            first_byte_timeout: located_timeout(&origin, "first_byte_timeout"),
            read_timeout: timeout("read_timeout"),
            write_timeout: timeout("write_timeout"),
            total_timeout: timeout("total_timeout"),
            idle_timeout: timeout("idle_timeout"),
            resolve_interval: origin.read("resolve_interval", |value| duration(value, SECOND..=DAY)),
            tcp_keepalive: keepalive(&origin),
            health_check: origin.find("health_check").map(health_check),
            ejection: origin.find("ejection").map(ejection),
            retries: origin.find("retries").map(retries),
            max_in_flight: origin.read("max_in_flight", |value| value.integer(1..=1_000_000)),
            queue: origin.read("queue", |value| located(value, |value| value.integer(0..=100_000))),
            queue_timeout: located_timeout(&origin, "queue_timeout"),
            secret_header: origin.find("secret_header").map(|value| secret_header(value, folder)),
            approov: origin.find("approov").map(|value| approov(value, folder)),
        }
    }
}

const HTTP: [(&str, HttpWord); 3] = [("h1", HttpWord::H1), ("h2", HttpWord::H2), ("h2c", HttpWord::H2c)];

/// A value with its place.
fn located<'t, T>(
    value: &Value<'t>,
    read: impl FnOnce(&Value<'t>) -> Result<T, Reported>,
) -> Result<Located<T>, Reported> {
    Ok(Located { value: read(value)?, at: value.at().clone() })
}

fn located_timeout(origin: &Mapping<'_>, key: &'static str) -> Option<Located<Duration>> {
    origin.read(key, |value| located(value, |value| duration(value, MILLISECOND..=DAY)))
}

fn http2(origin: &Mapping<'_>) -> Http2Section {
    let http2 = origin.section("http2", &["max_streams", "ping_interval"]);
    Http2Section {
        at: origin.find("http2").map(|value| value.at().clone()),
        max_streams: http2.read("max_streams", |value| value.integer(1..=10_000)),
        ping_interval: http2.read("ping_interval", |value| duration(value, SECOND..=DAY)),
    }
}

fn tls(value: &Value<'_>, folder: &Path) -> TlsSection {
    let tls = value.mapping(&["server_name", "ca_file", "client_certificate"]);
    TlsSection {
        at: Some(value.at().clone()),
        server_name: tls.read("server_name", |value| value.parse(text::server_name)),
        ca_file: tls.read("ca_file", |value| located_path(value, folder)),
        client_certificate: tls.find("client_certificate").map(|value| IdentitySection::read(value, folder)),
    }
}

fn keepalive(origin: &Mapping<'_>) -> KeepaliveSection {
    let keepalive = origin.section("tcp_keepalive", &["idle", "interval", "count"]);
    let seconds = |key| keepalive.read(key, |value| duration(value, SECOND..=DAY));
    KeepaliveSection {
        idle: seconds("idle"),
        interval: seconds("interval"),
        count: keepalive.read("count", |value| value.integer(1..=100)),
    }
}

fn health_check(value: &Value<'_>) -> HealthCheckSection {
    let check = value.mapping(&[
        "type",
        "path",
        "statuses",
        "interval",
        "timeout",
        "healthy_threshold",
        "unhealthy_threshold",
    ]);
    let words = [("tcp", CheckWord::Tcp), ("http", CheckWord::Http)];
    let threshold = |key| check.read(key, |value| value.integer(1..=100));
    HealthCheckSection {
        kind: check.read("type", |value| located(value, |value| value.word(&words))),
        path: check.read("path", |value| value.parse(check_path)),
        statuses: check.find("statuses").and_then(|value| {
            if value.is_empty_list() {
                value.problem("the list is empty", "write the good statuses, or remove the key for 200-299");
            }
            let ranges = value.list_of(|item| item.parse(statuses).map(|found| found.value))?;
            Some(Located { value: ranges, at: value.at().clone() })
        }),
        interval: check.read("interval", |value| duration(value, Duration::from_millis(100)..=DAY)),
        timeout: check.read("timeout", |value| duration(value, MILLISECOND..=DAY)),
        healthy_threshold: threshold("healthy_threshold"),
        unhealthy_threshold: threshold("unhealthy_threshold"),
    }
}

fn check_path(text: &str) -> Result<Box<str>, Fault> {
    if text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        Ok(text.into())
    } else {
        Err(Fault::new(format!("{} is not a path", quoted(text)), "write one such as /healthz"))
    }
}

/// One status, or the first and the last of several.
fn statuses(text: &str) -> Result<RangeInclusive<u16>, Fault> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let status = |text: &str| integer(text, 100..=599).ok().and_then(|status| u16::try_from(status).ok());
    match (status(first), status(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => Err(Fault::new(
            format!("{} is neither a status nor a range of them", quoted(text)),
            "write one such as 204 or 200-299",
        )),
    }
}

fn ejection(value: &Value<'_>) -> EjectionSection {
    let ejection = value.mapping(&["connect_failures", "timeouts", "errors", "base_time", "max_time"]);
    let count = |key| ejection.read(key, |value| value.integer(0..=1000));
    EjectionSection {
        connect_failures: count("connect_failures"),
        timeouts: count("timeouts"),
        errors: count("errors"),
        base_time: ejection.read("base_time", |value| duration(value, MILLISECOND..=DAY)),
        max_time: ejection
            .read("max_time", |value| located(value, |value| duration(value, MILLISECOND..=DAY))),
    }
}

fn retries(value: &Value<'_>) -> RetriesSection {
    let retries = value.mapping(&["attempts", "on", "budget"]);
    let words = [
        ("error", RetryWord::Error),
        ("timeout", RetryWord::Timeout),
        ("http_502", RetryWord::Status(502)),
        ("http_503", RetryWord::Status(503)),
        ("http_504", RetryWord::Status(504)),
    ];
    RetriesSection {
        attempts: retries.read("attempts", |value| value.integer(1..=3)),
        on: retries.find("on").and_then(|value| {
            if value.is_empty_list() {
                value.problem("the list is empty", "write what is retried, or remove retries");
            }
            value.list_of(|item| item.word(&words))
        }),
        budget_percent: retries.read("budget", |value| value.parse(percent).map(|found| found.value)),
    }
}

fn percent(text: &str) -> Result<usize, Fault> {
    text.strip_suffix('%').and_then(|digits| integer(digits, 1..=100).ok()).ok_or_else(|| {
        Fault::new(format!("{} is not a share from 1% to 100%", quoted(text)), "write one such as 20%")
    })
}

fn secret_header(value: &Value<'_>, folder: &Path) -> Result<SecretHeaderSection, Reported> {
    let secret = value.mapping(&["name", "value_file", "next_value_file"]);
    let name = match secret.find("name") {
        Some(name) => name.parse(text::header_name),
        None => Err(secret.missing("name", "write one such as name: X-Origin-Secret")),
    };
    let value_file = match secret.find("value_file") {
        Some(file) => located_path(file, folder),
        None => Err(secret.missing("value_file", "name a file with the secret and nothing else")),
    };
    let next_value_file = secret.read("next_value_file", |value| located_path(value, folder));
    Ok(SecretHeaderSection { name: name?, value_file: value_file?, next_value_file })
}

fn approov(value: &Value<'_>, folder: &Path) -> ApproovOfOrigin {
    let approov = value.mapping(&["keys", "issuers", "audiences"]);
    let keys = located_list(&approov, "keys", |value| KeySection::read(value, folder));
    ApproovOfOrigin {
        keys: keys.ok_or_else(|| approov.missing("keys", "list the keys, as approov.keys does")),
        issuers: text::names(&approov, "issuers"),
        audiences: text::names(&approov, "audiences"),
    }
}
