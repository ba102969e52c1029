//! The URL of a server that is not an origin: of key sets, or of spans.

use std::net::IpAddr;

use super::host::{Domain, domain};
use crate::config::document::Fault;

/// A parsed URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    /// Scheme, host, port and path.
    pub name: Box<str>,
    /// Scheme, host and port.
    pub domain: Domain,
    /// Path and query.
    pub target: Box<str>,
}

/// Reads the URL of a key set: `https`, or `http` on this machine.
pub fn key_set_url(text: &str) -> Result<ServerUrl, Fault> {
    let url = server_url(text, "write a URL such as https://keys.example.com/jwks.json")?;
    if !url.domain.tls && !is_this_machine(&url.domain.host) {
        let message = "keys that come without TLS can be replaced on the way";
        return Err(Fault::new(
            message,
            "write https://; http:// is for this machine (127.0.0.1, localhost)",
        ));
    }
    Ok(url)
}

/// Reads a URL with `https` or `http`. `hint` shows how one looks.
pub fn server_url(text: &str, hint: &'static str) -> Result<ServerUrl, Fault> {
    let (_, rest) = text.split_once("://").ok_or_else(|| Fault::new("it has no scheme", hint))?;
    let path_at = text.len() - rest.len() + rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (origin, target) = text.split_at(path_at);
    let domain = domain(origin)?;
    if target.contains('#') {
        return Err(Fault::new("it has a fragment", "remove everything from the #"));
    }
    if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Fault::new("it has a character that no URL has", "write it percent-encoded"));
    }
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    let path = target.split('?').next().unwrap_or_default();
    let scheme = if domain.tls { "https" } else { "http" };
    let name = format!("{scheme}://{}{path}", domain.authority.to_str().unwrap_or(&domain.host));
    Ok(ServerUrl { name: name.into(), domain, target: target.into() })
}

fn is_this_machine(host: &str) -> bool {
    let is_loopback = |address: IpAddr| address.to_canonical().is_loopback();
    host == "localhost" || host.ends_with(".localhost") || host.parse().is_ok_and(is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_a_url_apart() {
        for (text, name, target) in [
            ("https://keys.example.com", "https://keys.example.com/", "/"),
            ("HTTPS://Keys.example.com:443/a/b.json", "https://keys.example.com/a/b.json", "/a/b.json"),
            ("https://a:8443/k?v=1&w", "https://a:8443/k", "/k?v=1&w"),
            ("https://a?v=1", "https://a/", "/?v=1"),
            ("http://127.0.0.1:80/k", "http://127.0.0.1/k", "/k"),
            ("http://[::1]:8080/k", "http://[::1]:8080/k", "/k"),
            ("http://keys.localhost/k", "http://keys.localhost/k", "/k"),
        ] {
            let url = key_set_url(text).unwrap_or_else(|fault| panic!("{text}: {}", fault.message));
            assert_eq!((&*url.name, &*url.target), (name, target), "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, part) in [
            ("keys.example.com/k", "no scheme"),
            ("ftp://a/k", "scheme"),
            ("https:///k", "missing"),
            ("https://user:password@a/k", "user part"),
            ("http://keys.example.com/k", "without TLS"),
            ("http://localhost.example.com/k", "without TLS"),
            ("https://a/k#f", "fragment"),
            ("https://a/k\u{e9}", "percent-encoded"),
            ("https://a/k k", "percent-encoded"),
        ] {
            let fault = key_set_url(text).expect_err(text);
            assert!(fault.message.contains(part) || fault.hint.contains(part), "{text}: {fault:?}");
            assert!(!fault.message.contains("password"), "{fault:?}");
        }
    }
}
