//! Where an origin is: `host`, `host:port`, or a URL with `http://` or `https://`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::HeaderValue;

use crate::config::document::{Fault, digits, quoted};

/// A parsed domain. The meaning of the fields is that of the same fields of `Origin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    pub host: Box<str>,
    pub port: u16,
    pub tls: bool,
    pub authority: HeaderValue,
}

/// Reads a domain. A bare host means HTTPS.
pub fn domain(text: &str) -> Result<Domain, Fault> {
    if let Some(found) = text.chars().find(|c| c.is_whitespace() || c.is_control()) {
        let message = format!("it has a character that no host name has: {}", quoted(&found.to_string()));
        return Err(Fault::new(message, "remove it"));
    }
    let (tls, rest) = match text.split_once("://") {
        None => (true, text),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
        Some((scheme, _)) => {
            let message = format!("the scheme {} is not supported", quoted(scheme));
            return Err(Fault::new(message, "write https://, or http:// for an origin without TLS"));
        }
    };
    if rest.contains('@') {
        let hint = "remove everything up to the @; the gateway sends no credentials of its own";
        return Err(Fault::new("it has a user part", hint));
    }
    for (mark, what) in [('?', "a query"), ('#', "a fragment"), ('/', "a path")] {
        match rest.split_once(mark) {
            Some((_, "")) if mark == '/' => {
                return Err(Fault::new(
                    "it ends in a slash",
                    "remove the slash; paths are forwarded as they come",
                ));
            }
            Some(_) => {
                let hint = "write host and port only; paths are forwarded as they come";
                return Err(Fault::new(format!("it has {what}"), hint));
            }
            None => {}
        }
    }
    let (host, port) = host_and_port(rest)?;
    let default_port = if tls { 443 } else { 80 };
    let port = port.unwrap_or(default_port);
    let bracketed = if host.contains(':') { format!("[{host}]") } else { host.to_string() };
    let authority = if port == default_port { bracketed } else { format!("{bracketed}:{port}") };
    let authority = HeaderValue::from_str(&authority)
        .map_err(|_| Fault::new("it is not a host name", "write a host name or an IP address"))?;
    Ok(Domain { host, port, tls, authority })
}

/// A host, and a port where there is one.
pub fn host_and_port(text: &str) -> Result<(Box<str>, Option<u16>), Fault> {
    if let Some(rest) = text.strip_prefix('[') {
        let (inside, behind) = rest
            .split_once(']')
            .ok_or_else(|| Fault::new("it has no ] behind the IPv6 address", "write [::1] or [::1]:8080"))?;
        let address: Ipv6Addr = inside.parse().map_err(|_| {
            let message = format!("{} is not an IPv6 address", quoted(inside));
            Fault::new(message, "write one such as [2001:db8::1], without a zone")
        })?;
        let port = match behind.strip_prefix(':') {
            Some(digits) => Some(port(digits)?),
            None if behind.is_empty() => None,
            None => return Err(Fault::new("something other than :port follows the ]", "write [::1]:8080")),
        };
        return Ok((address.to_string().into(), port));
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err(Fault::new("an IPv6 address stands without brackets", format!("write [{text}]")));
    }
    match text.split_once(':') {
        Some((host, digits)) => Ok((host_name(host)?, Some(port(digits)?))),
        None => Ok((host_name(text)?, None)),
    }
}

fn port(text: &str) -> Result<u16, Fault> {
    digits(text).filter(|port| *port > 0).ok_or_else(|| {
        let message = format!("{} is not a port", quoted(text));
        Fault::new(message, "write a number from 1 to 65535, or leave port and colon out")
    })
}

