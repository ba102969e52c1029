//! The head of an answer, judged as bytes (RFC 9112 §4, §5, §6).
//!
//! An answer with two readings could end at different places for the gateway and for the client. It is
//! refused, and the client gets 502. The RFC lets a proxy repair some of these (folded lines, a blank
//! before the colon); origins that need it are too rare to carry the risk.

use std::fmt;

use super::framing::content_length;
use super::grammar::{is_field_value, is_token, trim_blanks};

/// The largest head of an answer.
const MAX_BYTES: usize = 256 * 1024;

/// Interim answers (1xx) before the final one. More of them only cost work.
pub const MAX_INTERIM: usize = 32;

/// Field lines of an answer.
const MAX_FIELDS: usize = 256;

/// The head of an answer is malformed, ambiguous or too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadAnswer;

impl fmt::Display for BadAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a malformed or ambiguous answer")
    }
}

impl std::error::Error for BadAnswer {}

/// How the body of an answer is framed (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerBody {
    /// No body, whatever the fields say: 1xx, 204, 304 and every answer to `HEAD`.
    Empty,
    /// The body has this many bytes.
    Length(u64),
    /// Chunks, up to the last one.
    Chunked,
    /// All bytes up to the end of the connection.
    UntilClose,
    /// The connection has another protocol now (101).
    Tunnel,
}

/// A complete head that passed every check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerHead {
    /// Bytes of the head, including the empty line.
    pub length: usize,
    /// The status code, from 100 to 999.
    pub status: u16,
    /// The body that follows the head.
    pub body: AnswerBody,
    /// The origin closes the connection after this answer, or may do so.
    pub is_last: bool,
}

impl AnswerHead {
    /// Whether another head follows this one (RFC 9110 §15.2).
    pub fn is_interim(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }
}

/// Reads the head of an answer line by line while its bytes arrive.
#[derive(Clone, Debug, Default)]
pub struct AnswerReader {
    /// The request was a `HEAD`.
    is_head: bool,
    /// Position of the next line.
    line: usize,
    /// Position up to which line ends have been searched.
    scanned: usize,
    fields: usize,
    status: u16,
    is_http_1_1: bool,
    length: Option<u64>,
    is_chunked: bool,
    closes: bool,
    keeps_alive: bool,
}

impl AnswerReader {
    /// A reader for the answer to a request; `is_head` if its method is `HEAD`.
    pub fn new(is_head: bool) -> Self {
        Self { is_head, ..Self::default() }
    }

