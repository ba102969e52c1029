//! The head of a request over HTTP/2.

use http::Method;
use http::header::EXPECT;
use pingora_http::RequestHeader;

use super::super::head::ForwardedHead;
use crate::http::{Body, Field};
use crate::proxy::head::RequestHead;

/// Whether the direct exchange can serve a request with this head, if the origin speaks HTTP/1. Pingora's
/// proxy serves the others: `CONNECT`, requests with `Expect`, and gRPC calls, which are answered in a
/// different form.
pub(super) fn is_plain(head: &RequestHeader) -> bool {
    head.method != Method::CONNECT && !head.headers.contains_key(EXPECT) && !head.is_grpc()
}

/// The framing of the body for an origin with HTTP/1.1. `is_empty` tells that the stream ends with the head.
pub(super) fn body(head: &RequestHeader, is_empty: bool) -> Body {
    match head.declared_length() {
        Some(length) => Body::Length(length),
        None if is_empty => Body::Length(0),
        None => Body::Chunked,
    }
}

impl ForwardedHead for RequestHeader {
    fn write_line(&self, out: &mut Vec<u8>) {
        for part in [self.method().as_bytes(), b" ", self.target(), b" HTTP/1.1"] {
            out.extend_from_slice(part);
        }
    }

    fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        let fields = self.headers.iter();
        fields.map(|(name, value)| Field { name: name.as_str().as_bytes(), value: value.as_bytes() })
    }

    fn is_idempotent(&self) -> bool {
        self.method.is_idempotent()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(method: &str, fields: &[(&'static str, &str)]) -> RequestHeader {
        let mut head = RequestHeader::build_no_case(method, b"/a?b=%20", None).expect("a head");
        head.set_version(http::Version::HTTP_2);
        for (name, value) in fields {
            head.append_header(*name, *value).expect("a field");
        }
        head
    }

    #[test]
    fn tunnels_interim_responses_and_grpc_are_not_plain() {
        assert!(is_plain(&head("POST", &[("content-type", "application/grpc-web")])));
        assert!(!is_plain(&head("CONNECT", &[])));
        assert!(!is_plain(&head("PUT", &[("expect", "100-continue")])));
        assert!(!is_plain(&head("POST", &[("content-type", "application/grpc+proto")])));
    }

    #[test]
    fn a_declared_length_frames_the_body_even_if_the_stream_has_ended() {
        assert_eq!(body(&head("GET", &[]), true), Body::Length(0));
        assert_eq!(body(&head("GET", &[]), false), Body::Chunked);
        for is_empty in [false, true] {
            assert_eq!(body(&head("POST", &[("content-length", "5")]), is_empty), Body::Length(5));
        }
    }

    #[test]
    fn the_request_line_is_one_of_http_1_1() {
        let (head, mut out) = (head("get", &[("a", "1"), ("b", "2"), ("a", "3")]), Vec::new());
        head.write_line(&mut out);
        assert_eq!(out, b"get /a?b=%20 HTTP/1.1");
        assert_eq!(head.fields().filter(|field| field.is_named("A")).count(), 2);
    }
}
