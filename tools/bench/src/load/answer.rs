//! Answers over HTTP/1.1: status, length and the end. Only answers with `Content-Length` are read.

use std::io;

/// The largest head that is read.
const MAX_HEAD: usize = 256 << 10;

/// An answer that arrives in pieces.
#[derive(Debug, Default)]
pub struct Answer {
    head: Vec<u8>,
    /// Bytes of the body that are missing, once the head is complete.
    left: Option<usize>,
    body: Vec<u8>,
    keeps_body: bool,
}

impl Answer {
    pub fn with_body() -> Self {
        Self { keeps_body: true, ..Self::default() }
    }

    /// Prepares for the next answer and keeps the allocated memory.
    pub fn clear(&mut self) {
        self.head.clear();
        self.body.clear();
        self.left = None;
    }

    /// Takes a piece; returns whether the answer is complete. Interim answers (1xx) are skipped.
    pub fn feed(&mut self, piece: &[u8]) -> io::Result<bool> {
        let mut body = piece;
        if self.left.is_none() {
            self.head.extend_from_slice(piece);
            let end = loop {
                match memchr::memmem::find(&self.head, b"\r\n\r\n") {
                    Some(end) if (100..200).contains(&self.status()) => drop(self.head.drain(..end + 4)),
                    Some(end) => break end,
                    None if self.head.len() > MAX_HEAD => return Err(invalid("the head is too large")),
                    None => return Ok(false),
                }
            };
            self.left = Some(self.length(end + 2)?);
            body = &piece[piece.len() - (self.head.len() - (end + 4))..];
            self.head.truncate(end + 2);
        }
        if self.keeps_body {
            self.body.extend_from_slice(body);
        }
        let left = self.left.unwrap_or_default().checked_sub(body.len());
        self.left = Some(left.ok_or_else(|| invalid("more bytes than the answer has"))?);
        Ok(left == Some(0))
    }

    fn length(&self, end: usize) -> io::Result<usize> {
        let value = field(&self.head[..end], "content-length").ok_or_else(|| {
            invalid(&format!("no Content-Length in {}", String::from_utf8_lossy(&self.head[..end])))
        })?;
        value.parse().map_err(|_| invalid("a Content-Length that is not a number"))
    }

    /// The status, or 0 if the head is not complete.
    pub fn status(&self) -> u16 {
        let digits = self.head.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
        digits.and_then(|digits| digits.parse().ok()).unwrap_or_default()
    }

    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Whether the server closes the connection after this answer.
    pub fn closes(&self) -> bool {
        field(&self.head, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// The value of a header field in a head.
fn field<'h>(head: &'h [u8], name: &str) -> Option<&'h str> {
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let colon = memchr::memchr(b':', line)?;
        let is_it = line[..colon].eq_ignore_ascii_case(name.as_bytes());
        is_it.then(|| std::str::from_utf8(&line[colon + 1..]).ok().map(str::trim))?
    })
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
