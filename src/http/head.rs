//! The head of a request, judged as bytes before anything parses it.
//!
//! A malformed or ambiguous head could mean one thing to the gateway and another to the origin. It is
//! refused (RFC 9112 §2.2, §3, §5, §6; RFC 9110 §5, §7.2). Pingora's parser reads every accepted head the
//! same way, and the accepted head is forwarded.

use super::framing::{Body, content_length};
use super::grammar::{is_field_value, is_token, trim_blanks};
use super::host::is_host;
use super::request_line::RequestLine;

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadFault {
    /// The head is malformed or ambiguous.
    Malformed,
    /// The target is longer than allowed.
    TargetTooLong,
    /// The head is longer than allowed, or has more fields.
    TooLarge,
}

/// The largest head that is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the whole head, line ends included.
    pub bytes: usize,
    /// The most field lines.
    pub fields: usize,
    /// The longest request target, in bytes.
    pub target: usize,
}

/// A complete head that passed every check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Bytes of the head, including the empty line.
    pub length: usize,
    /// The body that follows the head.
    pub body: Body,
    /// The head has an `Upgrade` field, so the bytes behind it may belong to another protocol.
    pub has_upgrade: bool,
}

/// Reads a head line by line while its bytes arrive.
#[derive(Debug, Default)]
pub struct HeadReader {
    /// Position of the next line.
    line: usize,
    /// Position up to which line ends have been searched.
    scanned: usize,
    fields: usize,
    is_http_1_1: bool,
    /// The target of a `CONNECT`. `Host` must have the same value (RFC 9112 §3.2.3).
    authority: Option<Box<[u8]>>,
    hosts: usize,
    length: Option<u64>,
    is_chunked: bool,
    has_upgrade: bool,
}

