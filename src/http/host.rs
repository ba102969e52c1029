//! The value of `Host` (RFC 9110 §7.2).

/// Whether `host` is a name or an address, with or without a port.
pub fn is_host(host: &[u8]) -> bool {
    let is_bracketed = host.starts_with(b"[");
    let Some((name, behind)) = split_name(host, is_bracketed) else { return false };
    let is_name_byte = |byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_') || is_bracketed && *byte == b':'
    };
    let is_port = |port: &[u8]| port.iter().all(u8::is_ascii_digit);
    !name.is_empty()
        && name.iter().all(is_name_byte)
        && (behind.is_empty() || behind[0] == b':' && is_port(&behind[1..]))
}

/// The name without brackets, and the bytes behind it. `None` if a bracket is not closed.
fn split_name(host: &[u8], is_bracketed: bool) -> Option<(&[u8], &[u8])> {
    if is_bracketed {
        let end = memchr::memchr(b']', host)?;
        Some((&host[1..end], &host[end + 1..]))
    } else {
        Some(host.split_at(memchr::memchr(b':', host).unwrap_or(host.len())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_hosts_with_and_without_a_port() {
        for host in ["a", "a.example", "A_b-c.example:443", "192.0.2.1:80", "[::1]", "[2001:db8::1]:80", "a:"]
        {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in
            ["", ":80", "a b", "a@b", "a/b", "a:b", "a:80:80", "[::1", "[]", "[::1]x", "::1", "caf\u{e9}"]
        {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }
}
