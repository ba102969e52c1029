//! Which requests are served at all.

use http::header::{
    CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderName, Version};

use super::head::{RequestHead, ResponseHead};
use crate::approov::Presented;
use crate::http::{
    HeadLimits, content_length, has_option, is_host, is_origin_form, is_websocket_key, websocket_accept,
};
use crate::limits::Cause;

/// Why a request is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Invalid {
    /// The method is not served.
    Method,
    /// The head is malformed or ambiguous.
    Head,
}

/// Refuses heads that are malformed or ambiguous, and methods that are not served. The head of an
/// HTTP/1 request has been judged as bytes before ([`crate::http`]); an HTTP/2 head consists of fields.
pub(super) fn check(head: &impl RequestHead, guarded: &[HeaderName], has_tls: bool) -> Result<(), Invalid> {
    // TRACE would echo fields that are meant for the origin only, and CONNECT asks for another kind
    // of proxy.
    if matches!(head.method(), "TRACE" | "CONNECT") {
        return Err(Invalid::Method);
    }
    let is_valid = match head.version() {
        Version::HTTP_2 => {
            is_origin_form(head.target())
                && is_host(head.host())
                && has_valid_length(head)
                && fits_scheme(head, has_tls)
        }
        _ => !nominates(head, guarded),
    };
    if is_valid { Ok(()) } else { Err(Invalid::Head) }
}

/// The size limit that a head exceeds. The head of an HTTP/1 request has been measured before; of an
/// HTTP/2 head only the bytes of all fields have been.
pub(super) fn oversize(head: &impl RequestHead, limits: &HeadLimits) -> Option<Cause> {
    if head.version() != Version::HTTP_2 {
        None
    } else if head.target().len() > limits.target {
        Some(Cause::TargetSize)
    } else {
        // `:authority` counts as the field `Host`.
        (head.field_count() >= limits.fields).then_some(Cause::HeaderSize)
    }
}

/// Whether `:scheme` is the scheme of the connection (RFC 9113 §8.3.1). Without TLS `https` fits as well,
/// because a proxy in front may have ended the TLS connection.
fn fits_scheme(head: &impl RequestHead, has_tls: bool) -> bool {
    match head.scheme() {
        Some("https") | None => true,
        Some("http") => !has_tls,
        Some(_) => false,
    }
}

/// Whether the request has at most one content length, in digits.
fn has_valid_length(head: &impl RequestHead) -> bool {
    match head.presented(&CONTENT_LENGTH) {
        Presented::Missing => true,
        Presented::Once(value) => content_length(value).is_some(),
        Presented::Repeated => false,
    }
}

/// Whether `Connection` names a field that must reach the origin (RFC 9110 §7.6.1). The field would be
/// removed after it was verified.
fn nominates(head: &impl RequestHead, guarded: &[HeaderName]) -> bool {
    head.values(&CONNECTION).any(|value| {
        value.split(|byte| *byte == b',').any(|name| {
            let name = name.trim_ascii();
            guarded.iter().any(|guarded| name.eq_ignore_ascii_case(guarded.as_str().as_bytes()))
        })
    })
}

/// What a request says about another protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upgrade {
    /// The request has no `Upgrade`.
    None,
    /// A WebSocket handshake (RFC 6455 §4.1).
    WebSocket,
    /// Any other `Upgrade`, which the gateway removes as every server may (RFC 9110 §7.8). If it were
    /// forwarded, `h2c` would open a tunnel in which no request is verified.
    Ignored,
}

impl Upgrade {
    /// The upgrade that a request asks for.
    pub fn of(head: &impl RequestHead) -> Self {
        match head.presented(&UPGRADE) {
            Presented::Missing => Upgrade::None,
            Presented::Once(protocol)
                if protocol.eq_ignore_ascii_case(b"websocket") && is_websocket_handshake(head) =>
            {
                Upgrade::WebSocket
            }
            Presented::Once(_) | Presented::Repeated => Upgrade::Ignored,
        }
    }
}

/// Whether the request has what RFC 6455 §4.1 asks of a handshake besides `Upgrade: websocket`.
fn is_websocket_handshake(head: &impl RequestHead) -> bool {
    head.version() == Version::HTTP_11
        && head.method() == "GET"
        && has_option(head.values(&CONNECTION), b"upgrade")
        && matches!(head.presented(&SEC_WEBSOCKET_KEY), Presented::Once(key) if is_websocket_key(key))
        && matches!(head.presented(&SEC_WEBSOCKET_VERSION), Presented::Once(b"13"))
}

/// Whether a response with status 101 accepts the WebSocket handshake of `request` (RFC 6455 §4.1). Only
/// then has the origin read the handshake and will read the next bytes as WebSocket.
pub(super) fn accepts_handshake(request: &impl RequestHead, response: &impl ResponseHead) -> bool {
    let Presented::Once(key) = request.presented(&SEC_WEBSOCKET_KEY) else { return false };
    let is_websocket = |protocol: &[u8]| protocol.eq_ignore_ascii_case(b"websocket");
    has_option(response.values(&CONNECTION), b"upgrade")
        && matches!(response.presented(&UPGRADE), Presented::Once(protocol) if is_websocket(protocol))
        && matches!(response.presented(&SEC_WEBSOCKET_ACCEPT), Presented::Once(accept)
            if accept == websocket_accept(key).as_bytes())
}
