//! Addresses as numbers, and ranges of them.

use std::net::IpAddr;

/// The length of an address in bits, and its value. IPv4-mapped IPv6 addresses are IPv4.
pub type Number = (usize, u128);

pub fn number(address: IpAddr) -> Number {
    match address.to_canonical() {
        IpAddr::V4(address) => (32, address.to_bits().into()),
        IpAddr::V6(address) => (128, address.to_bits()),
    }
}

/// Whether the first `length` bits equal those of `network`.
pub fn is_in((width, address): Number, (network_width, network): Number, length: usize) -> bool {
    let differing = address ^ network;
    width == network_width && (length == 0 || differing >> (width - length) == 0)
}
