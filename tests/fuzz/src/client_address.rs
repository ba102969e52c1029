//! Property: for any peer, trusted ranges and values of the field with the client's address, only values
//! of trusted proxies count.
//!
//! The first line of an input has the name of the source, the peer and the trusted ranges, separated by
//! spaces. Each further line is a value of the field.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use approov_gateway::trusted_proxies::proxy_protocol::{ProxiedConnection, ProxyHeader};
use approov_gateway::trusted_proxies::{ClientAddressSource, TrustedProxies};
use ipnet::IpNet;

use super::ranges::{is_in, number};

/// An address outside of every trusted range, unless all addresses are trusted.
const STRANGER: &str = "203.0.113.9";

/// Checks the property of this module.
///
/// # Panics
/// If the property does not hold.
pub fn holds(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let Some(Ok(first)) = lines.next().map(std::str::from_utf8) else { return };
    let mut words = first.split(' ');
    let (Some(name), Some(Ok(peer))) = (words.next(), words.next().map(str::parse::<IpAddr>)) else { return };
    let source = ClientAddressSource::ALL.into_iter().find(|(label, _)| *label == name);
    let Some((_, source)) = source else { return };
    let ranges: Vec<IpNet> = words.filter_map(range).collect();
    let proxies = TrustedProxies::new(ranges.clone(), source);
    let values: Vec<&[u8]> = lines.collect();

    let trusts = |address: IpAddr| {
        ranges.iter().any(|range| is_in(number(address), number(range.addr()), range.prefix_len().into()))
    };
    let (is_trusted, own) = (trusts(peer), peer.to_canonical());
    assert_eq!(proxies.trusts(peer), is_trusted);
    let told = match source {
        ClientAddressSource::XForwardedFor => last_told(&values, trusts),
        ClientAddressSource::Field(_) if values.len() == 1 => address(values[0]),
        ClientAddressSource::Field(_) | ClientAddressSource::ProxyProtocol => None,
    };
    let expected = told.filter(|_| is_trusted).unwrap_or(own);
    let client = |values: &[&[u8]]| proxies.client_of_request(peer, values.iter().copied());
    assert_eq!(client(&values), expected);
    assert_eq!(expected.to_canonical(), expected);

    // Only the value that the proxy appends counts.
    let stranger: IpAddr = STRANGER.parse().expect("an address");
    let is_list = source == ClientAddressSource::XForwardedFor;
    if is_list && is_trusted && !trusts(stranger) {
        let last = [values.last().copied().unwrap_or_default(), b", ", STRANGER.as_bytes()].concat();
        let before = &values[..values.len().saturating_sub(1)];
        assert_eq!(client(&[before, &[&last[..]]].concat()), stranger);
        assert_eq!(client(&[&values[..], &[STRANGER.as_bytes()]].concat()), stranger);
    }

    let end = SocketAddr::new(stranger, 1);
    let header = ProxyHeader {
        length: 0,
        endpoints: Some(ProxiedConnection { source: end, destination: end }),
        is_local: false,
    };
    let is_believed = source == ClientAddressSource::ProxyProtocol && is_trusted;
    let of_connection = if is_believed { stranger } else { own };
    assert_eq!(proxies.client_of_connection(peer, &header), of_connection);
    assert_eq!(proxies.client_of_connection(peer, &ProxyHeader { endpoints: None, ..header }), own);
}

/// A range that the configuration accepts: no host bits, and IPv4 in IPv4 notation.
fn range(text: &str) -> Option<IpNet> {
    let range: IpNet = text.parse().ok()?;
    let is_mapped = matches!(range, IpNet::V6(range) if range.addr().to_ipv4_mapped().is_some());
    (range.trunc() == range && !is_mapped).then_some(range)
}

/// The client according to a list, read from its beginning.
fn last_told(values: &[&[u8]], trusts: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    enum Told {
        Nothing,
        Nonsense,
        Address(IpAddr),
    }
    let mut told = Told::Nothing;
    for hop in values.join(&b',').split(|byte| *byte == b',') {
        if hop.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        told = match (address(hop), told) {
            (None, _) => Told::Nonsense,
            (Some(address), Told::Nothing) => Told::Address(address),
            (Some(address), told) if trusts(address) => told,
            (Some(address), _) => Told::Address(address),
        };
    }
    match told {
        Told::Address(address) => Some(address),
        Told::Nothing | Told::Nonsense => None,
    }
}

/// Parses an address alone, in brackets, or with a port, by the standard library.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim_matches([' ', '\t', '\n', '\r', '\x0c']);
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok();
    // A zone has a meaning on its own machine only.
    let with_port = || text.parse::<SocketAddr>().ok().filter(|_| !text.contains('%'));
    let address = text.parse::<IpAddr>().ok();
    let address = address.or_else(|| in_brackets().map(IpAddr::V6)).or_else(|| Some(with_port()?.ip()));
    address.map(|address| address.to_canonical())
}
