//! Ranges of addresses, said naively: by their bits as text.

use std::net::IpAddr;

/// The bits of an address; IPv4 written as IPv6 is IPv4.
pub fn bits(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => format!("{:032b}", address.to_bits()),
        IpAddr::V6(address) => format!("{:0128b}", address.to_bits()),
    }
}

/// Whether an address has the first `length` bits of `network`.
pub fn is_in(address: IpAddr, network: IpAddr, length: usize) -> bool {
    let (address, network) = (bits(address), bits(network));
    address.len() == network.len() && address[..length] == network[..length]
}
