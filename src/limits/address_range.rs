//! Address ranges as operators write them.

use core::fmt;
use core::str::FromStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address, or a network in CIDR notation (RFC 4632 §3.1, RFC 4291 §2.3).
///
/// IPv4 that is written as IPv6 (`::ffff:192.0.2.0/120`) becomes IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange {
    network: IpAddr,
    length: u8,
}

impl AddressRange {
    /// The network of `length` bits that contains an address. A `length` beyond the bits of the address
    /// means the address alone.
    pub fn around(address: IpAddr, length: u8) -> Self {
        match address {
            IpAddr::V4(address) => {
                let length = length.min(32);
                let network = Ipv4Addr::from_bits(address.to_bits() & ipv4_mask(length));
                Self { network: network.into(), length }
            }
            IpAddr::V6(address) => {
                let length = length.min(128);
                match (address.to_ipv4_mapped(), length.checked_sub(96)) {
                    (Some(address), Some(length)) => Self::around(address.into(), length),
                    _ => {
                        let network = Ipv6Addr::from_bits(address.to_bits() & ipv6_mask(length));
                        Self { network: network.into(), length }
                    }
                }
            }
        }
    }

    /// The first address of the range.
    pub fn network(self) -> IpAddr {
        self.network
    }

    /// The prefix length in bits.
    pub fn length(self) -> u8 {
        self.length
    }

    /// The first and the last address.
    pub(super) fn bounds(self) -> Bounds {
        match self.network {
            IpAddr::V4(first) => {
                let first = first.to_bits();
                Bounds::V4(first, first | !ipv4_mask(self.length))
            }
            IpAddr::V6(first) => {
                let first = first.to_bits();
                Bounds::V6(first, first | !ipv6_mask(self.length))
            }
        }
    }
}

/// The first and the last address of a range.
pub(super) enum Bounds {
    V4(u32, u32),
    V6(u128, u128),
}

fn ipv4_mask(length: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0)
}

fn ipv6_mask(length: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
}

/// The reason why a text is not an address range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressRangeError {
    /// The text before the slash is not an address.
    NotAnAddress,
    /// The text after the slash is not a number, or exceeds the bits of the address.
    BadLength,
    /// The address has bits after the prefix. Contains the network without them.
    HostBits(AddressRange),
}

impl FromStr for AddressRange {
    type Err = AddressRangeError;

    fn from_str(text: &str) -> Result<Self, AddressRangeError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| AddressRangeError::NotAnAddress)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let Some(length) = length else { return Ok(Self::around(address, most)) };
        let is_number = (1..=3).contains(&length.len()) && length.bytes().all(|byte| byte.is_ascii_digit());
        let length = length.parse().ok().filter(|length| is_number && *length <= most);
        let range = Self::around(address, length.ok_or(AddressRangeError::BadLength)?);
        if range.network == Self::around(address, most).network {
            Ok(range)
        } else {
            Err(AddressRangeError::HostBits(range))
        }
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = if self.network.is_ipv4() { 32 } else { 128 };
        match self.length == most {
            true => write!(f, "{}", self.network),
            false => write!(f, "{}/{}", self.network, self.length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_each_range_in_one_form() {
        for (text, shown) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1/32", "192.0.2.1"),
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:DB8::/32", "2001:db8::/32"),
            ("2001:db8:0:0::1/128", "2001:db8::1"),
            ("::/0", "::/0"),
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("::ffff:0.0.0.0/96", "0.0.0.0/0"),
            ("::/64", "::/64"),
        ] {
            assert_eq!(text.parse::<AddressRange>().map(|range| range.to_string()), Ok(shown.to_owned()));
        }
    }

    #[test]
    fn names_what_is_wrong_with_a_text() {
        use AddressRangeError::{BadLength, NotAnAddress};
        for (text, error) in [
            ("", NotAnAddress),
            ("10.0.0", NotAnAddress),
            ("10.0.0.0.0", NotAnAddress),
            ("010.0.0.1", NotAnAddress),
            ("10.0.0.1:80", NotAnAddress),
            ("[::1]", NotAnAddress),
            ("fe80::1%eth0", NotAnAddress),
            ("example.com", NotAnAddress),
            ("10.0.0.0 /8", NotAnAddress),
            ("10.0.0.0-10.0.0.9", NotAnAddress),
            ("10.0.0.0/", BadLength),
            ("10.0.0.0/33", BadLength),
            ("10.0.0.0/+8", BadLength),
            ("10.0.0.0/0008", BadLength),
            ("10.0.0.0/8/8", BadLength),
            ("10.0.0.0/255.0.0.0", BadLength),
            ("2001:db8::/129", BadLength),
            ("2001:db8::/256", BadLength),
        ] {
            assert_eq!(text.parse::<AddressRange>(), Err(error), "{text}");
        }
        for (text, meant) in [("10.1.2.3/8", "10.0.0.0/8"), ("2001:db8::1/32", "2001:db8::/32")] {
            let meant = meant.parse().expect(meant);
            assert_eq!(text.parse::<AddressRange>(), Err(AddressRangeError::HostBits(meant)), "{text}");
        }
    }
}
