//! `origins`: the protected APIs.
//!
//! `section` declares the keys of an origin, `address` and `files` resolve what takes more than a
//! line, and this file makes an [`Origin`] of it. `checks` compares origins with listeners and with
//! the verified headers.

mod address;
mod checks;
mod files;
mod section;

use std::time::Duration;

use super::approov::OriginApproovSection;
use crate::config::document::{Located, Location, Report, Reported, Section, Written, list_names, usable};
use crate::config::values::Domain;
use crate::origins::{
    Capacity, CheckKind, Ejection, HealthCheck, Origin, OriginAddress, OriginHttp, OriginTimeouts, Retries,
    Target,
};

pub use checks::{check_authorities, check_loops, check_secret_headers, secret_headers};
pub use files::{MAX_CA_FILE, authorities_in};
pub use section::OriginSection;

use section::{CheckWord, HealthCheckSection, Http2Section, HttpVersion, QUEUE, RetriesSection, RetryOn};

/// What `origins` has: names, each with its section.
pub type OriginSections = Vec<(String, Result<Located<OriginSection>, Reported>)>;

/// An origin under its name, with the place of its domain.
pub struct NamedOrigin {
    pub name: String,
    pub origin: Result<Located<Origin>, Reported>,
    /// Verification of its tokens; `None` if it is that of `approov`.
    pub approov: Option<Result<Located<OriginApproovSection>, Reported>>,
}

impl NamedOrigin {
    /// The origin of a configuration that names none, or none that can be read.
    fn unnamed(origin: Result<Located<Origin>, Reported>) -> Self {
        Self { name: "api".to_owned(), origin, approov: None }
    }
}

/// The origins of the file, or the one that `API_DOMAIN` makes.
pub fn origins(
    sections: Written<OriginSections>,
    variable: Option<Result<Located<Domain>, Reported>>,
    whole: &Location,
    report: &Report,
) -> Vec<NamedOrigin> {
    let sections = match sections.checked() {
        Ok(sections) => sections.map_or(Vec::new(), |sections| sections.value),
        Err(reported) => return vec![NamedOrigin::unnamed(Err(reported))],
    };
    if let (Some(Ok(domain)), true) = (&variable, sections.len() > 1) {
        let names = list_names(sections.iter().map(|(name, _)| name.as_str()));
        let message = format!("the file has several origins ({names})");
        report.problem(&domain.at, message, "set their domains in the file, and unset the variable");
    }
    if sections.is_empty() {
        let domain = variable.unwrap_or_else(|| {
            let hint =
                "set API_DOMAIN to the protected API, such as api.example.com, or write origins in a file";
            Err(report.problem(whole, "there is no origin", hint))
        });
        let section = OriginSection::unwritten(whole.clone(), report);
        let origin = domain.and_then(|domain| origin("api".to_owned(), section?, domain, report));
        return vec![NamedOrigin::unnamed(origin)];
    }
    let variable = if sections.len() == 1 { variable } else { None };
    let named = |(name, section): (String, _)| named_origin(name, section, variable.clone(), report);
    sections.into_iter().map(named).collect()
}

fn named_origin(
    name: String,
    section: Result<Located<OriginSection>, Reported>,
    variable: Option<Result<Located<Domain>, Reported>>,
    report: &Report,
) -> NamedOrigin {
    let Located { value: mut section, at } = match section {
        Ok(section) => section,
        Err(reported) => return NamedOrigin { name, origin: Err(reported), approov: None },
    };
    if let (Some(Ok(domain)), Some(addresses)) = (&variable, section.addresses.get()) {
        let message = format!("requests for {} go to the addresses of the file", domain.value.host);
        report.warning(&domain.at, message, format!("remove {} if that is wrong", addresses.at.name()));
    }
    let domain = match (variable, std::mem::take(&mut section.domain).checked()) {
        (Some(variable), _) => variable,
        (None, Ok(Some(domain))) => Ok(domain),
        (None, Err(reported)) => Err(reported),
        (None, Ok(None)) => {
            let hint =
                "write domain: and host, host:port or URL (or set API_DOMAIN, if this is the only origin)";
            Err(report.problem(&at, "domain is missing", hint))
        }
    };
    let approov = std::mem::take(&mut section.approov).checked().transpose();
    let origin = domain.and_then(|domain| origin(name.clone(), section, domain, report));
    NamedOrigin { name, origin, approov }
}

fn origin(
    name: String,
    section: OriginSection,
    domain: Located<Domain>,
    report: &Report,
) -> Result<Located<Origin>, Reported> {
    let Located { value: domain, at } = domain;
    let timeouts = timeouts(&section, report);
    let http = http(section.http.get(), section.http2, domain.tls, &at, report);
    if let (Some(first_byte), true) = (section.first_byte_timeout.get(), http != OriginHttp::H1) {
        let hint = "remove it; read_timeout is the limit";
        report.problem(&first_byte.at, "it is not supported with HTTP/2", hint);
    }
    let addresses = address::resolve(section.addresses, &domain, report);
    if let Ok(addresses) = &addresses {
        warn_of_network(&domain, addresses, &at, report);
    }
    let tls = section.tls.checked().and_then(|tls| match (domain.tls, tls) {
        (true, tls) => files::tls(tls.map(|tls| tls.value), &domain.host, http, &at, report).map(Some),
        (false, Some(tls)) => {
            Err(report.problem(&tls.at, "the domain is http://, where there is no TLS", "write https://"))
        }
        (false, None) => Ok(None),
    });
    let secret_header = section.secret_header.checked();
    let secret_header =
        secret_header.and_then(|own| own.map(|own| files::secret_header(own.value, report)).transpose());
    let health_check = section.health_check.checked();
    let health_check =
        health_check.and_then(|check| check.map(|check| health_check_of(check.value, report)).transpose());
    // A configured ejection concerns an only address, too.
    let ejection = section.ejection.value().map(|ejection| Ejection { single: true, ..ejection });
    let capacity = capacity(section.max_in_flight, section.queue, section.queue_timeout, report);
    let Domain { host, port, tls: _, authority } = domain;
    let origin = Origin {
        name: name.into(),
        host,
        port,
        authority,
        addresses: addresses?,
        balance: section.balance,
        tls: tls?,
        http,
        timeouts,
        resolve_interval: section.resolve_interval,
        keepalive: section.tcp_keepalive,
        health_check: health_check?,
        ejection: ejection.unwrap_or_default(),
        retries: section.retries.value().map(retries),
        capacity,
        secret_header: secret_header?,
    };
    Ok(Located { value: origin, at })
}

