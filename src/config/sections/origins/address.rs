//! `addresses`: where an origin is connected to.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::SocketAddr as UnixAddress;
use std::path::Path;

use crate::config::document::{
    Entries, Fault, Kind, Located, Report, Reported, Section, Shape, Value, Written, custom, default, list,
    nested, number, quoted, required, section,
};
use crate::config::values::{Domain, host_and_port};
use crate::origins::{OriginAddress, Target};

const UNIX: &str = "unix:";
const IF_EMPTY: &str = "write where to connect, or remove the key to use the domain";

section! {
    /// An address with its options.
    pub struct AddressEntry {
        /// Host, host:port, or `unix:` and the path of a socket.
        address: Located<WrittenAddress> = required(
            custom(|value| value.parse(|text| parse(text, value.folder())), || Shape::text("address")),
            "write one such as address: 192.0.2.1:8443",
        ),
        /// The share of the requests, relative to the other addresses.
        weight: usize = default(number(1..=100), 1),
    }
}

/// An address whose port may be that of the domain.
enum WrittenAddress {
    Whole(Target),
    Host(Box<str>),
}

/// The kind of the whole list.
pub fn addresses() -> impl Kind<Value = Entries<AddressEntry>> {
    let shape = || Shape::Either(vec![Shape::text("address"), Shape::Section(AddressEntry::specs())]);
    list(custom(entry, shape)).not_empty(IF_EMPTY)
}

fn entry(value: &Value<'_>) -> Result<AddressEntry, Reported> {
    if value.is_mapping() {
        return nested::<AddressEntry>().read(value);
    }
    let address = value.parse(|text| parse(text, value.folder()))?;
    Ok(AddressEntry { address: value.located(address), weight: 1 })
}

fn parse(text: &str, folder: &Path) -> Result<WrittenAddress, Fault> {
    if let Some(path) = text.strip_prefix(UNIX) {
        let whole = folder.join(path);
        return match UnixAddress::from_pathname(&whole) {
            Ok(_) if !path.is_empty() => Ok(WrittenAddress::Whole(Target::Unix(whole))),
            Ok(_) | Err(_) => Err(Fault::new(
                format!("{} cannot be the path of a socket", quoted(text)),
                "write one of at most 107 bytes, such as unix:/run/api.sock",
            )),
        };
    }
    if text.contains("://") {
        let hint = "remove the scheme; it is that of the domain";
        return Err(Fault::new(format!("{} has a scheme", quoted(text)), hint));
    }
    let (host, port) = host_and_port(text)?;
    Ok(match port {
        Some(port) => WrittenAddress::Whole(target(host, port)),
        None => WrittenAddress::Host(host),
    })
}

/// The addresses of the list, or else of the domain. Each address once.
pub fn resolve(
    list: Written<Entries<AddressEntry>>,
    domain: &Domain,
    report: &Report,
) -> Result<Vec<OriginAddress>, Reported> {
    let Some(list) = list.checked()? else {
        let target = target(domain.host.clone(), domain.port);
        return Ok(vec![OriginAddress { target, weight: 1 }]);
    };
    let mut addresses: Vec<OriginAddress> = Vec::with_capacity(list.value.len());
    for entry in list.value {
        let AddressEntry { address: Located { value: written, at }, weight } = entry?.value;
        let target = match written {
            WrittenAddress::Whole(target) => target,
            WrittenAddress::Host(host) => target(host, domain.port),
        };
        if addresses.iter().any(|other| other.target == target) {
            report.problem(&at, format!("{target} is listed twice"), "list it once, with a weight");
        }
        addresses.push(OriginAddress { target, weight });
    }
    Ok(addresses)
}

fn target(host: Box<str>, port: u16) -> Target {
    match host.parse::<IpAddr>() {
        Ok(address) => Target::Socket(SocketAddr::new(address, port)),
        Err(_) => Target::Name { host, port },
    }
}
