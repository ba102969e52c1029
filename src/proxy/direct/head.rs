//! Read access to heads that are kept as bytes.

use http::header::{CONNECTION, EXPECT, HOST, UPGRADE};
use http::{HeaderName, Method, StatusCode, Version};

use crate::http::{Field, HeadView, RequestLine, trim_blanks};
use crate::proxy::head::{RequestHead, ResponseHead};

/// The head of a request that a direct exchange forwards.
pub(super) trait ForwardedHead: RequestHead + Sync {
    /// Appends the request line for an origin with HTTP/1.1, without its line end.
    fn write_line(&self, out: &mut Vec<u8>);

    /// All fields. Fields with the same name are in the order in which they arrived.
    fn fields(&self) -> impl Iterator<Item = Field<'_>>;

    /// Whether the method is idempotent (RFC 9110 §9.2.2).
    fn is_idempotent(&self) -> bool {
        Method::from_bytes(self.method().as_bytes()).is_ok_and(|method| method.is_idempotent())
    }

    /// Whether the response has no body.
    fn is_head(&self) -> bool {
        self.method() == "HEAD"
    }
}

/// The head of an HTTP/1.1 request.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestView<'h> {
    pub view: HeadView<'h>,
    method: &'h str,
    target: &'h [u8],
}

impl<'h> RequestView<'h> {
    /// The head of a request that the direct exchange serves. `None` for every other request: one of
    /// HTTP/1.0, one that asks for another protocol, for a tunnel or for an interim response, and one
    /// that has fields for this hop beyond `close` and `keep-alive`.
    pub fn plain(view: HeadView<'h>) -> Option<Self> {
        let RequestLine { method, target, version } = RequestLine::split(view.first_line())?;
        let head = Self { view, method: std::str::from_utf8(method).ok()?, target };
        let is_plain = version == b"HTTP/1.1"
            && method != b"CONNECT"
            && view.values(UPGRADE.as_str()).next().is_none()
            && view.values(EXPECT.as_str()).next().is_none()
            && head.connection_options().all(|option| {
                option.is_empty()
                    || option.eq_ignore_ascii_case(b"close")
                    || option.eq_ignore_ascii_case(b"keep-alive")
            });
        is_plain.then_some(head)
    }

    /// Whether the client asks for the end of the connection.
    pub fn closes(&self) -> bool {
        self.connection_options().any(|option| option.eq_ignore_ascii_case(b"close"))
    }

    fn connection_options(&self) -> impl Iterator<Item = &'h [u8]> + use<'h> {
        let values = self.view.values(CONNECTION.as_str());
        values.flat_map(|value| value.split(|byte| *byte == b',')).map(trim_blanks)
    }
}

impl RequestHead for RequestView<'_> {
    fn method(&self) -> &str {
        self.method
    }

    fn target(&self) -> &[u8] {
        self.target
    }

    fn version(&self) -> Version {
        Version::HTTP_11
    }

    fn scheme(&self) -> Option<&str> {
        None
    }

    fn host(&self) -> &[u8] {
        self.view.values(HOST.as_str()).next().unwrap_or_default()
    }

    fn values<'h>(&'h self, name: &HeaderName) -> impl DoubleEndedIterator<Item = &'h [u8]> {
        self.view.values(name.as_str())
    }

    fn field_count(&self) -> usize {
        self.view.field_count()
    }
}

impl ForwardedHead for RequestView<'_> {
    fn write_line(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.view.first_line());
    }

    fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        self.view.fields()
    }
}

/// The head of a response.
#[derive(Clone, Copy, Debug)]
pub struct ResponseView<'h> {
    /// Line and fields.
    pub view: HeadView<'h>,
    /// The status in the line.
    pub status: StatusCode,
}

impl ResponseHead for ResponseView<'_> {
    fn status(&self) -> StatusCode {
        self.status
    }

    fn values<'h>(&'h self, name: &HeaderName) -> impl DoubleEndedIterator<Item = &'h [u8]> {
        self.view.values(name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::HeadIndex;

    fn plain(head: &str) -> Option<(bool, bool)> {
        let index = HeadIndex::of(head.as_bytes());
        let view = RequestView::plain(index.view(head.as_bytes()))?;
        Some((view.closes(), view.is_idempotent()))
    }

    #[test]
    fn plain_requests_have_only_close_and_keep_alive_for_this_hop() {
        let get = "GET /a HTTP/1.1\r\nHost: a\r\n";
        for (head, expected) in [
            (format!("{get}\r\n"), (false, true)),
            (format!("{get}Connection: Keep-Alive\r\n\r\n"), (false, true)),
            (format!("{get}Connection: , CLOSE\t\r\n\r\n"), (true, true)),
            (format!("{get}Connection: keep-alive\r\nconnection: close\r\n\r\n"), (true, true)),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n".to_owned(), (false, false)),
        ] {
            assert_eq!(plain(&head), Some(expected), "{head:?}");
        }
        for head in [
            "GET /a HTTP/1.0\r\nHost: a\r\n\r\n".to_owned(),
            "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n".to_owned(),
            format!("{get}Connection: x-name\r\n\r\n"),
            format!("{get}Connection: close, te\r\n\r\n"),
            format!("{get}Upgrade: h2c\r\n\r\n"),
            format!("{get}upgrade:\r\n\r\n"),
            format!("{get}Expect: 100-continue\r\n\r\n"),
        ] {
            assert_eq!(plain(&head), None, "{head:?}");
        }
    }
}
