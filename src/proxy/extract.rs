//! What a request presents, as plain values; and whether it is a request at all.

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use pingora_http::{RequestHeader, ResponseHeader};

use crate::approov::Presented;
use crate::http::{content_length, has_option, is_host, is_origin_form, is_websocket_key, websocket_accept};

/// Why a request is not one to be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// A method that is not served.
    Method,
    /// Malformed or ambiguous.
    Form,
}

/// Refuses what is malformed, ambiguous or not wanted. The head of an HTTP/1 request has been judged
/// as bytes before ([`crate::downstream`]); of HTTP/2 there are only fields.
pub(super) fn refuse_malformed(
    request: &RequestHeader,
    guarded: &[HeaderName],
    has_tls: bool,
) -> Result<(), Unfit> {
    if request.method == Method::TRACE || request.method == Method::CONNECT {
        // TRACE echoes what only the origin should see; CONNECT is for another kind of proxy.
        return Err(Unfit::Method);
    }
    let is_fine = match request.version {
        Version::HTTP_2 => {
            is_origin_form(request.raw_path())
                && is_host(host(request))
                && has_plain_length(request)
                && fits_scheme(request, has_tls)
        }
        _ => !nominates(request, guarded),
    };
    if is_fine { Ok(()) } else { Err(Unfit::Form) }
}

/// Whether `:scheme` is that of the connection (RFC 9113 §8.3.1). In clear text `https` fits as well: a
/// proxy in front may have taken the TLS off.
fn fits_scheme(request: &RequestHeader, has_tls: bool) -> bool {
    match request.uri.scheme_str() {
        Some("https") | None => true,
        Some("http") => !has_tls,
        Some(_) => false,
    }
}

/// At most one length, in plain digits.
fn has_plain_length(request: &RequestHeader) -> bool {
    match presented(&request.headers, &CONTENT_LENGTH) {
        Presented::Missing => true,
        Presented::Once(value) => content_length(value).is_some(),
        Presented::Repeated => false,
    }
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

/// The length that the request declares for its body; none for what is streamed.
pub(super) fn length(request: &RequestHeader) -> Option<u64> {
    std::str::from_utf8(request.headers.get(CONTENT_LENGTH)?.as_bytes()).ok()?.parse().ok()
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

/// Removes every `Upgrade` but that of a WebSocket handshake (RFC 6455 §4.1), and says whether there is
/// one. A server may ignore any other wish to upgrade (RFC 9110 §7.8). Forwarded, `h2c` would open a
/// tunnel in which nothing is verified.
pub(super) fn settle_upgrade(request: &mut RequestHeader) -> bool {
    let is_websocket = match presented(&request.headers, &UPGRADE) {
        Presented::Missing => return false,
        Presented::Once(protocol) => {
            protocol.eq_ignore_ascii_case(b"websocket") && is_websocket_handshake(request)
        }
        Presented::Repeated => false,
    };
    if !is_websocket {
        request.remove_header(&UPGRADE);
    }
    is_websocket
}

/// What RFC 6455 §4.1 asks of a handshake besides `Upgrade: websocket`.
fn is_websocket_handshake(request: &RequestHeader) -> bool {
    let headers = &request.headers;
    request.version == Version::HTTP_11
        && request.method == Method::GET
        && has_option(headers.get_all(CONNECTION).iter().map(HeaderValue::as_bytes), b"upgrade")
        && matches!(presented(headers, &SEC_WEBSOCKET_KEY), Presented::Once(key) if is_websocket_key(key))
        && matches!(presented(headers, &SEC_WEBSOCKET_VERSION), Presented::Once(b"13"))
}

/// Whether a 101 answers the WebSocket handshake of `request` (RFC 6455 §4.1). Only then is it known that
/// the origin has read the handshake and will read what follows as WebSocket.
pub(super) fn accepts_handshake(request: &RequestHeader, response: &ResponseHeader) -> bool {
    let headers = &response.headers;
    let Presented::Once(key) = presented(&request.headers, &SEC_WEBSOCKET_KEY) else { return false };
    has_option(headers.get_all(CONNECTION).iter().map(HeaderValue::as_bytes), b"upgrade")
        && matches!(presented(headers, &UPGRADE), Presented::Once(protocol)
            if protocol.eq_ignore_ascii_case(b"websocket"))
        && matches!(presented(headers, &SEC_WEBSOCKET_ACCEPT), Presented::Once(accept)
            if accept == websocket_accept(key).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::RequestLine;

    #[test]
    fn every_target_that_passes_is_parsed_as_it_was_sent() {
        let mut passed = 0;
        for byte in 0..=255u8 {
            let target = [b'/', byte, b'?', byte];
            let line = [b"GET ", &target[..], b" HTTP/1.1\r\n"].concat();
            if RequestLine::of(&line).is_none_or(|line| line.target != target) {
                continue;
            }
            let parsed = RequestHeader::build("GET", &target, None).expect("a target");
            assert_eq!(parsed.raw_path(), target, "{}", target.escape_ascii());
            passed += 1;
        }
        assert_eq!(passed, 89);
    }
}
