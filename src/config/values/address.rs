//! IP addresses: of listeners, and ranges of them.

use std::net::SocketAddr;

use crate::admin::AdminAddress;
use crate::config::document::{Fault, Kind, Reported, Shape, Text, Value, leading_zero, quoted, text};
use crate::limits::{AddressRange, AddressRangeError};

/// The kind of a listener's address.
pub struct ListenAddress;

pub fn listen_address() -> ListenAddress {
    ListenAddress
}

impl Kind for ListenAddress {
    type Value = SocketAddr;

    fn read(&self, value: &Value<'_>) -> Result<SocketAddr, Reported> {
        value.parse(parse_listen_address)
    }

    fn shape(&self) -> Shape {
        Shape::text("IP address and port")
    }

    fn show(&self, value: &SocketAddr) -> Option<String> {
        Some(value.to_string())
    }
}

/// The address of a listener.
pub fn parse_listen_address(text: &str) -> Result<SocketAddr, Fault> {
    text.parse().map_err(|_| {
        let message = format!("{} is not an IP address and port", quoted(text));
        let port = text.rsplit(':').next().unwrap_or_default();
        let hint = match port.parse::<u16>() {
            Ok(port) if text.starts_with("localhost:") => format!("write 127.0.0.1:{port}"),
            Ok(port) => format!("write 127.0.0.1:{port} for this machine only, or 0.0.0.0:{port} for all"),
            Err(_) => "write one such as 127.0.0.1:8787, 0.0.0.0:8787 or [::1]:8787".to_owned(),
        };
        Fault::new(message, hint)
    })
}

/// The kind of the admin listener's address.
pub fn admin_address() -> Text<AdminAddress> {
    text("IP address and port, or unix:/path", parse_admin_address)
}

/// The address of the admin listener.
pub fn parse_admin_address(text: &str) -> Result<AdminAddress, Fault> {
    match text.parse() {
        Ok(address) => Ok(address),
        Err(_) if text.starts_with("unix:") => {
            let message = format!("{} does not name the path of a unix socket", quoted(text));
            Err(Fault::new(message, "write an absolute path, such as unix:/run/approov-gateway/admin.sock"))
        }
        Err(_) => parse_listen_address(text).map(AdminAddress::Tcp),
    }
}

/// A network such as `10.0.0.0/8`, or one address.
pub fn address_range(text: &str) -> Result<AddressRange, Fault> {
    match text.split_once('/').and_then(|(_, length)| leading_zero(length)) {
        Some(fault) => Err(fault),
        None => text.parse().map_err(|error| range_fault(text, error)),
    }
}

/// Whether a range is larger than any network of one operator, such as a half of all addresses.
pub fn is_large(range: AddressRange) -> bool {
    range.length() < if range.network().is_ipv4() { 8 } else { 16 }
}

/// The fault of a text that is not a range.
pub fn range_fault(text: &str, error: AddressRangeError) -> Fault {
    if let Some(fault) = text.split(['.', '/']).find_map(leading_zero) {
        return fault;
    }
    let text = quoted(text);
    match error {
        AddressRangeError::NotAnAddress => Fault::new(
            format!("{text} is not an IP address or network"),
            "write one such as 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32",
        ),
        AddressRangeError::BadLength => Fault::new(
            format!("{text} has a prefix length that does not fit"),
            "write /0 to /32 after an IPv4 address, /0 to /128 after an IPv6 address",
        ),
        AddressRangeError::HostBits(network) => Fault::new(
            format!("{text} has host bits set"),
            format!("write {network}, or the address without a prefix length"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_at_the_form_of_addresses_that_other_tools_take() {
        for (text, hint) in [
            (":8787", "0.0.0.0:8787"),
            ("8787", "127.0.0.1:8787"),
            ("localhost:80", "write 127.0.0.1:80"),
            ("*", "such as"),
            ("127.0.0.1", "such as"),
        ] {
            let fault = parse_listen_address(text).expect_err(text);
            assert!(fault.hint.contains(hint), "{text}: {fault:?}");
        }
        assert!(parse_listen_address("[::1]:0").is_ok());
    }

    #[test]
    fn ranges_have_no_host_bits() {
        assert_eq!(address_range("10.0.0.0/8").map(|range| range.to_string()), Ok("10.0.0.0/8".to_owned()));
        for (text, hint) in [
            ("10.0.0.1/8", "write 10.0.0.0/8, or the address"),
            ("2001:db8::1/32", "write 2001:db8::/32, or the address"),
            ("10.0.0.0/33", "/0 to /32"),
            ("10.0.0.0/", "/0 to /32"),
            ("10.0.0.0/255.0.0.0", "/0 to /32"),
            ("10/8", "such as"),
            ("proxy.example.com", "such as"),
            ("", "such as"),
        ] {
            let fault = address_range(text).expect_err(text);
            assert!(fault.hint.contains(hint), "{text}: {fault:?}");
        }
    }
}
