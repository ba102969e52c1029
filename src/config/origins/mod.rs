//! Origins: their domains and addresses, defaults, and what looks like a mistake.
//!
//! `section` reads an entry as it was written, `address` and `files` what takes more than a line,
//! and here it becomes an [`Origin`].

mod address;
mod files;
mod section;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use http::HeaderName;

pub(super) use section::{ApproovOfOrigin, OriginSection};

use crate::origins::{
    Balance, Capacity, CheckKind, Ejection, HealthCheck, Keepalive, Origin, OriginAddress, OriginHttp,
    OriginTimeouts, Retries, Target,
};

use super::domain::Domain;
use super::error::{Located, Location, Report, Reported, quoted};
use super::listeners::collide;
use super::reader::list_names;
use section::{
    CheckWord, EjectionSection, HealthCheckSection, Http2Section, HttpWord, KeepaliveSection, RetriesSection,
    RetryWord,
};

const DEFAULT_MAX_STREAMS: usize = 100;
const DEFAULT_QUEUE: usize = 100;
const DEFAULT_QUEUE_TIMEOUT: Duration = Duration::from_secs(1);

/// An origin under its name, with the place of its domain.
pub(super) struct NamedOrigin {
    pub name: String,
    pub origin: Result<Located<Origin>, Reported>,
    /// Tokens that its requests need in place of the usual ones.
    pub approov: Option<ApproovOfOrigin>,
}

impl NamedOrigin {
    /// One of which no more is known.
    fn unread(origin: Result<Located<Origin>, Reported>) -> Self {
        Self { name: "api".to_owned(), origin, approov: None }
    }
}

/// The origins of the file, or the one that API_DOMAIN makes.
pub(super) fn origins(
    sections: Option<Result<Vec<OriginSection>, Reported>>,
    variable: Option<Result<Located<Domain>, Reported>>,
    whole: &Location,
    report: &Report,
) -> Vec<NamedOrigin> {
    let sections = match sections {
        Some(Ok(sections)) => sections,
        Some(Err(reported)) => return vec![NamedOrigin::unread(Err(reported))],
        None => Vec::new(),
    };
    if let (Some(Ok(domain)), true) = (&variable, sections.len() > 1) {
        let names = list_names(sections.iter().map(|section| section.name.as_str()));
        let message = format!("the file has several origins ({names})");
        report.problem(&domain.at, message, "set their domains in the file, and unset the variable");
    }
    if sections.is_empty() {
        let domain = variable.unwrap_or_else(|| {
            let mend =
                "set API_DOMAIN to the protected API, such as api.example.com, or write origins in a file";
            Err(report.problem(whole, "there is no origin", mend))
        });
        let section = OriginSection::silent("api", whole.clone());
        return vec![NamedOrigin::unread(domain.and_then(|domain| new_origin(section, domain, report)))];
    }
    let variable = if sections.len() == 1 { variable } else { None };
    sections.into_iter().map(|section| named_origin(section, variable.clone(), report)).collect()
}

fn named_origin(
    mut section: OriginSection,
    variable: Option<Result<Located<Domain>, Reported>>,
    report: &Report,
) -> NamedOrigin {
    if let (Some(Ok(domain)), Some(addresses)) = (&variable, &section.addresses) {
        let message = format!("requests for {} go to the addresses of the file", domain.value.host);
        report.warning(&domain.at, message, format!("remove {} if that is wrong", addresses.at.name()));
    }
    let domain = variable.or(section.domain.take()).unwrap_or_else(|| {
        let mend = "write domain: and host, host:port or URL (or set API_DOMAIN, if this is the only origin)";
        Err(report.problem(&section.at, "domain is missing", mend))
    });
    let approov = section.approov.take();
    let name = section.name.clone();
    NamedOrigin { name, origin: domain.and_then(|domain| new_origin(section, domain, report)), approov }
}