    /// Judges the bytes that have arrived. `bytes` begins with the head; each call passes the same bytes
    /// and those that arrived since. Returns `None` while the head is not complete.
    ///
    /// # Errors
    /// [`BadAnswer`], as soon as the bytes show it.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<Option<AnswerHead>, BadAnswer> {
        while let Some(found) = memchr::memchr(b'\n', &bytes[self.scanned..]) {
            let end = self.scanned + found;
            if end > MAX_BYTES {
                return Err(BadAnswer);
            }
            let line = bytes[self.line..end].strip_suffix(b"\r").ok_or(BadAnswer)?;
            let is_first = self.line == 0;
            self.line = end + 1;
            self.scanned = end + 1;
            match (is_first, line) {
                (true, line) => self.status_line(line)?,
                (false, []) => return self.finish(end + 1).map(Some),
                (false, line) => self.field(line)?,
            }
        }
        self.scanned = bytes.len();
        if bytes.len() > MAX_BYTES { Err(BadAnswer) } else { Ok(None) }
    }

    /// `HTTP/1.1 200 OK`. The reason may be missing, with or without the space before it.
    fn status_line(&mut self, line: &[u8]) -> Result<(), BadAnswer> {
        let (version, rest) = line.split_at_checked(9).ok_or(BadAnswer)?;
        self.is_http_1_1 = match version {
            b"HTTP/1.1 " => true,
            b"HTTP/1.0 " => false,
            _ => return Err(BadAnswer),
        };
        let (code, reason) = rest.split_at_checked(3).ok_or(BadAnswer)?;
        let is_reason = reason.is_empty() || reason[0] == b' ' && is_field_value(reason);
        if !matches!(code, [b'1'..=b'9', b'0'..=b'9', b'0'..=b'9']) || !is_reason {
            return Err(BadAnswer);
        }
        self.status = code.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));
        Ok(())
    }

    fn field(&mut self, line: &[u8]) -> Result<(), BadAnswer> {
        self.fields += 1;
        if self.fields > MAX_FIELDS {
            return Err(BadAnswer);
        }
        let colon = memchr::memchr(b':', line).ok_or(BadAnswer)?;
        let (name, value) = (&line[..colon], trim_blanks(&line[colon + 1..]));
        // A folded line (RFC 9112 §5.2) begins with a blank, and a name has no blanks.
        if !is_token(name) || !is_field_value(value) {
            return Err(BadAnswer);
        }
        match name.len() {
            10 if name.eq_ignore_ascii_case(b"connection") => self.connection(value),
            14 if name.eq_ignore_ascii_case(b"content-length") => return self.content_length(value),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => return self.transfer_encoding(value),
            _ => {}
        }
        Ok(())
    }

    fn connection(&mut self, value: &[u8]) {
        for option in value.split(|byte| *byte == b',').map(trim_blanks) {
            self.closes |= option.eq_ignore_ascii_case(b"close");
            self.keeps_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// At most one length, in plain digits.
    fn content_length(&mut self, value: &[u8]) -> Result<(), BadAnswer> {
        if self.length.is_some() {
            return Err(BadAnswer);
        }
        self.length = Some(content_length(value).ok_or(BadAnswer)?);
        Ok(())
    }

    /// At most one transfer coding, and only `chunked`.
    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), BadAnswer> {
        if self.is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(BadAnswer);
        }
        self.is_chunked = true;
        Ok(())
    }

    fn finish(&self, length: usize) -> Result<AnswerHead, BadAnswer> {
        // A length and chunks, or chunks in HTTP/1.0 (RFC 9112 §6.1).
        if self.is_chunked && (self.length.is_some() || !self.is_http_1_1) {
            return Err(BadAnswer);
        }
        let body = match (self.status, self.length) {
            (101, _) => AnswerBody::Tunnel,
            (100..200 | 204 | 304, _) => AnswerBody::Empty,
            _ if self.is_head => AnswerBody::Empty,
            _ if self.is_chunked => AnswerBody::Chunked,
            (_, Some(length)) => AnswerBody::Length(length),
            (_, None) => AnswerBody::UntilClose,
        };
        let is_persistent = !self.closes && (self.is_http_1_1 || self.keeps_alive);
        let is_last = !is_persistent || matches!(body, AnswerBody::UntilClose | AnswerBody::Tunnel);
        Ok(AnswerHead { length, status: self.status, body, is_last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks that the judgement does not depend on how the bytes arrive.
    fn read(is_head: bool, bytes: &[u8]) -> Result<Option<AnswerHead>, BadAnswer> {
        let whole = AnswerReader::new(is_head).advance(bytes);
        let mut reader = AnswerReader::new(is_head);
        let mut piecemeal = Ok(None);
        for end in 1..=bytes.len() {
            piecemeal = reader.advance(&bytes[..end]);
            if !matches!(piecemeal, Ok(None)) {
                break;
            }
        }
        assert_eq!(whole, piecemeal, "{}", bytes.escape_ascii());
        whole
    }

    #[test]
    fn tells_the_status_the_body_and_whether_the_connection_goes_on() {
        use AnswerBody::*;
        for (head, status, body, is_last) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, Length(5), false),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", 200, Chunked, false),
            ("HTTP/1.1 200\r\nContent-Length:0\r\n\r\n", 200, Length(0), false),
            ("HTTP/1.1 200 \r\nX:\t\u{e9}\r\n\r\n", 200, UntilClose, true),
            (
                "HTTP/1.1 404 Not Found\r\nConnection: X, close\r\nContent-Length: 1\r\n\r\n",
                404,
                Length(1),
                true,
            ),
            ("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", 200, Length(1), true),
            ("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\n", 200, Length(1), false),
            ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", 204, Empty, false),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, Empty, false),
            ("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", 103, Empty, false),
            ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", 101, Tunnel, true),
            ("HTTP/1.1 999 Odd\r\nContent-Length: 1\r\n\r\n", 999, Length(1), false),
        ] {
            let with_more = format!("{head}HTTP");
            let expected = AnswerHead { length: head.len(), status, body, is_last };
            assert_eq!(read(false, with_more.as_bytes()), Ok(Some(expected)), "{head}");
            assert_eq!(read(false, &head.as_bytes()[..head.len() - 1]), Ok(None), "{head}");
        }
        let head = read(true, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").expect("a head");
        assert_eq!(head.map(|head| (head.body, head.is_last)), Some((Empty, false)));
    }

    #[test]
    fn refuses_what_could_be_read_in_two_ways() {
        let line = "HTTP/1.1 200 OK\r\n";
        for head in [
            "HTTP/1.1 200 OK\nContent-Length: 5\r\n\r\n".to_owned(),
            "HTTP/1.1 200 OK\n\n".into(),
            "\r\nHTTP/1.1 200 OK\r\n\r\n".into(),
            "HTTP/2.0 200 OK\r\n\r\n".into(),
            "HTTP/1.2 200 OK\r\n\r\n".into(),
            "http/1.1 200 OK\r\n\r\n".into(),
            "HTTP/1.1  200 OK\r\n\r\n".into(),
            "HTTP/1.1 20 OK\r\n\r\n".into(),
            "HTTP/1.1 2000 OK\r\n\r\n".into(),
            "HTTP/1.1 099 OK\r\n\r\n".into(),
            "HTTP/1.1 200OK\r\n\r\n".into(),
            "HTTP/1.1 200 O\0K\r\n\r\n".into(),
            "HTTP/1.1\r\n\r\n".into(),
            "ICY 200 OK\r\n\r\n".into(),
            "<html>\r\n".into(),
            format!("{line}X : y\r\n\r\n"),
            format!("{line} X: y\r\n\r\n"),
            format!("{line}X: y\r\n z\r\n\r\n"),
            format!("{line}X: y\n\r\n"),
            format!("{line}X: y\r\r\n\r\n"),
            format!("{line}X: a\rb\r\n\r\n"),
            format!("{line}X: a\0b\r\n\r\n"),
            format!("{line}no colon\r\n\r\n"),
            format!("{line}: y\r\n\r\n"),
            format!("{line}\n"),
            format!("{line}Content-Length: 2\r\nContent-Length: 2\r\n\r\n"),
            format!("{line}Content-Length: 2\r\nContent-Length: 3\r\n\r\n"),
            format!("{line}Content-Length: 2, 2\r\n\r\n"),
            format!("{line}Content-Length: 02\r\n\r\n"),
            format!("{line}Content-Length: -2\r\n\r\n"),
            format!("{line}Content-Length:\r\n\r\n"),
            format!("{line}Content-Length: 99999999999999999999\r\n\r\n"),
            format!("{line}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"),
            format!("{line}Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n"),
            format!("{line}Transfer-Encoding: gzip\r\n\r\n"),
            format!("{line}Transfer-Encoding: xchunked\r\n\r\n"),
            format!("{line}Transfer-Encoding: gzip, chunked\r\n\r\n"),
            format!("{line}Transfer-Encoding: chunked, chunked\r\n\r\n"),
            format!("{line}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
            format!("{line}Transfer-Encoding: identity\r\n\r\n"),
            format!("{line}Transfer-Encoding:\r\n\r\n"),
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
        ] {
            assert_eq!(read(false, head.as_bytes()), Err(BadAnswer), "{head:?}");
        }
    }

    #[test]
    fn limits_the_size_of_a_head() {
        let line = "HTTP/1.1 200 OK\r\n";
        let exactly = format!("{line}{}\r\n", "X: y\r\n".repeat(MAX_FIELDS));
        assert!(matches!(AnswerReader::new(false).advance(exactly.as_bytes()), Ok(Some(_))));
        for head in [
            format!("{line}{}", "X: y\r\n".repeat(MAX_FIELDS + 1)),
            format!("{line}X: {}", "y".repeat(MAX_BYTES)),
            format!("{line}X: {}\r\n\r\n", "y".repeat(MAX_BYTES)),
        ] {
            assert_eq!(AnswerReader::new(false).advance(head.as_bytes()), Err(BadAnswer));
        }
    }
}
