//! Version 1: a line of text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{MalformedProxyHeader, ProxiedConnection, ProxyHeader};

/// The first bytes of every line.
pub(super) const SIGNATURE: &[u8] = b"PROXY ";

/// The greatest length of a line including CRLF (section 2.1).
pub(super) const MAX_LINE: usize = 107;

/// Reads a line. `bytes` begin with the signature, or are the beginning of it.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<ProxyHeader>, MalformedProxyHeader> {
    let window = &bytes[..bytes.len().min(MAX_LINE)];
    let Some(end) = window.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
        return if window.len() == MAX_LINE { Err(MalformedProxyHeader::Line) } else { Ok(None) };
    };
    let length = end + 2;
    match &window[end..] {
        [b'\r', b'\n', ..] => {}
        [b'\r'] if window.len() < MAX_LINE => return Ok(None),
        _ => return Err(MalformedProxyHeader::Line),
    }
    let line = bytes[..end].strip_prefix(SIGNATURE).ok_or(MalformedProxyHeader::Signature)?;
    let (protocol, rest) = match line.iter().position(|byte| *byte == b' ') {
        Some(blank) => (&line[..blank], Some(&line[blank + 1..])),
        None => (line, None),
    };
    let endpoints = match (protocol, rest) {
        (b"UNKNOWN", _) => None,
        (b"TCP4", Some(rest)) => Some(endpoints::<Ipv4Addr>(rest)?),
        (b"TCP6", Some(rest)) => Some(endpoints::<Ipv6Addr>(rest)?),
        _ => return Err(MalformedProxyHeader::Protocol),
    };
    Ok(Some(ProxyHeader { length, endpoints, is_local: false }))
}

/// Reads two addresses and two ports, separated by single blanks.
fn endpoints<A: std::str::FromStr + Into<IpAddr>>(
    text: &[u8],
) -> Result<ProxiedConnection, MalformedProxyHeader> {
    let text = std::str::from_utf8(text).map_err(|_| MalformedProxyHeader::Address)?;
    let mut parts = text.split(' ');
    let mut next = || parts.next().ok_or(MalformedProxyHeader::Address);
    let (source, destination, source_port, destination_port) = (next()?, next()?, next()?, next()?);
    if parts.next().is_some() {
        return Err(MalformedProxyHeader::Address);
    }
    let address = |text: &str| text.parse::<A>().map(Into::into).map_err(|_| MalformedProxyHeader::Address);
    Ok(ProxiedConnection {
        source: SocketAddr::new(address(source)?, port(source_port)?),
        destination: SocketAddr::new(address(destination)?, port(destination_port)?),
    })
}

