//! Heads that are written as bytes: the client's request for the origin, and the origin's response for
//! the client.

use http::HeaderName;
use http::header::HOST;
use pingora_core::protocols::http::date::get_cached_date;

use super::head::{ForwardedHead, ResponseView};
use crate::http::{AnswerBody, Body, Field};
use crate::proxy::forward::{FieldName, Forwarding, OwnFields};
use crate::proxy::response::ResponseEdits;

/// The fields of a request that are for this hop only (RFC 9110 §7.6.1): the fields that Pingora's proxy
/// removes.
const HOP_BY_HOP: [&str; 10] = [
    "connection",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The space for a field's name. A longer name makes it grow.
const USUAL_NAME: usize = 64;

/// Appends the head of a request for the origin. `own` are the fields that the gateway sets.
pub(super) fn request(
    head: &impl ForwardedHead,
    body: Body,
    own: &OwnFields<'_>,
    forwarding: &Forwarding,
    out: &mut Vec<u8>,
) {
    head.write_line(out);
    out.extend_from_slice(b"\r\n");
    let mut lower = Vec::with_capacity(USUAL_NAME);
    for field in head.fields() {
        let name = lower_case(field.name, &mut lower);
        let is_removed = HOP_BY_HOP.contains(&name) || own.replaces(name) || forwarding.removes(name);
        if !is_removed {
            append(field.name, field.value, out);
        }
    }
    for (name, value) in own.fields() {
        let name = match *name {
            FieldName::Usual(name) => name,
            FieldName::Configured(name) => spelled(name),
        };
        append(name.as_bytes(), value.as_bytes(), out);
    }
    if body == Body::Chunked {
        append(b"Transfer-Encoding", b"chunked", out);
    }
    out.extend_from_slice(b"\r\n");
}

/// What follows a response on the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The final response follows an interim one.
    Response,
    /// The client may send another request.
    Request,
    /// The connection is closed after the response.
    Close,
}

/// Appends the head of a response for the client.
pub(super) fn response(
    head: &ResponseView<'_>,
    body: AnswerBody,
    edits: &ResponseEdits<'_>,
    next: Next,
    out: &mut Vec<u8>,
) {
    // The version is that of the sender (RFC 9110 §6.2). A space follows the status even without a reason.
    out.extend_from_slice(b"HTTP/1.1 ");
    let status = head.view.first_line().get(9..).unwrap_or_default();
    out.extend_from_slice(status);
    out.extend_from_slice(if status.len() > 3 { b"\r\n" } else { b" \r\n" });
    for field in head.view.fields() {
        let is_replaced = next != Next::Response && field.is_named("date");
        if !is_replaced && passes(field, edits) {
            append(field.name, field.value, out);
        }
    }
    for (name, value) in edits.own() {
        append(name.as_str().as_bytes(), value.as_bytes(), out);
    }
    if body == AnswerBody::UntilClose {
        append(b"Transfer-Encoding", b"chunked", out);
    }
    if next != Next::Response {
        append(b"Date", get_cached_date().as_bytes(), out);
        append(b"Connection", if next == Next::Close { b"close" } else { b"keep-alive" }, out);
    }
    out.extend_from_slice(b"\r\n");
}

/// Whether a field of the origin's response passes on to the client.
pub(super) fn passes(field: Field<'_>, edits: &ResponseEdits<'_>) -> bool {
    !field.is_named("connection")
        && !edits.removed().any(|name| field.is_named(name.as_str()))
        && !edits.own().any(|(name, _)| field.is_named(name.as_str()))
}

/// Appends one field line with its line end.
fn append(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// The usual spelling of a name, as Pingora writes it.
fn spelled(name: &HeaderName) -> &str {
    if *name == HOST { "Host" } else { name.as_str() }
}

/// The name in lower case. A name is a token, and so it is ASCII.
fn lower_case<'s>(name: &[u8], space: &'s mut Vec<u8>) -> &'s str {
    space.clear();
    space.extend_from_slice(name);
    space.make_ascii_lowercase();
    std::str::from_utf8(space).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_whole_however_long() {
        let (name, mut space) = ("X-".repeat(500), Vec::new());
        assert_eq!(lower_case(name.as_bytes(), &mut space), "x-".repeat(500));
        assert_eq!(lower_case(b"Host", &mut space), "host");
    }
}