fn http(
    version: Option<&Located<HttpVersion>>,
    http2: Written<Http2Section>,
    tls: bool,
    at: &Location,
    report: &Report,
) -> OriginHttp {
    let http2 = http2.located();
    if !matches!(version.map(|version| version.value), Some(HttpVersion::H2 | HttpVersion::H2c)) {
        if let Some(Located { at, .. }) = &http2 {
            report.warning(at, "HTTP/1.1 is spoken, so this has no effect", "write http: h2");
        }
        return OriginHttp::H1;
    }
    match version {
        Some(Located { value: HttpVersion::H2, at }) if !tls => {
            report.problem(at, "the domain is http://, and h2 is HTTP/2 over TLS", "write h2c, or https://");
        }
        Some(Located { value: HttpVersion::H2c, at }) if tls => {
            report.problem(at, "the domain has TLS, and h2c is HTTP/2 without", "write h2, or http://");
        }
        _ => {}
    }
    let http2 = http2.map_or_else(|| Http2Section::unwritten(at.clone(), report), |http2| Ok(http2.value));
    http2.map_or(OriginHttp::H1, |http2| OriginHttp::H2 {
        max_streams: http2.max_streams,
        ping_interval: http2.ping_interval.value(),
    })
}

fn timeouts(section: &OriginSection, report: &Report) -> OriginTimeouts {
    let first_byte = section.first_byte_timeout.get();
    if let Some(Located { value, at }) = first_byte
        && *value > section.read_timeout
        && !matches!(section.http.get().map(|http| http.value), Some(HttpVersion::H2 | HttpVersion::H2c))
    {
        let hint = "read_timeout is the limit for any silence: raise it, or lower this";
        report.problem(at, "it is longer than read_timeout", hint);
    }
    OriginTimeouts {
        connect: section.connect_timeout,
        first_byte: first_byte.map(|first_byte| first_byte.value),
        read: section.read_timeout,
        write: section.write_timeout,
        total: section.total_timeout.get().map(|total| total.value),
        idle: section.idle_timeout,
    }
}

fn health_check_of(section: HealthCheckSection, report: &Report) -> Result<HealthCheck, Reported> {
    let word = section.kind.value();
    let kind = match (word, section.path.located(), section.statuses.located()) {
        (Some(CheckWord::Tcp), Some(Located { at, .. }), _)
        | (Some(CheckWord::Tcp), None, Some(Located { at, .. })) => {
            Err(report.problem(&at, "it does not go with type: tcp", "remove it, or write type: http"))
        }
        (None, None, Some(Located { value, at })) if value.iter().all(Result::is_ok) => {
            Err(report.problem(&at, "there are statuses and no path", "write path:, such as path: /healthz"))
        }
        (Some(CheckWord::Tcp) | None, None, _) => Ok(CheckKind::Tcp),
        (Some(CheckWord::Http) | None, path, statuses) => Ok(CheckKind::Http {
            path: path.map_or("/".into(), |path| path.value),
            statuses: statuses.map_or_else(|| vec![200..=299], |statuses| usable(statuses.value).collect()),
        }),
    };
    Ok(HealthCheck {
        kind: kind?,
        interval: section.interval,
        timeout: section.timeout,
        healthy_threshold: section.healthy_threshold,
        unhealthy_threshold: section.unhealthy_threshold,
    })
}

fn retries(section: RetriesSection) -> Retries {
    let on = section.on.value().map_or_else(|| vec![RetryOn::Error], |on| usable(on).collect());
    let status = |on: &RetryOn| match on {
        RetryOn::Status(status) => Some(*status),
        RetryOn::Error | RetryOn::Timeout => None,
    };
    Retries {
        attempts: section.attempts,
        on_error: on.contains(&RetryOn::Error),
        on_timeout: on.contains(&RetryOn::Timeout),
        statuses: on.iter().filter_map(status).collect(),
        budget_percent: section.budget,
    }
}

fn capacity(
    max_in_flight: Written<usize>,
    queue: Written<usize>,
    queue_timeout: Written<Duration>,
    report: &Report,
) -> Option<Capacity> {
    let (queue, queue_timeout) = (queue.located(), queue_timeout.located());
    let Some(max_in_flight) = max_in_flight.value() else {
        let places = queue.map(|queue| queue.at).into_iter().chain(queue_timeout.map(|timeout| timeout.at));
        for at in places {
            report.problem(&at, "nothing waits without max_in_flight", "write max_in_flight, or remove it");
        }
        return None;
    };
    Some(Capacity {
        max_in_flight,
        queue: queue.map_or(QUEUE.queue, |queue| queue.value),
        queue_timeout: queue_timeout.map_or(QUEUE.queue_timeout, |timeout| timeout.value),
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
