//! What a request presents, as plain values; and whether it is a request at all.

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, Method, Version};
use pingora_http::RequestHeader;
use pingora_proxy::Session;

use crate::approov::Presented;

/// Why a request is not one to be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// A method that is not served.
    Method,
    /// Malformed or ambiguous.
    Form,
}

/// Refuses what Pingora lets through although it is malformed, ambiguous or not wanted: every
/// such request could mean one thing to the gateway and another to the origin.
pub(super) fn refuse_malformed(session: &Session, guarded: &[HeaderName]) -> Result<(), Unfit> {
    let request = session.req_header();
    if request.method == Method::TRACE || request.method == Method::CONNECT {
        // TRACE echoes what only the origin should see; CONNECT is for another kind of proxy.
        return Err(Unfit::Method);
    }
    if !is_plain_target(request.raw_path())
        || !has_plain_host(request)
        || !has_plain_framing(request)
        || nominates(request, guarded)
    {
        return Err(Unfit::Form);
    }
    let raw = session.to_h1_raw();
    let http1 = request.version != Version::HTTP_2;
    if http1 && (!is_target_as_sent(&raw, request.raw_path()) || has_bare_line_feed(&raw)) {
        return Err(Unfit::Form);
    }
    // Pingora has dropped the length by now (RFC 9112 §6.3 allows that); we refuse (§6.1).
    if http1 && request.headers.contains_key(TRANSFER_ENCODING) && has_field(&raw, b"content-length") {
        return Err(Unfit::Form);
    }
    Ok(())
}

/// Origin-form (RFC 9112 §3.2.1) in visible ASCII, as RFC 3986 §2 demands.
fn is_plain_target(target: &[u8]) -> bool {
    target.first() == Some(&b'/') && target.iter().all(u8::is_ascii_graphic)
}

/// A fragment, say, is cut off by the parser: what is judged must be what was sent.
fn is_target_as_sent(raw: &[u8], target: &[u8]) -> bool {
    let Some(start) = memchr::memchr(b' ', raw) else { return false };
    let behind = &raw[start + 1..];
    behind.starts_with(target) && behind.get(target.len()) == Some(&b' ')
}

/// Two hosts are refused by Pingora; none is an error in HTTP/1.1 (RFC 9112 §3.2).
fn has_plain_host(request: &RequestHeader) -> bool {
    match request.headers.get(HOST) {
        Some(host) => is_host(host.as_bytes()),
        None => request.version != Version::HTTP_11,
    }
}

/// A name or address, and perhaps a port (RFC 9110 §7.2).
fn is_host(host: &[u8]) -> bool {
    let (name, behind) = match host {
        [b'[', rest @ ..] => match memchr::memchr(b']', rest) {
            Some(end) => (&rest[..end], &rest[end + 1..]),
            None => return false,
        },
        _ => host.split_at(memchr::memchr(b':', host).unwrap_or(host.len())),
    };
    let is_bracketed = host.starts_with(b"[");
    let in_name = |byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_') || is_bracketed && *byte == b':'
    };
    let is_port = |port: &[u8]| port.iter().all(u8::is_ascii_digit);
    !name.is_empty()
        && name.iter().all(in_name)
        && (behind.is_empty() || behind[0] == b':' && is_port(&behind[1..]))
}

/// Whether `Connection` names a field that must reach the origin (RFC 9110 §7.6.1): it would be
/// taken off after it was verified.
fn nominates(request: &RequestHeader, guarded: &[HeaderName]) -> bool {
    request.headers.get_all(CONNECTION).iter().any(|value| {
        value.as_bytes().split(|byte| *byte == b',').any(|name| {
            let name = name.trim_ascii();
            guarded.iter().any(|guarded| name.eq_ignore_ascii_case(guarded.as_str().as_bytes()))
        })
    })
}

/// At most one length, in digits; or the one transfer coding, `chunked` (RFC 9112 §6).
fn has_plain_framing(request: &RequestHeader) -> bool {
    let is_length = |value: &[u8]| !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let is_chunked = |value: &[u8]| value.eq_ignore_ascii_case(b"chunked");
    let once = |name, test: &dyn Fn(&[u8]) -> bool| match presented(&request.headers, &name) {
        Presented::Missing => true,
        Presented::Once(value) => test(value),
        Presented::Repeated => false,
    };
    once(CONTENT_LENGTH, &is_length) && once(TRANSFER_ENCODING, &is_chunked)
}

