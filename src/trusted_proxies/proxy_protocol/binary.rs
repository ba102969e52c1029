//! Version 2: fixed fields, addresses as bytes, and additional values that are skipped.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{MAX_LENGTH, MalformedProxyHeader, ProxiedConnection, ProxyHeader};

/// The first bytes of every header of version 2.
pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The length of the fixed part: signature, version and command, family and protocol, length
/// (section 2.2).
const FIXED: usize = 16;

/// Reads a header. `bytes` begin with the signature, or are the beginning of it.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<ProxyHeader>, MalformedProxyHeader> {
    let rest = bytes.get(SIGNATURE.len()..).unwrap_or_default();
    let [command, rest @ ..] = rest else { return Ok(None) };
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(MalformedProxyHeader::Command),
    };
    let [family, rest @ ..] = rest else { return Ok(None) };
    // A LOCAL header can have any family.
    if !is_local && (family >> 4 > 3 || family & 0xf > 2) {
        return Err(MalformedProxyHeader::Family);
    }
    let [high, low, rest @ ..] = rest else { return Ok(None) };
    let following = usize::from(u16::from_be_bytes([*high, *low]));
    let needed = match family {
        _ if is_local => 0,
        0x11 | 0x12 => 12,
        0x21 | 0x22 => 36,
        0x31 | 0x32 => 216,
        _ => 0,
    };
    if following < needed || FIXED + following > MAX_LENGTH {
        return Err(MalformedProxyHeader::Length);
    }
    let Some(block) = rest.get(..following) else { return Ok(None) };
    let endpoints = match family {
        _ if is_local => None,
        0x11 => ends(block, |address: [u8; 4]| Ipv4Addr::from(address).into()),
        0x21 => ends(block, |address: [u8; 16]| Ipv6Addr::from(address).into()),
        // The proxy accepts no datagrams, and a unix socket has no address of a client.
        _ => None,
    };
    Ok(Some(ProxyHeader { length: FIXED + following, endpoints, is_local }))
}

/// Reads two addresses of `N` bytes and two ports.
fn ends<const N: usize>(block: &[u8], address: fn([u8; N]) -> IpAddr) -> Option<ProxiedConnection> {
    let (source, rest) = block.split_first_chunk::<N>()?;
    let (destination, rest) = rest.split_first_chunk::<N>()?;
    let (source_port, rest) = rest.split_first_chunk()?;
    let (destination_port, _) = rest.split_first_chunk()?;
    Some(ProxiedConnection {
        source: SocketAddr::new(address(*source), u16::from_be_bytes(*source_port)),
        destination: SocketAddr::new(address(*destination), u16::from_be_bytes(*destination_port)),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{header, told};
    use super::super::{MAX_LENGTH, MalformedProxyHeader, parse};
    use super::{FIXED, SIGNATURE};

    /// A header of version 2 with these bytes after its length.
    fn binary(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).expect("short").to_be_bytes();
        [SIGNATURE, &[command, family], &length, block].concat()
    }

    const IPV4: [u8; 12] = [203, 0, 113, 9, 10, 0, 0, 1, 0x12, 0x67, 1, 0xbb];

    #[test]
    fn reads_binary_headers() {
        let ipv6 = [[0x20; 16], [0x21; 16]].concat();
        let ipv6 = [&ipv6[..], &[0, 1, 0, 2]].concat();
        let with_tlvs = [&IPV4[..], &[4, 0, 3, 1, 2, 3, 0x20, 0xff, 0xff]].concat();
        let unix = [1; 216];
        let over_v4 = told("203.0.113.9:4711", "10.0.0.1:443");
        let ends_v6 = told(
            "[2020:2020:2020:2020:2020:2020:2020:2020]:1",
            "[2121:2121:2121:2121:2121:2121:2121:2121]:2",
        );
        for (command, family, block, endpoints) in [
            (0x21, 0x11, &IPV4[..], over_v4),
            (0x21, 0x11, &with_tlvs, over_v4),
            (0x21, 0x21, &ipv6, ends_v6),
            (0x21, 0x12, &IPV4, None),
            (0x21, 0x22, &ipv6, None),
            (0x21, 0x31, &unix, None),
            (0x21, 0x32, &unix, None),
            (0x21, 0x00, &[], None),
            (0x21, 0x00, &IPV4, None),
            (0x21, 0x10, &[], None),
            (0x21, 0x01, &[], None),
            (0x20, 0x00, &[], None),
            (0x20, 0x11, &IPV4, None),
            (0x20, 0x11, &[], None),
            (0x20, 0xff, &[7; 300], None),
        ] {
            let bytes = binary(command, family, block);
            let expected = header(bytes.len(), endpoints, command == 0x20);
            assert_eq!(parse(&bytes), expected, "{command:x} {family:x}");
            assert_eq!(parse(&[&bytes[..], b"\x16\x03\x01"].concat()), expected, "{command:x} {family:x}");
            for part in 0..bytes.len() {
                assert_eq!(parse(&bytes[..part]), Ok(None), "{command:x} {family:x} {part}");
            }
        }
    }

    #[test]
    fn rejects_binary_headers_with_unknown_or_short_content() {
        let too_long = vec![0; MAX_LENGTH - FIXED + 1];
        for (command, family, block, malformed) in [
            (0x11, 0x11, &IPV4[..], MalformedProxyHeader::Command),
            (0x31, 0x11, &IPV4, MalformedProxyHeader::Command),
            (0x22, 0x11, &IPV4, MalformedProxyHeader::Command),
            (0x21, 0x41, &IPV4, MalformedProxyHeader::Family),
            (0x21, 0x13, &IPV4, MalformedProxyHeader::Family),
            (0x21, 0x11, &IPV4[..11], MalformedProxyHeader::Length),
            (0x21, 0x21, &IPV4, MalformedProxyHeader::Length),
            (0x21, 0x31, &IPV4, MalformedProxyHeader::Length),
            (0x21, 0x11, &too_long, MalformedProxyHeader::Length),
            (0x20, 0x00, &too_long, MalformedProxyHeader::Length),
        ] {
            let bytes = binary(command, family, block);
            assert_eq!(parse(&bytes), Err(malformed), "{command:x} {family:x} {}", block.len());
            // The fixed part alone is enough to reject the header.
            assert_eq!(parse(&bytes[..FIXED]), Err(malformed), "{command:x} {family:x} {}", block.len());
        }
    }
}
