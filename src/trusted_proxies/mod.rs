//! The client's address behind other proxies: which peers are trusted, and what they say.
//!
//! The room is pure: addresses and field values in, an address out.

pub mod proxy_protocol;

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

use proxy_protocol::ProxyHeader;

/// The place where a trusted proxy sends the client's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAddressSource {
    /// `X-Forwarded-For`. Every proxy appends the address of its own client.
    XForwardedFor,
    /// A field with one address, such as `cf-connecting-ip`. The name is in lower case.
    Field(&'static str),
    /// The header of the PROXY protocol, which comes first on a connection.
    ProxyProtocol,
}

impl ClientAddressSource {
    /// All sources, with their names in the configuration.
    pub const ALL: [(&'static str, ClientAddressSource); 6] = [
        ("x-forwarded-for", ClientAddressSource::XForwardedFor),
        ("proxy-protocol", ClientAddressSource::ProxyProtocol),
        ("cf-connecting-ip", ClientAddressSource::Field("cf-connecting-ip")),
        ("true-client-ip", ClientAddressSource::Field("true-client-ip")),
        ("fastly-client-ip", ClientAddressSource::Field("fastly-client-ip")),
        ("x-real-ip", ClientAddressSource::Field("x-real-ip")),
    ];

    /// The name in the configuration.
    pub fn label(self) -> &'static str {
        match self {
            ClientAddressSource::XForwardedFor => "x-forwarded-for",
            ClientAddressSource::Field(name) => name,
            ClientAddressSource::ProxyProtocol => "proxy-protocol",
        }
    }
}

/// The proxies in front of a listener. A peer with another address is the client itself, whatever it
/// sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedProxies {
    ranges: Vec<IpNet>,
    source: ClientAddressSource,
}

impl TrustedProxies {
    /// Trusts peers with an address in `ranges`.
    pub fn new(ranges: Vec<IpNet>, source: ClientAddressSource) -> Self {
        Self { ranges, source }
    }

    /// The address ranges of the proxies.
    pub fn ranges(&self) -> &[IpNet] {
        &self.ranges
    }

    /// The place where the proxies send the client's address.
    pub fn source(&self) -> ClientAddressSource {
        self.source
    }

    /// Whether the peer is a trusted proxy. IPv4 that is written as IPv6 counts as IPv4.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.ranges.iter().any(|range| range.contains(&peer))
    }

    /// Whether a connection from this peer begins with a PROXY header. From any other peer a PROXY header
    /// is malformed HTTP or TLS.
    pub fn sends_proxy_header(&self, peer: IpAddr) -> bool {
        self.source == ClientAddressSource::ProxyProtocol && self.trusts(peer)
    }

    /// The client's address of a connection whose peer sent this PROXY header.
    pub fn client_of_connection(&self, peer: IpAddr, header: &ProxyHeader) -> IpAddr {
        match header.endpoints {
            Some(endpoints) if self.sends_proxy_header(peer) => endpoints.source.ip().to_canonical(),
            _ => peer.to_canonical(),
        }
    }

    /// The field with the client's address, in lower case; `None` with the PROXY protocol.
    pub fn field(&self) -> Option<&'static str> {
        match self.source {
            ClientAddressSource::XForwardedFor => Some("x-forwarded-for"),
            ClientAddressSource::Field(name) => Some(name),
            ClientAddressSource::ProxyProtocol => None,
        }
    }

    /// The client's address of a request. `values` are all values of the [`field`](Self::field), in the
    /// order of the request.
    ///
    /// In `X-Forwarded-For` the client is the last address that is not a trusted proxy, or the first
    /// address if all are. The client itself may have written what comes before. A field with one address
    /// is used only if it is sent once. If the peer is not trusted, or an address is malformed, the result
    /// is the address of the peer.
    pub fn client_of_request<'v>(
        &self,
        peer: IpAddr,
        mut values: impl DoubleEndedIterator<Item = &'v [u8]>,
    ) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.trusts(peer) {
            return peer;
        }
        let told = match self.source {
            ClientAddressSource::XForwardedFor => self.last_untrusted(values),
            ClientAddressSource::Field(_) => match (values.next(), values.next()) {
                (Some(value), None) => address(value),
                _ => None,
            },
            ClientAddressSource::ProxyProtocol => None,
        };
        told.unwrap_or(peer)
    }

    fn last_untrusted<'v>(&self, values: impl DoubleEndedIterator<Item = &'v [u8]>) -> Option<IpAddr> {
        let hops = values.rev().flat_map(|value| value.rsplit(|byte| *byte == b','));
        let mut last = None;
        // Empty list elements are ignored (RFC 9110 §5.6.1).
        for hop in hops.filter(|hop| !hop.trim_ascii().is_empty()) {
            let address = address(hop)?;
            if !self.trusts(address) {
                return Some(address);
            }
            last = Some(address);
        }
        last
    }
}