fn new_origin(
    section: OriginSection,
    domain: Located<Domain>,
    report: &Report,
) -> Result<Located<Origin>, Reported> {
    let Located { value: domain, at } = domain;
    let http = http(section.http.as_ref(), &section.http2, domain.tls, report);
    let timeouts = timeouts(&section, http, report);
    let addresses = address::resolve(section.addresses, &domain, report);
    if let Ok(addresses) = &addresses {
        warn_of_network(&domain, addresses, &at, report);
    }
    let tls = match (domain.tls, section.tls) {
        (true, section) => files::tls(section, &domain.host, http, &at, report).map(Some),
        (false, Some(tls)) => {
            let at = tls.at.as_ref().unwrap_or(&at);
            Err(report.problem(at, "the domain is http://, where there is no TLS", "write https://"))
        }
        (false, None) => Ok(None),
    };
    let secret_header = match section.secret_header {
        Some(section) => files::secret_header(&section?, report).map(Some),
        None => Ok(None),
    };
    let health_check = section.health_check.map(|check| health_check(check, report)).transpose();
    let ejection =
        section.ejection.map_or_else(Ejection::default, |ejection| self::ejection(&ejection, report));
    let capacity = capacity(section.max_in_flight, section.queue, section.queue_timeout, report);
    let Domain { host, port, tls: _, authority } = domain;
    let origin = Origin {
        name: section.name.into(),
        host,
        port,
        authority,
        addresses: addresses?,
        balance: section.balance.unwrap_or(Balance::RoundRobin),
        tls: tls?,
        http,
        timeouts,
        resolve_interval: section.resolve_interval.unwrap_or(Origin::RESOLVE_INTERVAL),
        keepalive: keepalive(&section.tcp_keepalive),
        health_check: health_check?,
        ejection,
        retries: section.retries.map(retries),
        capacity,
        secret_header: secret_header?,
    };
    Ok(Located { value: origin, at })
}

fn http(written: Option<&Located<HttpWord>>, http2: &Http2Section, tls: bool, report: &Report) -> OriginHttp {
    let h2 = OriginHttp::H2 {
        max_streams: http2.max_streams.unwrap_or(DEFAULT_MAX_STREAMS),
        ping_interval: http2.ping_interval,
    };
    let wrong = |at: &Location, message, mend| {
        report.problem(at, message, mend);
        h2
    };
    match written {
        Some(Located { value: HttpWord::H2, at }) if !tls => {
            wrong(at, "the domain is http://, and h2 is HTTP/2 over TLS", "write h2c, or https://")
        }
        Some(Located { value: HttpWord::H2c, at }) if tls => {
            wrong(at, "the domain has TLS, and h2c is HTTP/2 without", "write h2, or http://")
        }
        Some(Located { value: HttpWord::H2 | HttpWord::H2c, .. }) => h2,
        Some(Located { value: HttpWord::H1, .. }) | None => {
            if let Some(at) = &http2.at {
                report.warning(at, "HTTP/1.1 is spoken, so that this has no effect", "write http: h2");
            }
            OriginHttp::H1
        }
    }
}

fn timeouts(section: &OriginSection, http: OriginHttp, report: &Report) -> OriginTimeouts {
    let default = OriginTimeouts::default();
    let read = section.read_timeout.unwrap_or(default.read);
    if let Some(Located { value: first_byte, at }) = &section.first_byte_timeout {
        if http != OriginHttp::H1 {
            let mend = "remove it; read_timeout is the limit";
            report.problem(at, "it is not supported with HTTP/2", mend);
        } else if *first_byte > read {
            let mend = "read_timeout is the limit for any silence: raise it, or lower this";
            report.problem(at, "it is longer than read_timeout", mend);
        }
    }
    OriginTimeouts {
        connect: section.connect_timeout.unwrap_or(default.connect),
        first_byte: section.first_byte_timeout.as_ref().map(|first_byte| first_byte.value),
        read,
        write: section.write_timeout.unwrap_or(default.write),
        total: section.total_timeout,
        idle: section.idle_timeout.unwrap_or(default.idle),
    }
}

fn keepalive(section: &KeepaliveSection) -> Keepalive {
    let default = Keepalive::default();
    Keepalive {
        idle: section.idle.unwrap_or(default.idle),
        interval: section.interval.unwrap_or(default.interval),
        count: section.count.unwrap_or(default.count),
    }
}

fn health_check(section: HealthCheckSection, report: &Report) -> Result<HealthCheck, Reported> {
    let word = section.kind.as_ref().map(|kind| kind.value);
    let kind = match (word, section.path, section.statuses) {
        (Some(CheckWord::Tcp), Some(Located { at, .. }), _)
        | (Some(CheckWord::Tcp), None, Some(Located { at, .. })) => {
            Err(report.problem(&at, "it does not go with type: tcp", "remove it, or write type: http"))
        }
        (None, None, Some(Located { at, .. })) => {
            Err(report.problem(&at, "there are statuses and no path", "write path:, such as path: /healthz"))
        }
        (Some(CheckWord::Tcp) | None, None, None) => Ok(CheckKind::Tcp),
        (Some(CheckWord::Http) | None, path, statuses) => Ok(CheckKind::Http {
            path: path.map_or("/".into(), |path| path.value),
            statuses: statuses.map_or_else(|| vec![200..=299], |statuses| statuses.value),
        }),
    };
    Ok(HealthCheck {
        kind: kind?,
        interval: section.interval.unwrap_or(Duration::from_secs(5)),
        timeout: section.timeout.unwrap_or(Duration::from_secs(2)),
        healthy_threshold: section.healthy_threshold.unwrap_or(2),
        unhealthy_threshold: section.unhealthy_threshold.unwrap_or(3),
    })
}

