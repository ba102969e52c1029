//! Origins: their domains, defaults, and what looks like a mistake.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::domain::Domain;
use super::error::{Located, Location, Report, Reported};
use super::file::OriginSection;
use super::listeners::collide;
use super::reader::list_names;
use super::{Origin, OriginTimeouts};

const DEFAULT_TIMEOUTS: OriginTimeouts = OriginTimeouts {
    connect: Duration::from_secs(5),
    read: Duration::from_secs(60),
    write: Duration::from_secs(60),
    idle: Duration::from_secs(60),
};
const DEFAULT_RESOLVE_INTERVAL: Duration = Duration::from_secs(30);

/// An origin under its name, with the place of its domain.
pub(super) type NamedOrigin = (String, Result<Located<Origin>, Reported>);

/// The origins of the file, or the one that API_DOMAIN makes.
pub(super) fn origins(
    sections: Option<Result<Vec<OriginSection>, Reported>>,
    variable: Option<Result<Located<Domain>, Reported>>,
    whole: &Location,
    report: &Report,
) -> Vec<NamedOrigin> {
    let sections = match sections {
        Some(Ok(sections)) => sections,
        Some(Err(reported)) => return vec![("api".to_owned(), Err(reported))],
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
        let origin = domain
            .map(|domain| new_origin("api", domain, DEFAULT_TIMEOUTS, DEFAULT_RESOLVE_INTERVAL, report));
        return vec![("api".to_owned(), origin)];
    }
    let variable = if sections.len() == 1 { variable } else { None };
    sections.into_iter().map(|section| named_origin(section, variable.clone(), report)).collect()
}

fn named_origin(
    section: OriginSection,
    variable: Option<Result<Located<Domain>, Reported>>,
    report: &Report,
) -> NamedOrigin {
    let domain = variable.or(section.domain).unwrap_or_else(|| {
        let mend = "write domain: and host, host:port or URL (or set API_DOMAIN, if this is the only origin)";
        Err(report.problem(&section.at, "domain is missing", mend))
    });
    let timeouts = OriginTimeouts {
        connect: section.connect_timeout.unwrap_or(DEFAULT_TIMEOUTS.connect),
        read: section.read_timeout.unwrap_or(DEFAULT_TIMEOUTS.read),
        write: section.write_timeout.unwrap_or(DEFAULT_TIMEOUTS.write),
        idle: section.idle_timeout.unwrap_or(DEFAULT_TIMEOUTS.idle),
    };
    let interval = section.resolve_interval.unwrap_or(DEFAULT_RESOLVE_INTERVAL);
    let origin = domain.map(|domain| new_origin(&section.name, domain, timeouts, interval, report));
    (section.name, origin)
}

fn new_origin(
    name: &str,
    domain: Located<Domain>,
    timeouts: OriginTimeouts,
    resolve_interval: Duration,
    report: &Report,
) -> Located<Origin> {
    let Located { value: domain, at } = domain;
    if !domain.tls && !domain.is_loopback() {
        let message = format!("requests travel to {} without TLS", domain.host);
        report.warning(&at, message, "use https://, unless the network in between is your own");
    }
    if domain.tls && domain.port == 80 {
        report.warning(&at, "TLS is spoken on port 80", "write http:// if the origin has no TLS there");
    }
    let Domain { host, port, tls, authority } = domain;
    let origin = Origin { name: name.into(), host, port, tls, authority, timeouts, resolve_interval };
    Located { value: origin, at }
}

/// An origin that is the gateway itself would be asked forever.
pub(super) fn check_loops(origins: &[NamedOrigin], listeners: &[Located<SocketAddr>], report: &Report) {
    for Located { value: origin, at } in origins.iter().filter_map(|(_, origin)| origin.as_ref().ok()) {
        let address = match origin.host.parse::<IpAddr>() {
            Ok(address) => address,
            Err(_) if &*origin.host == "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Err(_) => continue,
        };
        let origin = SocketAddr::new(address, origin.port);
        let is_self = |listener: &&Located<SocketAddr>| {
            let any = listener.value.ip().is_unspecified();
            collide(listener.value, origin) && (listener.value == origin || (any && address.is_loopback()))
        };
        if let Some(listener) = listeners.iter().find(is_self) {
            let message = format!("the origin is the gateway's own listener {}", listener.value);
            report.problem(at, message, "name the protected API, or move one of them to another port");
        }
    }
}
