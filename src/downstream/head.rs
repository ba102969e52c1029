//! The head of an HTTP/1 request, judged as bytes before anything parses it.
//!
//! What is malformed or ambiguous could mean one thing to the gateway and another to the origin;
//! here it is refused (RFC 9112 §2.2, §3, §5, §6; RFC 9110 §5, §7.2). What passes is what Pingora's
//! parser then reads the same way, and what is forwarded.

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadFault {
    /// Malformed or ambiguous.
    Malformed,
    /// The target is longer than allowed.
    TargetTooLong,
    /// The head is longer than allowed, or has more fields.
    TooLarge,
}

/// How much of a head is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the whole head, line ends included.
    pub bytes: usize,
    /// Field lines.
    pub fields: usize,
    /// Bytes of the target.
    pub target: usize,
}

/// How the body behind a head is framed (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// This many bytes; none without a length.
    Length(u64),
    /// In chunks, to the last one.
    Chunked,
}

/// A head that is complete and fine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its bytes, the empty line included.
    pub length: usize,
    /// What follows it.
    pub body: Body,
    /// It asks for another protocol, so that what follows may be no HTTP.
    pub has_upgrade: bool,
}

/// Reads a head line by line, as its bytes come in.
#[derive(Debug, Default)]
pub struct HeadReader {
    /// Where the next line begins.
    line: usize,
    /// Up to where a line end was looked for.
    scanned: usize,
    fields: usize,
    is_http_1_1: bool,
    /// What a `CONNECT` names, and its `Host` must name as well (RFC 9112 §3.2.3).
    authority: Option<Box<[u8]>>,
    hosts: usize,
    length: Option<u64>,
    is_chunked: bool,
    has_upgrade: bool,
}

impl HeadReader {
    /// Looks at what has come in: `bytes` begins with the head and has grown since the last call.
    /// `None` while the head is not complete.
    ///
    /// # Errors
    /// [`HeadFault`], as soon as it shows.
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

    /// Method, target in origin-form and version (RFC 9112 §3), single blanks between them.
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
        // No name begins with a blank, so that a folded line (RFC 9112 §5.2) is none.
        if !is_token(name) || !is_value(value) {
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

    /// Once, in digits.
    fn content_length(&mut self, value: &[u8]) -> Result<(), HeadFault> {
        let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let length = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
        match (self.length, length) {
            (None, Some(length)) if is_number => self.length = Some(length),
            _ => return Err(HeadFault::Malformed),
        }
        Ok(())
    }

    /// Once, and `chunked` alone.
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
            // Both lengths, or chunks in HTTP/1.0 (RFC 9112 §6.1).
            (_, true) => return Err(HeadFault::Malformed),
        };
        if has_host {
            Ok(Head { length, body, has_upgrade: self.has_upgrade })
        } else {
            Err(HeadFault::Malformed)
        }
    }
}

/// The three parts of a request line.
#[derive(Clone, Copy, Debug)]
pub struct RequestLine<'h> {
    /// Letters of a token.
    pub method: &'h [u8],
    /// Visible ASCII without `"`, `#`, `<`, `>` and `` ` ``, which no URI has (RFC 3986 §2): what is
    /// judged is then what was sent and what is forwarded.
    pub target: &'h [u8],
    version: &'h [u8],
}

impl<'h> RequestLine<'h> {
    /// The request line of a head, if there is one.
    pub fn of(head: &'h [u8]) -> Option<Self> {
        let end = memchr::memchr(b'\r', head)?;
        Self::split(&head[..end])
    }

    fn split(line: &'h [u8]) -> Option<Self> {
        let (method, rest) = split_once(line, b' ')?;
        let (target, version) = split_once(rest, b' ')?;
        let is_authority_form = method == b"CONNECT";
        let is_target = !target.is_empty()
            && (target[0] == b'/' || is_authority_form)
            && target.iter().all(|byte| is_target_byte(*byte));
        (is_token(method) && is_target).then_some(Self { method, target, version })
    }
}

fn split_once(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(separator, text)?;
    Some((&text[..at], &text[at + 1..]))
}

/// Without the blanks around a value (RFC 9110 §5.6.3). A carriage return or a form feed is none.
fn trim_blanks(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// A name or address, and perhaps a port (RFC 9110 §7.2).
pub(crate) fn is_host(host: &[u8]) -> bool {
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

/// A byte of a target that no parser takes for something else.
pub(crate) fn is_target_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'#' | b'<' | b'>' | b'`')
}

/// A token (RFC 9110 §5.6.2).
fn is_token(text: &[u8]) -> bool {
    const TOKEN: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 128u8 {
            table[byte as usize] = byte.is_ascii_alphanumeric()
                || matches!(
                    byte,
                    b'!' | b'#'
                        | b'$'
                        | b'%'
                        | b'&'
                        | b'\''
                        | b'*'
                        | b'+'
                        | b'-'
                        | b'.'
                        | b'^'
                        | b'_'
                        | b'`'
                        | b'|'
                        | b'~'
                );
            byte += 1;
        }
        table
    };
    !text.is_empty() && text.iter().all(|byte| TOKEN[usize::from(*byte)])
}

/// No control character but a tab (RFC 9110 §5.5). Tokens are long: without a way out in the middle,
/// sixteen bytes are looked at at a time.
fn is_value(value: &[u8]) -> bool {
    value.iter().fold(true, |is_value, byte| is_value & (*byte >= b' ' && *byte != 0x7f || *byte == b'\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits { bytes: 400, fields: 8, target: 100 };

    /// The same whether the bytes come at once or one at a time.
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
        let mut cases = 0;
        for (head, body) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Body::Length(0)),
            ("GET /a?b=%20{}|\\^ HTTP/1.1\r\nX: \t caf\u{e9}\t\r\nHOST:[::1]:80\r\n\r\n", Body::Length(0)),
            ("GET / HTTP/1.0\r\n\r\n", Body::Length(0)),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 007 \r\n\r\n", Body::Length(7)),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n", Body::Chunked),
            ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", Body::Length(0)),
        ] {
            let with_more = format!("{head}GET ");
            let expected = Ok(Some(Head { length: head.len(), body, has_upgrade: false }));
            assert_eq!(read(with_more.as_bytes()), expected, "{head}");
            assert_eq!(read(&head.as_bytes()[..head.len() - 1]), Ok(None), "{head}");
            cases += 1;
        }
        assert_eq!(cases, 6);
    }

    #[test]
    fn refuses_what_could_be_read_in_two_ways() {
        let line = "GET / HTTP/1.1\r\nHost: a\r\n";
        let mut cases = 0;
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
            cases += 1;
        }
        assert!(cases > 30);
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

    #[test]
    fn every_target_that_passes_is_parsed_as_it_was_sent() {
        let mut passed = 0;
        for byte in 0..=255u8 {
            let target = [b'/', byte, b'?', byte];
            let line = [b"GET ", &target[..], b" HTTP/1.1"].concat();
            if RequestLine::split(&line).is_none_or(|line| line.target != target) {
                continue;
            }
            let parsed = pingora_http::RequestHeader::build("GET", &target, None).expect("a target");
            assert_eq!(parsed.raw_path(), target, "{}", target.escape_ascii());
            passed += 1;
        }
        assert_eq!(passed, 89);
    }
}
