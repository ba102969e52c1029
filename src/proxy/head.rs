//! The heads of messages, as decisions see them.
//!
//! Decisions read a head through these traits and do not care how the head is stored.

use http::header::{
    ACCESS_CONTROL_REQUEST_METHOD, CONTENT_LENGTH, CONTENT_TYPE, HOST, ORIGIN, TRANSFER_ENCODING,
};
use http::{HeaderName, HeaderValue, StatusCode, Version};
use pingora_http::{RequestHeader, ResponseHeader};

use crate::approov::Presented;

/// The head of a request.
pub(super) trait RequestHead {
    /// The method, in its own letter case.
    fn method(&self) -> &str;

    /// The request target: the bytes that are forwarded.
    fn target(&self) -> &[u8];

    /// The version of HTTP that the client speaks.
    fn version(&self) -> Version;

    /// The pseudo-header field `:scheme` of HTTP/2.
    fn scheme(&self) -> Option<&str>;

    /// The value of `Host`, or `:authority` of HTTP/2. Empty if the request has neither.
    fn host(&self) -> &[u8];

    /// All values of a field, in their order.
    fn values<'h>(&'h self, name: &HeaderName) -> impl DoubleEndedIterator<Item = &'h [u8]>;

    /// The number of field lines.
    fn field_count(&self) -> usize;

    /// The path of the target, without the query.
    fn path(&self) -> &[u8] {
        let target = self.target();
        memchr::memchr(b'?', target).map_or(target, |query| &target[..query])
    }

    /// A field that decides something: its value, or that the field is missing or repeated.
    fn presented<'h>(&'h self, name: &HeaderName) -> Presented<'h> {
        Presented::from_values(self.values(name))
    }

    /// The length that the request declares for its body; `None` for a body of unknown length.
    fn declared_length(&self) -> Option<u64> {
        std::str::from_utf8(self.values(&CONTENT_LENGTH).next()?).ok()?.parse().ok()
    }

    /// Whether a body may follow. HTTP/2 does not tell it in the head if the length is not declared.
    fn may_have_body(&self) -> bool {
        match self.declared_length() {
            Some(length) => length > 0,
            None if self.version() == Version::HTTP_2 => {
                !matches!(self.method(), "GET" | "HEAD" | "OPTIONS" | "DELETE")
            }
            None => self.values(&TRANSFER_ENCODING).next().is_some(),
        }
    }

    /// Whether the request is a CORS preflight (Fetch, CORS-preflight fetch), and nothing else.
    fn is_preflight(&self) -> bool {
        let once = |name| matches!(self.presented(name), Presented::Once(value) if !value.is_empty());
        self.method() == "OPTIONS"
            && once(&ORIGIN)
            && once(&ACCESS_CONTROL_REQUEST_METHOD)
            && !self.may_have_body()
    }

    /// Whether the request is a gRPC call.
    fn is_grpc(&self) -> bool {
        const GRPC: &[u8] = b"application/grpc";
        self.version() == Version::HTTP_2
            && self.values(&CONTENT_TYPE).next().is_some_and(|media_type| {
                let rest = media_type.strip_prefix(GRPC);
                rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
            })
    }
}

/// The head of a response.
pub(super) trait ResponseHead {
    /// The status.
    fn status(&self) -> StatusCode;

    /// All values of a field, in their order.
    fn values<'h>(&'h self, name: &HeaderName) -> impl DoubleEndedIterator<Item = &'h [u8]>;

    /// A field that decides something: its value, or that the field is missing or repeated.
    fn presented<'h>(&'h self, name: &HeaderName) -> Presented<'h> {
        Presented::from_values(self.values(name))
    }
}

impl RequestHead for RequestHeader {
    fn method(&self) -> &str {
        self.method.as_str()
    }

    fn target(&self) -> &[u8] {
        self.raw_path()
    }

    fn version(&self) -> Version {
        self.version
    }

    fn scheme(&self) -> Option<&str> {
        self.uri.scheme_str()
    }

    fn host(&self) -> &[u8] {
        match self.headers.get(HOST) {
            Some(host) => host.as_bytes(),
            None => self.uri.authority().map_or(b"", |authority| authority.as_str().as_bytes()),
        }
    }

    fn values<'h>(&'h self, name: &HeaderName) -> impl DoubleEndedIterator<Item = &'h [u8]> {
        self.headers.get_all(name).iter().map(HeaderValue::as_bytes)
    }

    fn field_count(&self) -> usize {
        self.headers.len()
    }
}

impl ResponseHead for ResponseHeader {
    fn status(&self) -> StatusCode {
        self.status
    }

    fn values<'h>(&'h self, name: &HeaderName) -> impl DoubleEndedIterator<Item = &'h [u8]> {
        self.headers.get_all(name).iter().map(HeaderValue::as_bytes)
    }
}
