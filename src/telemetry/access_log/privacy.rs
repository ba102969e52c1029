//! Personal data in the access log and in spans: shortened, replaced or left out.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::closed_set::closed_set;
use crate::http::hex;

closed_set! {
    /// How client addresses are logged.
    #[derive(Default)]
    pub enum AddressPrivacy {
        /// The whole address, with the port.
        #[default]
        Full => "full",
        /// The network: the first 24 bits of IPv4, the first 48 bits of IPv6.
        Truncate => "truncate",
        /// The lines have neither address nor port.
        Omit => "omit",
    }
}

closed_set! {
    /// How device ids are logged.
    #[derive(Default)]
    pub enum DevicePrivacy {
        /// The device id of the token, unchanged.
        #[default]
        Full => "full",
        /// A keyed hash of the device id. The lines of one device have the same hash, and do not tell the device.
        Hmac => "hmac",
        /// The lines have no device id.
        Omit => "omit",
    }
}

closed_set! {
    /// How paths of requests are logged.
    #[derive(Default)]
    pub enum PathPrivacy {
        /// The path that the client sent, without the query.
        #[default]
        Full => "full",
        /// The path of the route.
        Route => "route",
        /// The lines have no path.
        Omit => "omit",
    }
}

/// How personal data is logged: `log.privacy` in the configuration file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrivacySettings {
    /// How addresses and ports of clients are logged.
    pub client_address: AddressPrivacy,
    /// How device ids are logged, verified and unverified ones.
    pub device: DevicePrivacy,
    /// How paths of requests are logged.
    pub path: PathPrivacy,
    /// The key of the hashes; `None` for a random one of each process.
    pub key: Option<PrivacyKey>,
}

/// The key of the hashes of device ids.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivacyKey(Zeroizing<Vec<u8>>);

/// Bytes of a hash that are logged.
const LOGGED: usize = 16;

impl PrivacyKey {
    /// A key of any length.
    pub fn new(key: &[u8]) -> Self {
        Self(Zeroizing::new(key.to_vec()))
    }

    /// The name that stands for a device.
    fn pseudonym(&self, id: &str) -> Option<String> {
        let mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.0).ok()?;
        let hash = mac.chain_update(id).finalize().into_bytes();
        let start: [u8; LOGGED] = *hash.first_chunk()?;
        Some(String::from_utf8_lossy(hex(start).as_flattened()).into_owned())
    }
}

impl std::fmt::Debug for PrivacyKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrivacyKey")
    }
}

impl PrivacySettings {
    /// Address and port as they are logged.
    pub fn client(&self, (address, port): (IpAddr, Option<u16>)) -> Option<(IpAddr, Option<u16>)> {
        match self.client_address {
            AddressPrivacy::Full => Some((address, port)),
            AddressPrivacy::Truncate => Some((network(address), None)),
            AddressPrivacy::Omit => None,
        }
    }

    /// A device id as it is logged.
    pub fn device<'d>(&self, key: &PrivacyKey, id: Option<&'d str>) -> Option<Cow<'d, str>> {
        match self.device {
            DevicePrivacy::Full => id.map(Cow::Borrowed),
            DevicePrivacy::Hmac => id.and_then(|id| key.pseudonym(id)).map(Cow::Owned),
            DevicePrivacy::Omit => None,
        }
    }

    /// A path as it is logged; empty if it is not. `route` is the path of the route.
    pub fn path<'p>(&self, path: &'p [u8], route: Option<&'p str>) -> &'p [u8] {
        match self.path {
            PathPrivacy::Full => path,
            PathPrivacy::Route => route.unwrap_or_default().as_bytes(),
            PathPrivacy::Omit => &[],
        }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() & !0xff).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 80 << 80).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_cut_to_their_network() {
        let cut = PrivacySettings { client_address: AddressPrivacy::Truncate, ..PrivacySettings::default() };
        for (address, network) in [
            ("192.0.2.17", "192.0.2.0"),
            ("::ffff:10.1.2.3", "10.1.2.0"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ] {
            let address: IpAddr = address.parse().expect("an address");
            let network: IpAddr = network.parse().expect("an address");
            assert_eq!(cut.client((address, Some(1))), Some((network, None)));
            assert_eq!(PrivacySettings::default().client((address, Some(1))), Some((address, Some(1))));
        }
    }

    #[test]
    fn a_device_has_one_pseudonym_for_each_key() {
        let hashed = PrivacySettings { device: DevicePrivacy::Hmac, ..PrivacySettings::default() };
        let (one, other) = (PrivacyKey::new(b"one"), PrivacyKey::new(b"other"));
        let name = |key, id| hashed.device(key, Some(id)).expect("a pseudonym");
        assert_eq!(name(&one, "a"), name(&one, "a"));
        assert_eq!(name(&one, "a").len(), 32);
        assert_ne!(name(&one, "a"), name(&one, "b"));
        assert_ne!(name(&one, "a"), name(&other, "a"));
        assert_eq!(hashed.device(&one, None), None);
    }

    #[test]
    fn a_path_is_that_of_the_client_or_of_the_route() {
        for (path, route, logged) in [
            (PathPrivacy::Full, Some("/v1/"), "/v1/anna"),
            (PathPrivacy::Route, Some("/v1/"), "/v1/"),
            (PathPrivacy::Route, None, ""),
            (PathPrivacy::Omit, Some("/v1/"), ""),
        ] {
            let settings = PrivacySettings { path, ..PrivacySettings::default() };
            assert_eq!(settings.path(b"/v1/anna", route), logged.as_bytes());
        }
    }
}