/// Parses an IP address with an optional port. IPv6 with a port needs brackets.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    let is_port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok();
    let address = if let Some(rest) = text.strip_prefix('[') {
        let (address, behind) = rest.split_once(']')?;
        let has_only_port = behind.is_empty() || behind.strip_prefix(':').is_some_and(is_port);
        IpAddr::V6(has_only_port.then(|| address.parse::<Ipv6Addr>().ok())??)
    } else if let Ok(address) = text.parse::<IpAddr>() {
        address
    } else {
        let (address, port) = text.split_once(':')?;
        IpAddr::V4(is_port(port).then(|| address.parse().ok())??)
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn proxies(source: ClientAddressSource) -> TrustedProxies {
        let ranges = ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"];
        TrustedProxies::new(ranges.map(|range| range.parse().expect(range)).to_vec(), source)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    fn client(source: ClientAddressSource, peer: &str, values: &[&str]) -> IpAddr {
        proxies(source).client_of_request(ip(peer), values.iter().map(|value| value.as_bytes()))
    }

    #[test]
    fn the_last_untrusted_hop_is_the_client() {
        for (peer, values, expected) in [
            ("10.1.1.1", &["203.0.113.9"][..], "203.0.113.9"),
            ("10.1.1.1", &["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
            ("10.1.1.1", &["1.1.1.1", "203.0.113.9"], "203.0.113.9"),
            ("10.1.1.1", &["1.1.1.1, 203.0.113.9 ,10.2.2.2", "192.0.2.7"], "203.0.113.9"),
            ("10.1.1.1", &["nonsense, 203.0.113.9"], "203.0.113.9"),
            ("10.1.1.1", &["203.0.113.9:4711"], "203.0.113.9"),
            ("10.1.1.1", &["[2001:db9::1]:4711"], "2001:db9::1"),
            ("10.1.1.1", &["[2001:db9::1]"], "2001:db9::1"),
            ("10.1.1.1", &["2001:db9::1"], "2001:db9::1"),
            ("10.1.1.1", &["::ffff:203.0.113.9"], "203.0.113.9"),
            ("::ffff:10.1.1.1", &["203.0.113.9"], "203.0.113.9"),
            ("2001:db8::5", &["203.0.113.9,"], "203.0.113.9"),
            // All hops are trusted: the first one is the client.
            ("10.1.1.1", &["10.3.3.3, 10.2.2.2"], "10.3.3.3"),
            // The field is missing, empty or malformed.
            ("10.1.1.1", &[], "10.1.1.1"),
            ("10.1.1.1", &["", " , "], "10.1.1.1"),
            ("10.1.1.1", &["203.0.113.9, unknown"], "10.1.1.1"),
            ("10.1.1.1", &["203.0.113.9, unknown, 10.2.2.2"], "10.1.1.1"),
            // The peer is not trusted.
            ("203.0.113.66", &["1.1.1.1"], "203.0.113.66"),
            ("::ffff:203.0.113.66", &["1.1.1.1"], "203.0.113.66"),
        ] {
            let found = client(ClientAddressSource::XForwardedFor, peer, values);
            assert_eq!(found, ip(expected), "{peer} {values:?}");
        }
    }

    #[test]
    fn a_field_with_one_address_must_be_sent_once() {
        let source = ClientAddressSource::Field("cf-connecting-ip");
        for (peer, values, expected) in [
            ("10.1.1.1", &["203.0.113.9"][..], "203.0.113.9"),
            ("10.1.1.1", &["203.0.113.9", "1.1.1.1"], "10.1.1.1"),
            ("10.1.1.1", &["203.0.113.9, 1.1.1.1"], "10.1.1.1"),
            ("10.1.1.1", &[], "10.1.1.1"),
            ("203.0.113.66", &["1.1.1.1"], "203.0.113.66"),
        ] {
            assert_eq!(client(source, peer, values), ip(expected), "{peer} {values:?}");
        }
        assert_eq!(client(ClientAddressSource::ProxyProtocol, "10.1.1.1", &["1.1.1.1"]), ip("10.1.1.1"));
    }

    #[test]
    fn only_trusted_peers_send_a_proxy_header() {
        let header = proxy_protocol::parse(b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 443\r\n");
        let header = header.expect("well-formed").expect("whole");
        let by_header = proxies(ClientAddressSource::ProxyProtocol);
        assert!(by_header.sends_proxy_header(ip("10.1.1.1")) && !by_header.sends_proxy_header(ip("9.9.9.9")));
        assert_eq!(by_header.client_of_connection(ip("10.1.1.1"), &header), ip("203.0.113.9"));
        assert_eq!(by_header.client_of_connection(ip("9.9.9.9"), &header), ip("9.9.9.9"));
        let by_field = proxies(ClientAddressSource::XForwardedFor);
        assert!(!by_field.sends_proxy_header(ip("10.1.1.1")));
        assert_eq!(by_field.client_of_connection(ip("10.1.1.1"), &header), ip("10.1.1.1"));
    }

    #[test]
    fn rejects_odd_spellings_of_addresses() {
        for text in [
            "",
            "1.2.3",
            "1.2.3.4.5",
            "01.2.3.4",
            "1.2.3.4:",
            "1.2.3.4:x",
            "1.2.3.4:65536",
            "1.2.3.4:+1",
            "1.2.3.4:1:1",
            "[1.2.3.4]",
            "[::1",
            "[::1]x",
            "[::1]:",
            "::1]:1",
            "fe80::1%eth0",
            "for=1.2.3.4",
            "\"1.2.3.4\"",
            "1.2.3.4 5.6.7.8",
            "localhost",
            "\u{ff11}.2.3.4",
        ] {
            assert_eq!(address(text.as_bytes()), None, "{text}");
        }
        assert_eq!(address(b"\xff\xfe"), None);
    }

    #[test]
    fn each_source_has_its_own_name() {
        for (name, source) in ClientAddressSource::ALL {
            assert_eq!(source.label(), name);
        }
    }

    fn any_source() -> impl Strategy<Value = ClientAddressSource> {
        prop::sample::select(ClientAddressSource::ALL.map(|(_, source)| source).to_vec())
    }

    fn untrusted() -> impl Strategy<Value = IpAddr> {
        let trusts = |address: &IpAddr| !proxies(ClientAddressSource::XForwardedFor).trusts(*address);
        any::<IpAddr>().prop_map(|address| address.to_canonical()).prop_filter("trusted", trusts)
    }

    /// Field values as a client may write them.
    fn forged() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let address = any::<IpAddr>().prop_map(|address| address.to_string().into_bytes());
        let value = prop_oneof![
            address,
            prop::collection::vec(any::<u8>(), 0..40),
            "[0-9a-f:., \\[\\]]{0,40}".prop_map(String::into_bytes)
        ];
        prop::collection::vec(value, 0..5)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn an_untrusted_peer_cannot_forge_an_address(
            source in any_source(), peer in untrusted(), forged in forged(),
        ) {
            let found = proxies(source).client_of_request(peer, forged.iter().map(Vec::as_slice));
            prop_assert_eq!(found, peer);
        }

        #[test]
        fn a_client_cannot_change_what_trusted_proxies_append(
            client in untrusted(), forged in forged(), hops in prop::collection::vec(any::<u32>(), 0..4),
        ) {
            let added: Vec<String> =
                std::iter::once(client.to_string())
                    .chain(hops.iter().map(|hop| format!("10.{}.0.1", hop % 256)))
                    .collect();
            let added = added.join(", ").into_bytes();
            // A proxy appends to the last value, or sends a second field.
            let mut joined = forged.clone();
            match joined.last_mut() {
                Some(last) => last.extend([b", ".as_slice(), &added].concat()),
                None => joined.push(added.clone()),
            }
            let mut separate = forged;
            separate.push(added);
            for values in [joined, separate] {
                let proxies = proxies(ClientAddressSource::XForwardedFor);
                let found = proxies.client_of_request(ip("10.9.9.9"), values.iter().map(Vec::as_slice));
                prop_assert_eq!(found, client);
            }
        }
    }
}