impl HeadReader {
    /// Judges the bytes that have arrived. `bytes` begins with the head; each call passes the same bytes
    /// and those that arrived since. Returns `None` while the head is not complete.
    ///
    /// # Errors
    /// [`HeadFault`], as soon as the bytes show it.
    pub fn advance(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Option<Head>, HeadFault> {
        while let Some(found) = memchr::memchr(b'\n', &bytes[self.scanned..]) {
            let end = self.scanned + found;
            if end > limits.bytes {
                break;
            }
            let line = bytes[self.line..end].strip_suffix(b"\r").ok_or(HeadFault::Malformed)?;
            let is_first = self.line == 0;
            self.line = end + 1;
            self.scanned = end + 1;
            match (is_first, line) {
                (true, line) => self.request_line(line, limits)?,
                (false, []) => return self.finish(end + 1).map(Some),
                (false, line) => self.field(line, limits)?,
            }
        }
        self.scanned = bytes.len();
        if bytes.len() > limits.bytes {
            let is_target = self.line == 0;
            return Err(if is_target { HeadFault::TargetTooLong } else { HeadFault::TooLarge });
        }
        Ok(None)
    }

    fn request_line(&mut self, line: &[u8], limits: &HeadLimits) -> Result<(), HeadFault> {
        let RequestLine { method, target, version } = RequestLine::split(line).ok_or(HeadFault::Malformed)?;
        self.is_http_1_1 = match version {
            b"HTTP/1.1" => true,
            b"HTTP/1.0" => false,
            _ => return Err(HeadFault::Malformed),
        };
        if target.len() > limits.target {
            return Err(HeadFault::TargetTooLong);
        }
        self.authority = (method == b"CONNECT").then(|| target.into());
        Ok(())
    }

    fn field(&mut self, line: &[u8], limits: &HeadLimits) -> Result<(), HeadFault> {
        self.fields += 1;
        if self.fields > limits.fields {
            return Err(HeadFault::TooLarge);
        }
        let colon = memchr::memchr(b':', line).ok_or(HeadFault::Malformed)?;
        let (name, value) = (&line[..colon], trim_blanks(&line[colon + 1..]));
        // A folded line (RFC 9112 §5.2) begins with a blank, and a name has no blanks.
        if !is_token(name) || !is_field_value(value) {
            return Err(HeadFault::Malformed);
        }
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.host(value),
            7 if name.eq_ignore_ascii_case(b"upgrade") => {
                self.has_upgrade = true;
                Ok(())
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => self.content_length(value),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.transfer_encoding(value),
            _ => Ok(()),
        }
    }

    fn host(&mut self, value: &[u8]) -> Result<(), HeadFault> {
        self.hosts += 1;
        let is_the_authority = self.authority.as_deref().is_none_or(|authority| authority == value);
        if is_host(value) && is_the_authority { Ok(()) } else { Err(HeadFault::Malformed) }
    }

    /// At most one length, in plain digits.
    fn content_length(&mut self, value: &[u8]) -> Result<(), HeadFault> {
        if self.length.is_some() {
            return Err(HeadFault::Malformed);
        }
        self.length = Some(content_length(value).ok_or(HeadFault::Malformed)?);
        Ok(())
    }

    /// At most one transfer coding, and only `chunked`.
    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), HeadFault> {
        if self.is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(HeadFault::Malformed);
        }
        self.is_chunked = true;
        Ok(())
    }

    fn finish(&self, length: usize) -> Result<Head, HeadFault> {
        let is_optional = !self.is_http_1_1 && self.authority.is_none();
        let has_host = self.hosts == 1 || (self.hosts == 0 && is_optional);
        let body = match (self.length, self.is_chunked) {
            (length, false) => Body::Length(length.unwrap_or(0)),
            (None, true) if self.is_http_1_1 => Body::Chunked,
            // A length and chunks, or chunks in HTTP/1.0 (RFC 9112 §6.1).
            (_, true) => return Err(HeadFault::Malformed),
        };
        if has_host {
            Ok(Head { length, body, has_upgrade: self.has_upgrade })
        } else {
            Err(HeadFault::Malformed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits { bytes: 400, fields: 8, target: 100 };

    /// Checks that the judgement does not depend on how the bytes arrive.
    fn read(bytes: &[u8]) -> Result<Option<Head>, HeadFault> {
        let whole = HeadReader::default().advance(bytes, &LIMITS);
        let mut reader = HeadReader::default();
        let mut piecemeal = Ok(None);
        for end in 1..=bytes.len() {
            piecemeal = reader.advance(&bytes[..end], &LIMITS);
            if !matches!(piecemeal, Ok(None)) {
                break;
            }
        }
        assert_eq!(whole, piecemeal, "{}", bytes.escape_ascii());
        whole
    }

    #[test]
    fn tells_where_the_head_ends_and_what_follows() {
        for (head, body) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Body::Length(0)),
            ("GET /a?b=%20{}|\\^ HTTP/1.1\r\nX: \t caf\u{e9}\t\r\nHOST:[::1]:80\r\n\r\n", Body::Length(0)),
            ("GET / HTTP/1.0\r\n\r\n", Body::Length(0)),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 7 \r\n\r\n", Body::Length(7)),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n", Body::Chunked),
            ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", Body::Length(0)),
        ] {
            let with_more = format!("{head}GET ");
            let expected = Ok(Some(Head { length: head.len(), body, has_upgrade: false }));
            assert_eq!(read(with_more.as_bytes()), expected, "{head}");
            assert_eq!(read(&head.as_bytes()[..head.len() - 1]), Ok(None), "{head}");
        }
    }

    #[test]
    fn refuses_what_could_be_read_in_two_ways() {
        let line = "GET / HTTP/1.1\r\nHost: a\r\n";
        for head in [
            "GET / HTTP/1.1\nHost: a\r\n\r\n".to_owned(),
            format!("{line}X: y\n\r\n"),
            format!("{line}\n"),
            "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            "GET  / HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            "GET /\t HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            "GET /caf\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            "GET / HTTP/1.1 \r\nHost: a\r\n\r\n".into(),
            "GET / HTTP/2.0\r\nHost: a\r\n\r\n".into(),
            "GET / http/1.1\r\nHost: a\r\n\r\n".into(),
            "GET /\r\nHost: a\r\n\r\n".into(),
            "G(T / HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            " / HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            "GET / HTTP/1.1\r\n\r\n".into(),
            "GET / HTTP/1.1\r\nHost:\r\n\r\n".into(),
            "GET / HTTP/1.1\r\nHost: a b\r\n\r\n".into(),
            "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n".into(),
            "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
            "CONNECT a:443 HTTP/1.1\r\nHost: a:80\r\n\r\n".into(),
            "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            "CONNECT a:443 HTTP/1.0\r\n\r\n".into(),
            "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            "CONNECT x@a HTTP/1.1\r\nHost: x@a\r\n\r\n".into(),
            format!("{line}Host: a\r\n\r\n"),
            format!("{line}X : y\r\n\r\n"),
            format!("{line} X: y\r\n\r\n"),
            format!("{line}X: y\r\n\tz\r\n\r\n"),
            format!("{line}no colon\r\n\r\n"),
            format!("{line}: y\r\n\r\n"),
            format!("{line}X: a\rb\r\n\r\n"),
            format!("{line}X: a\r\r\n\r\n"),
            format!("{line}X: \ra\r\n\r\n"),
            format!("{line}X: \u{c}a\u{c}\r\n\r\n"),
            format!("{line}Content-Length: 5\r\r\n\r\n"),
            format!("{line}Transfer-Encoding: \u{c}chunked\r\n\r\n"),
            "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n".into(),
            format!("{line}X: a\0b\r\n\r\n"),
            format!("{line}X: a\u{7f}b\r\n\r\n"),
            format!("{line}Content-Length: 5\r\nContent-Length: 5\r\n\r\n"),
            format!("{line}Content-Length: 010\r\n\r\n"),
            format!("{line}Content-Length: {}\r\n\r\n", "1".repeat(40)),
            format!("{line}Content-Length: +5\r\n\r\n"),
            format!("{line}Content-Length: 5, 5\r\n\r\n"),
            format!("{line}Content-Length:\r\n\r\n"),
            format!("{line}Content-Length: 99999999999999999999\r\n\r\n"),
            format!("{line}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
            format!("{line}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
            format!("{line}Transfer-Encoding: gzip, chunked\r\n\r\n"),
            format!("{line}Transfer-Encoding: identity\r\n\r\n"),
        ] {
            assert_eq!(read(head.as_bytes()), Err(HeadFault::Malformed), "{head:?}");
        }
    }

    #[test]
    fn bounds_what_it_takes() {
        let start = "GET / HTTP/1.1\r\nHost: a\r\n";
        for (head, fault) in [
            (format!("GET /{} HTTP/1.1\r\n", "x".repeat(100)), HeadFault::TargetTooLong),
            (format!("GET /{}", "x".repeat(400)), HeadFault::TargetTooLong),
            (format!("{start}X: {}", "y".repeat(400)), HeadFault::TooLarge),
            (format!("{start}X: {}\r\n\r\n", "y".repeat(400)), HeadFault::TooLarge),
            (format!("{start}{}", "X: y\r\n".repeat(8)), HeadFault::TooLarge),
        ] {
            assert_eq!(read(head.as_bytes()), Err(fault), "{head}");
        }
        let exactly = format!("{start}{}\r\n", "X: y\r\n".repeat(7));
        assert_eq!(read(exactly.as_bytes()).map(|head| head.is_some()), Ok(true));
    }
}