fn ejection(section: &EjectionSection, report: &Report) -> Ejection {
    let default = Ejection::default();
    let base_time = section.base_time.unwrap_or(default.base_time);
    let max_time = section.max_time.as_ref().map_or(default.max_time, |max_time| max_time.value);
    if let (Some(Located { at, .. }), true) = (&section.max_time, max_time < base_time) {
        report.problem(at, "it is shorter than base_time", "raise it, or lower base_time");
    }
    Ejection {
        single: true,
        connect_failures: section.connect_failures.unwrap_or(default.connect_failures),
        timeouts: section.timeouts.unwrap_or(default.timeouts),
        errors: section.errors.unwrap_or(default.errors),
        base_time,
        max_time: max_time.max(base_time),
    }
}

fn retries(section: RetriesSection) -> Retries {
    let on = section.on.unwrap_or_else(|| vec![RetryWord::Error]);
    let status = |word: &RetryWord| match word {
        RetryWord::Status(status) => Some(*status),
        RetryWord::Error | RetryWord::Timeout => None,
    };
    Retries {
        attempts: section.attempts.unwrap_or(1),
        on_error: on.contains(&RetryWord::Error),
        on_timeout: on.contains(&RetryWord::Timeout),
        statuses: on.iter().filter_map(status).collect(),
        budget_percent: section.budget_percent.unwrap_or(20),
    }
}

fn capacity(
    max_in_flight: Option<usize>,
    queue: Option<Located<usize>>,
    queue_timeout: Option<Located<Duration>>,
    report: &Report,
) -> Option<Capacity> {
    let Some(max_in_flight) = max_in_flight else {
        let places = queue.map(|queue| queue.at).into_iter().chain(queue_timeout.map(|timeout| timeout.at));
        for at in places {
            report.problem(&at, "nothing waits without max_in_flight", "write max_in_flight, or remove it");
        }
        return None;
    };
    Some(Capacity {
        max_in_flight,
        queue: queue.map_or(DEFAULT_QUEUE, |queue| queue.value),
        queue_timeout: queue_timeout.map_or(DEFAULT_QUEUE_TIMEOUT, |timeout| timeout.value),
    })
}

fn warn_of_network(domain: &Domain, addresses: &[OriginAddress], at: &Location, report: &Report) {
    let stays_here = |address: &OriginAddress| match &address.target {
        Target::Socket(address) => address.ip().is_loopback(),
        Target::Name { host, .. } => &**host == "localhost" || host.ends_with(".localhost"),
        Target::Unix(_) => true,
    };
    if !domain.tls && !addresses.iter().all(stays_here) {
        let message = format!("requests travel to {} without TLS", domain.host);
        report.warning(at, message, "use https://, unless the network in between is your own");
    }
    if domain.tls && domain.port == 80 {
        report.warning(at, "TLS is spoken on port 80", "write http:// if the origin has no TLS there");
    }
}

/// An origin that is the gateway itself would be asked forever.
pub(super) fn check_loops(origins: &[NamedOrigin], listeners: &[Located<SocketAddr>], report: &Report) {
    for Located { value: origin, at } in origins.iter().filter_map(|named| named.origin.as_ref().ok()) {
        let sockets = origin.addresses.iter().filter_map(|address| match &address.target {
            Target::Socket(socket) => Some(*socket),
            Target::Name { host, port } if &**host == "localhost" => {
                Some((IpAddr::V4(Ipv4Addr::LOCALHOST), *port).into())
            }
            Target::Name { .. } | Target::Unix(_) => None,
        });
        for socket in sockets {
            let is_self = |listener: &&Located<SocketAddr>| {
                let any = listener.value.ip().is_unspecified();
                let is_here = listener.value == socket || (any && socket.ip().is_loopback());
                collide(listener.value, socket) && is_here
            };
            if let Some(listener) = listeners.iter().find(is_self) {
                let message = format!("the origin is the gateway's own listener {}", listener.value);
                report.problem(at, message, "name the protected API, or move one of them to another port");
            }
        }
    }
}

/// A field that the gateway adds cannot also be one that it verifies.
pub(super) fn check_secret_headers(origins: &[NamedOrigin], verified: &[&HeaderName], report: &Report) {
    for Located { value: origin, at } in origins.iter().filter_map(|named| named.origin.as_ref().ok()) {
        let Some(secret) = &origin.secret_header else { continue };
        let next = secret.next.iter().map(|(name, _)| name);
        if let Some(name) = next.chain([&secret.name]).find(|name| verified.contains(name)) {
            let message = format!("{} also carries what is verified", quoted(name.as_str()));
            report.problem(at, message, "choose another name for secret_header");
        }
    }
}
