//! Client addresses in the form in which limits count them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::AddressRange;

/// Distinguishes an IPv4 address from the upper half of an IPv6 address. No IPv6 client has such an
/// upper half: IANA reserves `0000::/8`.
const IPV4: u64 = 1 << 32;

/// A client as limits count it: one IPv4 address, or one IPv6 network, since a client can take any
/// address of its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressKey(u64);

impl AddressKey {
    /// The key of an address. An IPv4 address has the same key when it is written as IPv6
    /// (`::ffff:192.0.2.1`).
    pub fn new(address: IpAddr, prefix: Ipv6Prefix) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(IPV4 | u64::from(address.to_bits())),
            IpAddr::V6(address) => Self(((address.to_bits() >> 64) as u64) & prefix.mask()),
        }
    }

    /// The addresses that share this key.
    pub fn range(self, prefix: Ipv6Prefix) -> AddressRange {
        let first = self.first();
        AddressRange::around(first, if first.is_ipv4() { 32 } else { prefix.length() })
    }

    /// The first address that has this key.
    pub fn first(self) -> IpAddr {
        if self.0 >> 32 == 1 {
            Ipv4Addr::from_bits(self.0 as u32).into()
        } else {
            Ipv6Addr::from_bits(u128::from(self.0) << 64).into()
        }
    }

    /// The key as a number.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// The key with this number.
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

/// The number of leading bits of an IPv6 address that distinguish clients.
///
/// At most 64, because a host can take any number of addresses of its /64 (RFC 8981). A site has a /64
/// to a /48. A mobile network gives each phone a /64 (RFC 7278), next to that of another phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6Prefix(u8);

impl Ipv6Prefix {
    /// The lengths that can be configured.
    pub const LENGTHS: core::ops::RangeInclusive<u8> = 32..=64;

    /// A prefix of `length` bits; `None` outside of [`Ipv6Prefix::LENGTHS`].
    pub fn new(length: u8) -> Option<Self> {
        Self::LENGTHS.contains(&length).then_some(Self(length))
    }

    /// The length of the prefix in bits.
    pub fn length(self) -> u8 {
        self.0
    }

    /// The mask for the upper half of an address.
    fn mask(self) -> u64 {
        u64::MAX << (64 - u32::from(self.0))
    }
}

impl Default for Ipv6Prefix {
    /// 64 bits: one phone of a mobile network.
    fn default() -> Self {
        Self(64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_has_one_key() {
        for (one, other, length, same) in [
            ("192.0.2.1", "192.0.2.1", 64, true),
            ("192.0.2.1", "192.0.2.2", 64, false),
            ("192.0.2.1", "::ffff:192.0.2.1", 64, true),
            ("::ffff:192.0.2.2", "::ffff:192.0.2.1", 48, false),
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", 64, true),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", 64, false),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", 56, true),
            ("2001:db8:1:2::1", "2001:db8:1:ff00::1", 56, false),
            ("2001:db8:1:2::1", "2001:db8:1:ff00::1", 48, true),
            ("::1", "0.0.0.0", 64, false),
            ("::1", "::", 64, true),
        ] {
            let key = |text: &str| {
                AddressKey::new(text.parse().expect(text), Ipv6Prefix::new(length).expect("a length"))
            };
            assert_eq!(key(one) == key(other), same, "{one} {other} /{length}");
        }
    }

    #[test]
    fn a_key_yields_the_range_of_its_addresses() {
        for (text, length, range) in [
            ("192.0.2.1", 64, "192.0.2.1"),
            ("::ffff:192.0.2.1", 48, "192.0.2.1"),
            ("255.255.255.255", 64, "255.255.255.255"),
            ("0.0.0.0", 64, "0.0.0.0"),
            ("2001:db8:1:2:3::4", 64, "2001:db8:1:2::/64"),
            ("2001:db8:1:2:3::4", 48, "2001:db8:1::/48"),
            ("::1", 64, "::/64"),
        ] {
            let prefix = Ipv6Prefix::new(length).expect("a length");
            let key = AddressKey::new(text.parse().expect(text), prefix);
            assert_eq!(key.range(prefix).to_string(), range, "{text}");
        }
    }

    #[test]
    fn prefixes_longer_than_64_bits_are_rejected() {
        assert!(
            Ipv6Prefix::new(65).is_none() && Ipv6Prefix::new(128).is_none() && Ipv6Prefix::new(31).is_none()
        );
        assert_eq!(Ipv6Prefix::new(64), Some(Ipv6Prefix::default()));
    }
}