/// A line that ends in a line feed alone (RFC 9112 §2.2).
fn has_bare_line_feed(raw: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', raw).any(|at| at == 0 || raw[at - 1] != b'\r')
}

/// Whether a field line has this name (in lower case).
fn has_field(raw: &[u8], name: &[u8]) -> bool {
    raw.split(|byte| *byte == b'\n').any(|line| {
        line.split_at_checked(name.len()).is_some_and(|(start, rest)| {
            start.eq_ignore_ascii_case(name) && rest.trim_ascii_start().first() == Some(&b':')
        })
    })
}

/// The path of the target without the query: the bytes that are forwarded.
pub(super) fn path(request: &RequestHeader) -> &[u8] {
    let target = request.raw_path();
    target.iter().position(|byte| *byte == b'?').map_or(target, |query| &target[..query])
}

/// The `Host` field, or the authority of HTTP/2.
pub(super) fn host(request: &RequestHeader) -> &[u8] {
    match request.headers.get(HOST) {
        Some(host) => host.as_bytes(),
        None => request.uri.authority().map_or(b"", |authority| authority.as_str().as_bytes()),
    }
}

/// All values of a header that decides something.
pub(super) fn presented<'r>(headers: &'r HeaderMap, name: &HeaderName) -> Presented<'r> {
    Presented::from_values(headers.get_all(name).iter().map(|value| value.as_bytes()))
}

/// As the access log writes it.
pub(super) fn protocol_version(request: &RequestHeader) -> &'static str {
    match request.version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_11 => "1.1",
        Version::HTTP_2 => "2",
        _ => "",
    }
}

/// Leaves of upgrades only a WebSocket handshake (RFC 6455 §4.1) and says whether there is one. A
/// server may ignore any other wish to upgrade (RFC 9110 §7.8); forwarded, `h2c` would open a
/// tunnel behind which nothing is verified.
pub(super) fn settle_upgrade(request: &mut RequestHeader) -> bool {
    let is_websocket = match presented(&request.headers, &UPGRADE) {
        Presented::Missing => return false,
        Presented::Once(protocol) => {
            protocol.eq_ignore_ascii_case(b"websocket")
                && request.version == Version::HTTP_11
                && request.method == Method::GET
        }
        Presented::Repeated => false,
    };
    if !is_websocket {
        request.remove_header(&UPGRADE);
    }
    is_websocket
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_bare_line_feeds() {
        assert!(!has_bare_line_feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
        for raw in ["GET / HTTP/1.1\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\n\r\n", "\n"] {
            assert!(has_bare_line_feed(raw.as_bytes()), "{raw:?}");
        }
    }

    #[test]
    fn knows_a_host_from_what_is_none() {
        for host in [
            "a",
            "api.example.com",
            "a_b.test:8443",
            "192.0.2.1:80",
            "[2001:db8::1]",
            "[::1]:8080",
            "a.test.",
        ] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in ["", ":80", "a b", "a,b", "a/b", "a:b", "a:1:2", "[::1", "[::1]x", "[]", "a@b", "\u{e9}"]
        {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn finds_fields_in_the_raw_head() {
        let raw = b"POST / HTTP/1.1\r\ncontent-LENGTH : 3\r\nX-Content-Length: 3\r\n\r\n";
        assert!(has_field(raw, b"content-length"));
        assert!(!has_field(raw, b"content"));
        assert!(!has_field(raw, b"length"));
    }

    #[test]
    fn a_target_is_the_same_as_sent_or_refused() {
        assert!(is_target_as_sent(b"GET /a?b HTTP/1.1\r\n", b"/a?b"));
        assert!(!is_target_as_sent(b"GET /a#b HTTP/1.1\r\n", b"/a"));
        assert!(is_plain_target(b"/a?b=%20{}"));
        for target in ["", "*", "http://a/", "/a b", "/caf\u{e9}", "/\u{0}"] {
            assert!(!is_plain_target(target.as_bytes()), "{target:?}");
        }
    }
}