/// A host name in lower case, or an IPv4 address. Host names are those of RFC 1123 §2.1 and
/// those with `_`, which occur in private networks.
pub fn host_name(text: &str) -> Result<Box<str>, Fault> {
    if text.is_empty() {
        return Err(Fault::new("the host name is missing", "write one such as api.example.com"));
    }
    if !text.is_ascii() {
        let hint = "write its ASCII form, which begins with xn--";
        return Err(Fault::new(format!("the host name {} is not ASCII", quoted(text)), hint));
    }
    if text.ends_with('.') {
        return Err(Fault::new("the host name ends in a dot", "remove the dot"));
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    if text.len() > 253 || !text.split('.').all(is_label) {
        let message = format!("{} is not a host name", quoted(text));
        return Err(Fault::new(message, "write one such as api.example.com"));
    }
    // No top-level domain is a number (RFC 1123 §2.1), and some resolvers read 127.1 as an address.
    let last = text.rsplit('.').next().unwrap_or(text);
    if last.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<Ipv4Addr>().is_err() {
        let message = format!("{} is neither a host name nor an IPv4 address", quoted(text));
        return Err(Fault::new(message, "write one such as api.example.com or 192.0.2.1"));
    }
    Ok(text.to_ascii_lowercase().into())
}

/// A name that a certificate can be for: a host name or an IP address.
pub fn server_name(text: &str) -> Result<Box<str>, Fault> {
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(address.to_string().into()),
        Err(_) => host_name(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_hosts_ports_and_schemes() {
        for (text, host, port, tls, authority) in [
            ("api.example.com", "api.example.com", 443, true, "api.example.com"),
            ("API.Example.com:443", "api.example.com", 443, true, "api.example.com"),
            ("api.example.com:8443", "api.example.com", 8443, true, "api.example.com:8443"),
            ("https://api.example.com", "api.example.com", 443, true, "api.example.com"),
            ("HTTP://api.example.com", "api.example.com", 80, false, "api.example.com"),
            ("http://my_api:443", "my_api", 443, false, "my_api:443"),
            ("192.0.2.1:80", "192.0.2.1", 80, true, "192.0.2.1:80"),
            ("http://[::1]:8080", "::1", 8080, false, "[::1]:8080"),
            ("[2001:DB8::0:1]", "2001:db8::1", 443, true, "[2001:db8::1]"),
        ] {
            let authority = HeaderValue::from_static(authority);
            assert_eq!(domain(text), Ok(Domain { host: host.into(), port, tls, authority }), "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let long = "a".repeat(64);
        for (text, part) in [
            ("", "missing"),
            ("https://", "missing"),
            (":443", "missing"),
            ("https://:443", "missing"),
            ("api.example.com/", "ends in a slash"),
            ("https://api.example.com/v1", "a path"),
            ("https:/api.example.com", "a path"),
            ("api.example.com//", "a path"),
            ("api.example.com?x", "a query"),
            ("api.example.com/?x/", "a query"),
            ("api.example.com#x", "a fragment"),
            ("https://user:password@api.example.com", "a user part"),
            ("user@api.example.com/x", "a user part"),
            ("ftp://api.example.com", "scheme"),
            ("://api.example.com", "scheme"),
            ("api.example.com:", "not a port"),
            ("api.example.com:0", "not a port"),
            ("api.example.com:65536", "not a port"),
            ("api.example.com:+80", "not a port"),
            ("api.example.com:80:80", "not a port"),
            ("::1", "without brackets"),
            ("[::1", "no ]"),
            ("[::1]8080", "follows the ]"),
            ("[fe80::1%eth0]", "not an IPv6 address"),
            ("[api.example.com]", "not an IPv6 address"),
            ("api example.com", "no host name has"),
            ("api.example.com\r", "`\\r`"),
            ("api.example.com.", "dot"),
            ("api..example.com", "not a host name"),
            ("-api.example.com", "not a host name"),
            ("api,example", "not a host name"),
            ("*.example.com", "not a host name"),
            (long.as_str(), "not a host name"),
            ("bücher.example", "xn--"),
            ("127.1", "IPv4"),
            ("8080", "IPv4"),
            ("256.0.0.1", "IPv4"),
        ] {
            let fault = domain(text).expect_err(text);
            let whole = format!("{}; {}", fault.message, fault.hint);
            assert!(whole.contains(part), "{text}: {whole}");
            assert!(!whole.contains("password"), "{whole}");
        }
    }
}
