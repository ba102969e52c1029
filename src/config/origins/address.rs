//! Where an origin is connected to: the list `addresses`, or the domain itself.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::SocketAddr as UnixAddress;
use std::path::Path;

use crate::config::domain::{Domain, host_and_port};
use crate::config::error::{Fault, Located, Report, Reported, quoted};
use crate::config::reader::{Mapping, Value};
use crate::origins::{OriginAddress, Target};

const UNIX: &str = "unix:";

/// An entry of `addresses`.
pub(in crate::config) struct AddressSection {
    target: Located<Written>,
    weight: Option<usize>,
}

/// An address whose port may be that of the domain.
enum Written {
    Whole(Target),
    Host(Box<str>),
}

/// Reads the list.
pub(super) fn addresses(
    origin: &Mapping<'_>,
    folder: &Path,
) -> Option<Located<Vec<Result<AddressSection, Reported>>>> {
    let value = origin.find("addresses")?;
    if value.is_empty_list() {
        value.problem("the list is empty", "write where to connect, or remove the key to use the domain");
    }
    let items = match value.list() {
        Ok(items) => items?.iter().map(|item| address(item, folder)).collect(),
        Err(reported) => vec![Err(reported)],
    };
    Some(Located { value: items, at: value.at().clone() })
}

fn address(value: &Value<'_>, folder: &Path) -> Result<AddressSection, Reported> {
    if !value.is_mapping() {
        return Ok(AddressSection { target: value.parse(|text| written(text, folder))?, weight: None });
    }
    let mapping = value.mapping(&["address", "weight"]);
    let weight = mapping.read("weight", |value| value.integer(1..=100));
    match mapping.find("address") {
        Some(value) => Ok(AddressSection { target: value.parse(|text| written(text, folder))?, weight }),
        None => Err(mapping.missing("address", "write one such as address: 192.0.2.1:8443")),
    }
}

fn written(text: &str, folder: &Path) -> Result<Written, Fault> {
    if let Some(path) = text.strip_prefix(UNIX) {
        let whole = folder.join(path);
        return match UnixAddress::from_pathname(&whole) {
            Ok(_) if !path.is_empty() => Ok(Written::Whole(Target::Unix(whole))),
            Ok(_) | Err(_) => Err(Fault::new(
                format!("{} cannot be the path of a socket", quoted(text)),
                "write one of at most 107 bytes, such as unix:/run/api.sock",
            )),
        };
    }
    if text.contains("://") {
        let mend = "remove the scheme; it is that of the domain";
        return Err(Fault::new(format!("{} has a scheme", quoted(text)), mend));
    }
    let (host, port) = host_and_port(text)?;
    Ok(match port {
        Some(port) => Written::Whole(target(host, port)),
        None => Written::Host(host),
    })
}

/// What is connected to: the list, or else the domain. No address twice.
pub(super) fn resolve(
    list: Option<Located<Vec<Result<AddressSection, Reported>>>>,
    domain: &Domain,
    report: &Report,
) -> Result<Vec<OriginAddress>, Reported> {
    let Some(Located { value: list, .. }) = list else {
        let target = target(domain.host.clone(), domain.port);
        return Ok(vec![OriginAddress { target, weight: 1 }]);
    };
    let mut addresses: Vec<OriginAddress> = Vec::with_capacity(list.len());
    for section in list {
        let AddressSection { target: Located { value: written, at }, weight } = section?;
        let target = match written {
            Written::Whole(target) => target,
            Written::Host(host) => target(host, domain.port),
        };
        if addresses.iter().any(|other| other.target == target) {
            report.problem(&at, format!("{target} is listed twice"), "list it once, with a weight");
        }
        addresses.push(OriginAddress { target, weight: weight.unwrap_or(1) });
    }
    // An empty list has been reported.
    if addresses.is_empty() { Err(Reported) } else { Ok(addresses) }
}

fn target(host: Box<str>, port: u16) -> Target {
    match host.parse::<IpAddr>() {
        Ok(address) => Target::Socket(SocketAddr::new(address, port)),
        Err(_) => Target::Name { host, port },
    }
}
