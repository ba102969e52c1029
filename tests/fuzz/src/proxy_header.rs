//! Property: the result for any bytes as a PROXY header does not depend on how they are split into reads,
//! and equals the result of a literal implementation of the specification.

use std::net::{IpAddr, SocketAddr};

use approov_gateway::trusted_proxies::proxy_protocol::{
    MAX_LENGTH, MalformedProxyHeader, ProxiedConnection, ProxyHeader, parse,
};

const MAX_LINE: usize = 107;
const BINARY: &[u8] = b"\x0D\x0A\x0D\x0A\x00\x0D\x0A\x51\x55\x49\x54\x0A";

/// Checks the property of this module.
///
/// # Panics
/// If the property does not hold.
pub fn holds(data: &[u8]) {
    let whole = parse(data);
    assert_eq!(whole, in_pieces(data));
    let expected = if data.starts_with(b"PROXY ") { line(data) } else { binary(data) };
    match whole {
        Ok(Some(header)) => {
            assert_eq!(Some(header), expected);
            // Bytes after the header belong to the client and change nothing.
            assert_eq!(parse(&data[..header.length]), whole);
            assert!(parse(&data[..header.length - 1]).is_ok_and(|header| header.is_none()));
            if let Some(endpoints) = header.endpoints {
                is_read_as_it_is_written(endpoints);
            }
        }
        Ok(None) => {
            assert_eq!(expected, None);
            let is_binary = data.starts_with(&BINARY[..data.len().min(BINARY.len())]);
            let is_line = data.starts_with(&b"PROXY "[..data.len().min(6)]);
            assert!(is_binary && data.len() < MAX_LENGTH || is_line && data.len() < MAX_LINE);
        }
        Err(_) => assert_eq!(expected, None),
    }
}

/// The first verdict while bytes arrive. Later bytes must not change it.
fn in_pieces(data: &[u8]) -> Result<Option<ProxyHeader>, MalformedProxyHeader> {
    let ends = (0..data.len()).filter(|end| *end < 300 || end % 61 == 0);
    ends.map(|end| parse(&data[..end])).find(|verdict| *verdict != Ok(None)).unwrap_or_else(|| parse(data))
}

/// Version 1 (section 2.1 of the specification).
fn line(data: &[u8]) -> Option<ProxyHeader> {
    let window = std::str::from_utf8(&data[..data.len().min(MAX_LINE)]);
    let text = window.or_else(|error| std::str::from_utf8(&data[..error.valid_up_to()])).ok()?;
    // Any bytes except line breaks may follow UNKNOWN.
    let break_at = data.iter().position(|byte| *byte == b'\r' || *byte == b'\n')?;
    let length = break_at + 2;
    if length > MAX_LINE || data.get(break_at..length) != Some(b"\r\n") {
        return None;
    }
    let is_unknown = data.starts_with(b"PROXY UNKNOWN\r") || data.starts_with(b"PROXY UNKNOWN ");
    if is_unknown {
        return Some(ProxyHeader { length, endpoints: None, is_local: false });
    }
    let words: Vec<&str> = text.get(..break_at)?.split(' ').collect();
    let ["PROXY", protocol, source, destination, source_port, destination_port] = words[..] else {
        return None;
    };
    let address = |text: &str| {
        let address: IpAddr = text.parse().ok()?;
        (protocol == if address.is_ipv4() { "TCP4" } else { "TCP6" }).then_some(address)
    };
    let port = |text: &str| (0..=u16::MAX).find(|port| port.to_string() == text);
    let source = SocketAddr::new(address(source)?, port(source_port)?);
    let destination = SocketAddr::new(address(destination)?, port(destination_port)?);
    Some(ProxyHeader { length, endpoints: Some(ProxiedConnection { source, destination }), is_local: false })
}

/// Version 2 (section 2.2 of the specification).
fn binary(data: &[u8]) -> Option<ProxyHeader> {
    if !data.starts_with(BINARY) || data.len() < 16 {
        return None;
    }
    let length = 16 + usize::from(data[14]) * 256 + usize::from(data[15]);
    if length > MAX_LENGTH || data.len() < length {
        return None;
    }
    let (addresses, is_local) = (&data[16..length], data[12] == 0x20);
    if is_local {
        return Some(ProxyHeader { length, endpoints: None, is_local });
    }
    let (size, is_told) = match data[13] {
        0x11 => (4, true),
        0x21 => (16, true),
        0x12 => (4, false),
        0x22 => (16, false),
        0x31 | 0x32 => (108, false),
        // UNSPEC as address family or as transport.
        0x00..=0x02 | 0x10 | 0x20 | 0x30 => (0, false),
        _ => return None,
    };
    let ports = if size == 0 || size == 108 { 0 } else { 4 };
    if data[12] != 0x21 || addresses.len() < 2 * size + ports {
        return None;
    }
    let end = |index: usize| {
        let bytes = &addresses[index * size..(index + 1) * size];
        let port = &addresses[2 * size + 2 * index..][..2];
        let ip = match <[u8; 4]>::try_from(bytes) {
            Ok(bytes) => IpAddr::from(bytes),
            Err(_) => IpAddr::from(<[u8; 16]>::try_from(bytes).expect("16 bytes")),
        };
        SocketAddr::new(ip, u16::from_be_bytes([port[0], port[1]]))
    };
    let endpoints = is_told.then(|| ProxiedConnection { source: end(0), destination: end(1) });
    Some(ProxyHeader { length, endpoints, is_local })
}

/// Headers of both versions, as a proxy writes them.
fn is_read_as_it_is_written(endpoints: ProxiedConnection) {
    let ProxiedConnection { source, destination } = endpoints;
    let (ips, ports) = ([source.ip(), destination.ip()], [source.port(), destination.port()]);
    let (name, family) = if source.is_ipv4() { ("TCP4", 0x11) } else { ("TCP6", 0x21) };
    let line = format!("PROXY {name} {} {} {} {}\r\n", ips[0], ips[1], ports[0], ports[1]).into_bytes();
    let mut block = Vec::new();
    for ip in ips {
        match ip {
            IpAddr::V4(ip) => block.extend(ip.octets()),
            IpAddr::V6(ip) => block.extend(ip.octets()),
        }
    }
    block.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
    let length = u8::try_from(block.len()).expect("36 at most");
    let binary = [BINARY, &[0x21, family, 0, length], &block].concat();
    for written in [line, binary] {
        let header = ProxyHeader { length: written.len(), endpoints: Some(endpoints), is_local: false };
        assert_eq!(parse(&written), Ok(Some(header)), "{}", written.escape_ascii());
    }
}
