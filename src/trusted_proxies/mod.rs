//! Behind other proxies: which peers are believed, and what they say about the client.
//!
//! Values in, values out: nothing here reads from a socket.

pub mod proxy_protocol;

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

use proxy_protocol::Header;

/// Where a trusted proxy tells the client's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAddressSource {
    /// `X-Forwarded-For`: every proxy adds the address it was connected from at the end.
    XForwardedFor,
    /// A field with one address, such as `cf-connecting-ip`; the name is in lower case.
    Field(&'static str),
    /// The PROXY protocol's header, before anything else on the connection.
    ProxyProtocol,
}

impl ClientAddressSource {
    /// Every source, by its name in the configuration.
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

/// The proxies in front of a listener. Whoever connects from elsewhere is the client, whatever
/// it sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedProxies {
    ranges: Vec<IpNet>,
    source: ClientAddressSource,
}

impl TrustedProxies {
    /// Believes peers within `ranges`.
    pub fn new(ranges: Vec<IpNet>, source: ClientAddressSource) -> Self {
        Self { ranges, source }
    }

    /// The ranges of their addresses.
    pub fn ranges(&self) -> &[IpNet] {
        &self.ranges
    }

    /// Where they tell the client's address.
    pub fn source(&self) -> ClientAddressSource {
        self.source
    }

    /// Whether the peer is one of them. An IPv4 address is the same in its IPv6 form.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.ranges.iter().any(|range| range.contains(&peer))
    }

    /// Whether a connection from this peer begins with a PROXY header. One from elsewhere does
    /// not: a header there is to be taken for what it is, no HTTP and no TLS.
    pub fn sends_proxy_header(&self, peer: IpAddr) -> bool {
        self.source == ClientAddressSource::ProxyProtocol && self.trusts(peer)
    }

    /// The client's address behind a connection whose peer sent this PROXY header.
    pub fn client_of_connection(&self, peer: IpAddr, header: &Header) -> IpAddr {
        match header.endpoints {
            Some(endpoints) if self.sends_proxy_header(peer) => endpoints.source.ip().to_canonical(),
            _ => peer.to_canonical(),
        }
    }

    /// The field whose values tell the client's address, in lower case; none with the PROXY
    /// protocol.
    pub fn field(&self) -> Option<&'static str> {
        match self.source {
            ClientAddressSource::XForwardedFor => Some("x-forwarded-for"),
            ClientAddressSource::Field(name) => Some(name),
            ClientAddressSource::ProxyProtocol => None,
        }
    }

    /// The client's address behind a request. `values` are all values of the [`field`](Self::field),
    /// in the order of the request.
    ///
    /// Of `X-Forwarded-For` it is the last hop that is no trusted proxy, or the first one if all
    /// are: what stands before it was written by the client. A field with one address counts only
    /// if it stands there once. What is no address, and what an untrusted peer sends, leaves the
    /// peer's own address.
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
        // Empty elements of a list do not count (RFC 9110 §5.6.1).
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

/// An IP address, with or without a port; IPv6 with brackets, or without where no port follows.
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
    fn the_last_hop_that_is_no_trusted_proxy_is_the_client() {
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
            // All of them trusted: the first.
            ("10.1.1.1", &["10.3.3.3, 10.2.2.2"], "10.3.3.3"),
            // Nothing, or no address where a proxy should have written one.
            ("10.1.1.1", &[], "10.1.1.1"),
            ("10.1.1.1", &["", " , "], "10.1.1.1"),
            ("10.1.1.1", &["203.0.113.9, unknown"], "10.1.1.1"),
            ("10.1.1.1", &["203.0.113.9, unknown, 10.2.2.2"], "10.1.1.1"),
            // An untrusted peer.
            ("203.0.113.66", &["1.1.1.1"], "203.0.113.66"),
            ("::ffff:203.0.113.66", &["1.1.1.1"], "203.0.113.66"),
        ] {
            let found = client(ClientAddressSource::XForwardedFor, peer, values);
            assert_eq!(found, ip(expected), "{peer} {values:?}");
        }
    }

    #[test]
    fn a_field_with_one_address_counts_only_once_and_whole() {
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
    fn only_trusted_peers_begin_with_a_proxy_header() {
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
    fn takes_no_odd_spelling_for_an_address() {
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

    /// What a client may write into a field.
    fn claims() -> impl Strategy<Value = Vec<Vec<u8>>> {
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
        fn who_connects_from_elsewhere_claims_nothing(
            source in any_source(), peer in untrusted(), claims in claims(),
        ) {
            let found = proxies(source).client_of_request(peer, claims.iter().map(Vec::as_slice));
            prop_assert_eq!(found, peer);
        }

        #[test]
        fn what_a_client_writes_changes_nothing_of_what_trusted_proxies_add(
            client in untrusted(), claims in claims(), hops in prop::collection::vec(any::<u32>(), 0..4),
        ) {
            let added: Vec<String> =
                std::iter::once(client.to_string())
                    .chain(hops.iter().map(|hop| format!("10.{}.0.1", hop % 256)))
                    .collect();
            let added = added.join(", ").into_bytes();
            // Proxies add to the last value, or send a field of their own.
            let mut joined = claims.clone();
            match joined.last_mut() {
                Some(last) => last.extend([b", ".as_slice(), &added].concat()),
                None => joined.push(added.clone()),
            }
            let mut separate = claims;
            separate.push(added);
            for values in [joined, separate] {
                let proxies = proxies(ClientAddressSource::XForwardedFor);
                let found = proxies.client_of_request(ip("10.9.9.9"), values.iter().map(Vec::as_slice));
                prop_assert_eq!(found, client);
            }
        }
    }
}
