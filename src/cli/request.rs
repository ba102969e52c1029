//! A request in a file or on the command line, for the commands that sign and inspect.

use crate::approov::Presented;
use crate::approov::message_signing::{Fields, Message};

/// A request that is inspected or signed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    /// Whether the scheme is `https`.
    pub is_secure: bool,
    /// The host and its port.
    pub authority: String,
    /// The request target: path and query.
    pub target: String,
    /// The header fields in their order.
    pub fields: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

impl Request {
    /// A request without fields for an `http` or `https` URL.
    pub fn for_url(method: &str, url: &str) -> Result<Self, String> {
        let (is_secure, rest) =
            split_scheme(url).ok_or("write a URL that begins with https:// or http://")?;
        if rest.contains(['#', ' ']) {
            return Err("a URL that is sent has no fragment and no blank".into());
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.is_empty() || authority.contains('@') {
            return Err("the URL names no host, or a user".into());
        }
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        Ok(Self { method: method.into(), is_secure, authority: authority.into(), target, ..Self::default() })
    }

    /// Reads an HTTP/1 request as it is on the wire. Line feeds alone end lines as well, and the body
    /// is everything after the empty line.
    pub fn parse(bytes: &[u8], is_secure: bool) -> Result<Self, String> {
        let mut rest = bytes;
        let mut next_line = || {
            let end = rest.iter().position(|byte| *byte == b'\n')?;
            let line = &rest[..end];
            rest = &rest[end + 1..];
            Some(line.strip_suffix(b"\r").unwrap_or(line))
        };
        let first = next_line().and_then(|line| std::str::from_utf8(line).ok());
        let parts: Vec<&str> = first.unwrap_or_default().split(' ').collect();
        let [method, target, version] = parts[..] else {
            return Err("the first line is no request line: METHOD /path HTTP/1.1".into());
        };
        if !version.starts_with("HTTP/") {
            return Err("the first line does not end in an HTTP version".into());
        }
        let mut fields = Vec::new();
        loop {
            let line = next_line().ok_or("there is no empty line after the header fields")?;
            if line.is_empty() {
                break;
            }
            fields.push(field(line)?);
        }
        let mut request = if target.starts_with('/') || target == "*" {
            let host = fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
            let host = host.ok_or("there is no Host field")?;
            let authority = String::from_utf8_lossy(&host.1).into_owned();
            Self { method: method.into(), is_secure, authority, target: target.into(), ..Self::default() }
        } else {
            Self::for_url(method, target)?
        };
        request.fields = fields;
        request.body = rest.to_vec();
        Ok(request)
    }

    /// Adds a field from a line `Name: value`.
    pub fn add_field(&mut self, line: &str) -> Result<(), String> {
        self.fields.push(field(line.as_bytes())?);
        Ok(())
    }

    /// A field: its value, or that it is missing or repeated.
    pub fn presented(&self, name: &str) -> Presented<'_> {
        let mut values = Vec::new();
        self.fields.each_value(name, &mut |value| values.push(value));
        Presented::from_values(values)
    }

    /// The parts that a signature can cover.
    pub fn message(&self) -> Message<'_> {
        Message {
            method: self.method.as_bytes(),
            is_secure: self.is_secure,
            authority: self.authority.as_bytes(),
            target: self.target.as_bytes(),
            fields: &self.fields,
            has_body: !self.body.is_empty(),
        }
    }
}

fn split_scheme(url: &str) -> Option<(bool, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    match scheme.to_ascii_lowercase().as_str() {
        "https" => Some((true, rest)),
        "http" => Some((false, rest)),
        _ => None,
    }
}

fn field(line: &[u8]) -> Result<(String, Vec<u8>), String> {
    let colon = line.iter().position(|byte| *byte == b':').filter(|at| *at > 0);
    let name = colon.and_then(|at| std::str::from_utf8(&line[..at]).ok());
    let (Some(at), Some(name)) = (colon, name) else {
        return Err("write a header field as 'Name: value'".into());
    };
    if name.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err("the name of a header field has no blanks".into());
    }
    Ok((name.into(), line[at + 1..].trim_ascii().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_request_with_body_and_either_line_ending() {
        let text = "POST /a?b HTTP/1.1\r\nHost: api.example.com:8443\r\nX-A:  1 \n\r\nbo\ndy";
        let request = Request::parse(text.as_bytes(), true).expect("a request");
        assert_eq!((&*request.method, &*request.authority), ("POST", "api.example.com:8443"));
        assert_eq!((&*request.target, request.is_secure), ("/a?b", true));
        assert_eq!(request.presented("x-a"), Presented::Once(b"1"));
        assert_eq!(request.body, b"bo\ndy");
    }

    #[test]
    fn takes_the_parts_of_a_url_and_of_an_absolute_target() {
        for (url, is_secure, authority, target) in [
            ("https://api.example.com", true, "api.example.com", "/"),
            ("HTTP://a:1?x=1", false, "a:1", "/?x=1"),
            ("https://a/b?c=d|e", true, "a", "/b?c=d|e"),
        ] {
            let request = Request::for_url("GET", url).expect(url);
            assert_eq!(
                (request.is_secure, &*request.authority, &*request.target),
                (is_secure, authority, target)
            );
            let text = format!("GET {url} HTTP/1.1\n\n");
            assert_eq!(Request::parse(text.as_bytes(), !is_secure), Ok(request), "{url}");
        }
        for url in ["api.example.com", "ftp://a/", "https://", "https://u@a/", "https://a/#b", "https://a/ b"]
        {
            assert!(Request::for_url("GET", url).is_err(), "{url}");
        }
    }
}
