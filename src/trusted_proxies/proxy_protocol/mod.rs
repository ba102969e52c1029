//! The PROXY protocol, versions 1 and 2 (<https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>).
//!
//! A header at the beginning of a connection, in which a proxy that does not read HTTP sends the
//! addresses of its client's connection.

mod binary;
mod line;

use std::fmt;
use std::net::SocketAddr;

/// The longest header that is read, in bytes. Addresses take at most 232 bytes; the rest is for the
/// additional values of version 2 (TLVs), which are skipped.
pub const MAX_LENGTH: usize = 4096;

/// A complete PROXY header, of either version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeader {
    /// The length in bytes. The client's first byte follows.
    pub length: usize,
    /// The addresses of the client's connection to the proxy. `None` if the proxy does not send them; the
    /// addresses of this connection are used then.
    pub endpoints: Option<ProxiedConnection>,
    /// Whether the proxy itself is the client (version 2, LOCAL), as in a health check.
    pub is_local: bool,
}

/// The two addresses of the client's connection to the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxiedConnection {
    /// The address of the client.
    pub source: SocketAddr,
    /// The address that the client has connected to.
    pub destination: SocketAddr,
}

/// The reason why bytes cannot become a header. The connection has to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MalformedProxyHeader {
    /// The first bytes are those of neither version.
    Signature,
    /// The line of version 1 has no CRLF within its greatest length.
    Line,
    /// The protocol of version 1 is not TCP4, TCP6 or UNKNOWN.
    Protocol,
    /// An address or a port of version 1 is malformed.
    Address,
    /// The binary header has another version than 2, or an unknown command.
    Command,
    /// The address family or the transport protocol of version 2 is unknown.
    Family,
    /// The length of version 2 is too short for the addresses, or exceeds [`MAX_LENGTH`].
    Length,
}

impl fmt::Display for MalformedProxyHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MalformedProxyHeader::Signature => "the connection does not begin with a PROXY header",
            MalformedProxyHeader::Line => "the PROXY line has no end",
            MalformedProxyHeader::Protocol => "the PROXY line names an unknown protocol",
            MalformedProxyHeader::Address => "the PROXY line has a malformed address or port",
            MalformedProxyHeader::Command => "the PROXY header has an unknown version or command",
            MalformedProxyHeader::Family => "the PROXY header has an unknown address family or protocol",
            MalformedProxyHeader::Length => "the PROXY header is too short for its addresses, or too long",
        })
    }
}

impl std::error::Error for MalformedProxyHeader {}

/// Reads the header at the beginning of `bytes`. Returns `None` while the header is incomplete.
///
/// # Errors
/// [`MalformedProxyHeader`] if no further bytes can complete a header.
pub fn parse(bytes: &[u8]) -> Result<Option<ProxyHeader>, MalformedProxyHeader> {
    if begins_like(bytes, binary::SIGNATURE) {
        binary::parse(bytes)
    } else if begins_like(bytes, line::SIGNATURE) {
        line::parse(bytes)
    } else {
        Err(MalformedProxyHeader::Signature)
    }
}

/// Whether `bytes` begin with the signature, or are the beginning of it.
fn begins_like(bytes: &[u8], signature: &[u8]) -> bool {
    let known = bytes.len().min(signature.len());
    bytes[..known] == signature[..known]
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddrV4, SocketAddrV6};

    use proptest::prelude::*;

    use super::*;

    pub fn told(source: &str, destination: &str) -> Option<ProxiedConnection> {
        let end = |text: &str| text.parse().expect(text);
        Some(ProxiedConnection { source: end(source), destination: end(destination) })
    }

    pub fn header(
        length: usize,
        endpoints: Option<ProxiedConnection>,
        is_local: bool,
    ) -> Result<Option<ProxyHeader>, MalformedProxyHeader> {
        Ok(Some(ProxyHeader { length, endpoints, is_local }))
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

    /// Two addresses of the same family.
    fn both_ends() -> impl Strategy<Value = (SocketAddr, SocketAddr)> {
        let ipv4 = any::<(SocketAddrV4, SocketAddrV4)>().prop_map(|(a, b)| (a.into(), b.into()));
        let ipv6 = any::<(SocketAddrV6, SocketAddrV6)>().prop_map(|(a, b)| (a.into(), b.into()));
        prop_oneof![ipv4, ipv6]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

        /// No bytes cause a panic, and more bytes never change a result.
        #[test]
        fn more_bytes_never_change_a_result(bytes in anything()) {
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
        fn reads_what_a_proxy_writes((source, destination) in both_ends()) {
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
