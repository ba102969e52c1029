//! What a request presents, as plain values; and whether it is a request at all.

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, Method, Version};
use pingora_http::RequestHeader;
use pingora_proxy::Session;

use super::answer::Answer;
use crate::approov::Presented;

/// Refuses what Pingora lets through although it is malformed, ambiguous or not wanted: every
/// such request could mean one thing to the gateway and another to the origin.
pub(super) fn refuse_malformed(session: &Session) -> Result<(), Answer> {
    let request = session.req_header();
    if request.method == Method::TRACE {
        // It echoes what only the origin should see.
        return Err(Answer::MethodNotAllowed);
    }
    if !is_plain_target(request.raw_path()) || !has_one_host(request) || !has_plain_framing(request) {
        return Err(Answer::BadRequest);
    }
    let raw = session.to_h1_raw();
    let http1 = request.version != Version::HTTP_2;
    if http1 && (!is_target_as_sent(&raw, request.raw_path()) || has_bare_line_feed(&raw)) {
        return Err(Answer::BadRequest);
    }
    // Pingora has dropped the length by now (RFC 9112 §6.3 allows that); we refuse (§6.1).
    if http1 && request.headers.contains_key(TRANSFER_ENCODING) && has_field(&raw, b"content-length") {
        return Err(Answer::BadRequest);
    }
    Ok(())
}

/// Origin-form (RFC 9112 §3.2.1) in visible ASCII, as RFC 3986 §2 demands.
fn is_plain_target(target: &[u8]) -> bool {
    target.first() == Some(&b'/') && target.iter().all(u8::is_ascii_graphic)
}

/// A fragment, say, is cut off by the parser: what is judged must be what was sent.
fn is_target_as_sent(raw: &[u8], target: &[u8]) -> bool {
    let sent = raw.split(|byte| *byte == b' ').nth(1);
    sent == Some(target)
}

/// Two are refused by Pingora; none is an error in HTTP/1.1 (RFC 9112 §3.2).
fn has_one_host(request: &RequestHeader) -> bool {
    request.version != Version::HTTP_11 || request.headers.get(HOST).is_some_and(|host| !host.is_empty())
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
    let mut rest = raw;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
        if at == 0 || rest[at - 1] != b'\r' {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
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
