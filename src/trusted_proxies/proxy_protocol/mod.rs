//! The PROXY protocol, versions 1 and 2 (<https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>):
//! a header before everything else on a connection, in which a proxy that looks into nothing
//! tells who has connected to it.

mod binary;
mod line;

use std::fmt;
use std::net::SocketAddr;

/// The longest header that is read, in bytes. Addresses take 232 at most; the rest is for what may
/// follow them in version 2 (TLVs), which is skipped.
pub const MAX_LENGTH: usize = 4096;

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// How many bytes it takes; the client's first byte comes next.
    pub length: usize,
    /// The connection that the proxy has accepted; none if it tells nothing about it, and then
    /// the connection's own addresses count.
    pub endpoints: Option<Endpoints>,
    /// The proxy speaks for itself (version 2, LOCAL): a health check.
    pub is_local: bool,
}

/// The two ends of the connection that the proxy has accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// The client.
    pub source: SocketAddr,
    /// The address that it has connected to.
    pub destination: SocketAddr,
}

/// What came is no header, and never will be: the connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// It begins like neither version.
    Signature,
    /// The line of version 1 does not end in CRLF where it has to.
    Line,
    /// The line of version 1 names another protocol than TCP4, TCP6 and UNKNOWN.
    Protocol,
    /// An address or a port of version 1 is not written as it has to be.
    Address,
    /// Version 2 with another version number, or an unknown command.
    Command,
    /// Version 2 with an unknown address family or transport protocol.
    Family,
    /// Version 2 with a length that does not hold the addresses, or beyond [`MAX_LENGTH`].
    Length,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Malformed::Signature => "the connection does not begin with a PROXY header",
            Malformed::Line => "the PROXY line has no end",
            Malformed::Protocol => "the PROXY line names an unknown protocol",
            Malformed::Address => "the PROXY line has a malformed address or port",
            Malformed::Command => "the PROXY header has an unknown version or command",
            Malformed::Family => "the PROXY header has an unknown address family or protocol",
            Malformed::Length => "the PROXY header is too short for its addresses, or too long",
        })
    }
}

impl std::error::Error for Malformed {}

/// Reads the header at the beginning of `bytes`; nothing as long as they are only a part of one.
///
/// # Errors
/// [`Malformed`] when no further byte can make it a header.
pub fn parse(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    if begins_like(bytes, binary::SIGNATURE) {
        binary::parse(bytes)
    } else if begins_like(bytes, line::SIGNATURE) {
        line::parse(bytes)
    } else {
        Err(Malformed::Signature)
    }
}

/// Whether `bytes` are the signature with anything behind it, or a part of it.
fn begins_like(bytes: &[u8], signature: &[u8]) -> bool {
    let known = bytes.len().min(signature.len());
    bytes[..known] == signature[..known]
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddrV4, SocketAddrV6};

    use proptest::prelude::*;

    use super::*;

    pub fn told(source: &str, destination: &str) -> Option<Endpoints> {
        let end = |text: &str| text.parse().expect(text);
        Some(Endpoints { source: end(source), destination: end(destination) })
    }

    pub fn header(
        length: usize,
        endpoints: Option<Endpoints>,
        is_local: bool,
    ) -> Result<Option<Header>, Malformed> {
        Ok(Some(Header { length, endpoints, is_local }))
    }

    fn anything() -> impl Strategy<Value = Vec<u8>> {
        let tail = prop::collection::vec(any::<u8>(), 0..300);
        let line = "PROXY (TCP4|TCP6|UNKNOWN)?[ 0-9a-f:.\r\n]{0,110}".prop_map(String::into_bytes);
        let binary = (0x1f..0x23u8, any::<u8>(), 0..300u16, tail.clone()).prop_map(
            |(command, family, length, tail)| {
                [binary::SIGNATURE, &[command, family], &length.to_be_bytes(), &tail].concat()
            },
        );
        prop_oneof![tail, line, binary]
    }

    /// Two addresses of one family.
    fn both_ends() -> impl Strategy<Value = (SocketAddr, SocketAddr)> {
        let ipv4 = any::<(SocketAddrV4, SocketAddrV4)>().prop_map(|(a, b)| (a.into(), b.into()));
        let ipv6 = any::<(SocketAddrV6, SocketAddrV6)>().prop_map(|(a, b)| (a.into(), b.into()));
        prop_oneof![ipv4, ipv6]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

        /// Whatever comes, and in whatever pieces: no panic, and a verdict once given stays.
        #[test]
        fn a_verdict_once_given_stays(bytes in anything()) {
            let mut verdict = Ok(None);
            for part in 0..=bytes.len() {
                let now = parse(&bytes[..part]);
                if verdict != Ok(None) {
                    prop_assert_eq!(now, verdict);
                }
                if let Ok(Some(header)) = now {
                    prop_assert!(header.length <= part && header.length <= MAX_LENGTH);
                    prop_assert!(!(header.is_local && header.endpoints.is_some()));
                }
                verdict = now;
            }
            prop_assert!(bytes.len() < MAX_LENGTH || verdict != Ok(None));
        }

        #[test]
        fn what_a_proxy_writes_is_read((source, destination) in both_ends()) {
            let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
            let (from, to) = (source.ip(), destination.ip());
            let line = format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port());
            let header = parse(line.as_bytes()).expect("well-formed").expect("whole");
            let endpoints = header.endpoints.expect("told");
            prop_assert_eq!((endpoints.source.ip(), endpoints.source.port()), (from, source.port()));
            prop_assert_eq!((endpoints.destination.ip(), endpoints.destination.port()), (to, destination.port()));
        }
    }
}