/// Reads a decimal number without leading zeros.
fn port(text: &str) -> Result<u16, MalformedProxyHeader> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain).ok_or(MalformedProxyHeader::Address)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{header, told};
    use super::super::{MalformedProxyHeader, parse};
    use super::MAX_LINE;

    #[test]
    fn reads_lines() {
        let longest = "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
                       ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
        assert_eq!(longest.len(), MAX_LINE);
        for (line, endpoints) in [
            ("PROXY TCP4 203.0.113.9 10.0.0.1 4711 443\r\n", told("203.0.113.9:4711", "10.0.0.1:443")),
            ("PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n", told("255.255.255.255:65535", "0.0.0.0:0")),
            ("PROXY TCP6 2001:DB8::1 ::1 1 2\r\n", told("[2001:db8::1]:1", "[::1]:2")),
            ("PROXY TCP6 ::ffff:1.2.3.4 ::1 1 2\r\n", told("[::ffff:1.2.3.4]:1", "[::1]:2")),
            ("PROXY UNKNOWN\r\n", None),
            ("PROXY UNKNOWN \r\n", None),
            ("PROXY UNKNOWN any thing\0\r\n", None),
            (longest, None),
        ] {
            assert_eq!(parse(line.as_bytes()), header(line.len(), endpoints, false), "{line}");
            let more = format!("{line}GET / HTTP/1.1\r\n");
            assert_eq!(parse(more.as_bytes()), header(line.len(), endpoints, false), "{line}");
            for part in 0..line.len() {
                assert_eq!(parse(&line.as_bytes()[..part]), Ok(None), "{:?}", &line[..part]);
            }
        }
    }

    #[test]
    fn rejects_malformed_lines() {
        for (line, malformed) in [
            ("GET / HTTP/1.1\r\n", MalformedProxyHeader::Signature),
            ("PROX TCP4", MalformedProxyHeader::Signature),
            ("proxy ", MalformedProxyHeader::Signature),
            ("\r\n\r\nGET", MalformedProxyHeader::Signature),
            ("PROXY TCP4 1.1.1.1 1.1.1.1 1 1\n", MalformedProxyHeader::Line),
            ("PROXY TCP4 1.1.1.1 1.1.1.1 1 1\r\r\n", MalformedProxyHeader::Line),
            ("PROXY TCP4 1.1.1.1 1.1.1.1 1 1\rx", MalformedProxyHeader::Line),
            ("PROXY UNKNOWN a\nb\r\n", MalformedProxyHeader::Line),
            ("PROXY \r\n", MalformedProxyHeader::Protocol),
            ("PROXY TCP4\r\n", MalformedProxyHeader::Protocol),
            ("PROXY TCP5 1.1.1.1 1.1.1.1 1 1\r\n", MalformedProxyHeader::Protocol),
            ("PROXY tcp4 1.1.1.1 1.1.1.1 1 1\r\n", MalformedProxyHeader::Protocol),
            ("PROXY  TCP4 1.1.1.1 1.1.1.1 1 1\r\n", MalformedProxyHeader::Protocol),
            ("PROXY UNKNOWNX\r\n", MalformedProxyHeader::Protocol),
            ("PROXY TCP4 \r\n", MalformedProxyHeader::Address),
            ("PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n", MalformedProxyHeader::Address),
            ("PROXY TCP4 1.1.1.1 1.1.1.1 1 1 \r\n", MalformedProxyHeader::Address),
            ("PROXY TCP4 1.1.1.1  1.1.1.1 1 1\r\n", MalformedProxyHeader::Address),
            ("PROXY TCP4 01.1.1.1 1.1.1.1 1 1\r\n", MalformedProxyHeader::Address),
            ("PROXY TCP4 1.1.1.256 1.1.1.1 1 1\r\n", MalformedProxyHeader::Address),
            ("PROXY TCP4 ::1 ::1 1 1\r\n", MalformedProxyHeader::Address),
            ("PROXY TCP6 1.1.1.1 1.1.1.1 1 1\r\n", MalformedProxyHeader::Address),
            ("PROXY TCP6 fe80::1%eth0 ::1 1 1\r\n", MalformedProxyHeader::Address),
            ("PROXY TCP4 1.1.1.1 1.1.1.1 01 1\r\n", MalformedProxyHeader::Address),
            ("PROXY TCP4 1.1.1.1 1.1.1.1 00 1\r\n", MalformedProxyHeader::Address),
            ("PROXY TCP4 1.1.1.1 1.1.1.1 +1 1\r\n", MalformedProxyHeader::Address),
            ("PROXY TCP4 1.1.1.1 1.1.1.1 65536 1\r\n", MalformedProxyHeader::Address),
            ("PROXY TCP4 1.1.1.1 1.1.1.1 -1 1\r\n", MalformedProxyHeader::Address),
            ("PROXY TCP4 1.1.1.1 1.1.1.1  1\r\n", MalformedProxyHeader::Address),
        ] {
            assert_eq!(parse(line.as_bytes()), Err(malformed), "{line:?}");
        }
        let endless = format!("PROXY UNKNOWN {}", "x".repeat(MAX_LINE));
        assert_eq!(parse(endless.as_bytes()), Err(MalformedProxyHeader::Line));
        // The CRLF ends one byte after the greatest length.
        let late = format!("PROXY UNKNOWN {}\r\n", "x".repeat(MAX_LINE - 15));
        assert_eq!((late.len(), parse(late.as_bytes())), (MAX_LINE + 1, Err(MalformedProxyHeader::Line)));
        assert_eq!(parse(&late.as_bytes()[..MAX_LINE]), Err(MalformedProxyHeader::Line));
    }
}
