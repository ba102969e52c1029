//! A reader of HTTP/1.1 for clients and origins.

use std::io::{self, Read, Write};

/// Bytes as text, one character for each byte, so that no byte is lost.
pub fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// A stream and the bytes that were read from it and not used yet.
pub struct Wire<S> {
    pub stream: S,
    ahead: Vec<u8>,
}

impl<S: Read + Write> Wire<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, ahead: Vec::new() }
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// The bytes that were read and not used yet.
    pub fn ahead(&self) -> &[u8] {
        &self.ahead
    }

    /// Reads up to and including the first empty line. `None` if the peer has closed the connection.
    pub fn head(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(at) = self.ahead.windows(4).position(|window| window == b"\r\n\r\n") {
                return Ok(Some(self.take(at + 4)));
            }
            if self.fill()? == 0 {
                return if self.ahead.is_empty() { Ok(None) } else { Err(cut("a message head")) };
            }
        }
    }

    /// Reads up to `most` bytes. Empty at the end of the stream.
    pub fn some(&mut self, most: usize) -> io::Result<Vec<u8>> {
        if self.ahead.is_empty() {
            self.fill()?;
        }
        Ok(self.take(most.min(self.ahead.len())))
    }

    pub fn exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.ahead.len() < count {
            if self.fill()? == 0 {
                return Err(cut("a body"));
            }
        }
        Ok(self.take(count))
    }

    /// Reads and drops `count` bytes.
    pub fn skip(&mut self, mut count: u64) -> io::Result<()> {
        let most = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        count -= self.take(self.ahead.len().min(most(count))).len() as u64;
        let mut buffer = vec![0; 1024 * 1024];
        while count > 0 {
            let room = buffer.len().min(most(count));
            match self.stream.read(&mut buffer[..room])? {
                0 => return Err(cut("a body")),
                got => count -= got as u64,
            }
        }
        Ok(())
    }

    pub fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        while self.fill()? > 0 {}
        Ok(self.take(self.ahead.len()))
    }

    /// Reads the data of one chunk. After the last chunk it adds the trailers to `trailers` and returns
    /// `None`.
    pub fn chunk(&mut self, trailers: &mut Vec<(String, String)>) -> io::Result<Option<Vec<u8>>> {
        let line = self.line()?;
        let digits = line.split(';').next().unwrap_or_default();
        let size = usize::from_str_radix(digits, 16)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("chunk size {line:?}")))?;
        if size > 0 {
            let data = self.exactly(size)?;
            return match self.exactly(2)?.as_slice() {
                b"\r\n" => Ok(Some(data)),
                other => Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("{:?} after a chunk", latin1(other)),
                )),
            };
        }
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(None);
            }
            trailers.push(split_field(&line));
        }
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = self.ahead.windows(2).position(|window| window == b"\r\n") {
                let line = self.take(at + 2);
                return Ok(latin1(&line[..at]));
            }
            if self.fill()? == 0 {
                return Err(cut("a line"));
            }
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 64 * 1024];
        let count = self.stream.read(&mut buffer)?;
        self.ahead.extend_from_slice(&buffer[..count]);
        Ok(count)
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        if count == self.ahead.len() {
            return std::mem::take(&mut self.ahead);
        }
        self.ahead.drain(..count).collect()
    }
}

fn cut(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, format!("the peer closed the connection within {what}"))
}

/// The first line of a head, and the fields in the order of arrival.
pub fn split_head(head: &[u8]) -> (String, Vec<(String, String)>) {
    let text = latin1(head);
    let mut lines = text.trim_end_matches("\r\n").split("\r\n");
    let first = lines.next().unwrap_or_default().to_owned();
    (first, lines.map(split_field).collect())
}

fn split_field(line: &str) -> (String, String) {
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    (name.to_owned(), value.trim().to_owned())
}

/// The values of a field, in the order of arrival.
pub fn values<'h>(fields: &'h [(String, String)], name: &str) -> Vec<&'h str> {
    fields
        .iter()
        .filter(|(other, _)| other.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
        .collect()
}

/// How the length of a body is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Length(u64),
    Chunked,
    Close,
}

/// The framing that the fields give, or else `otherwise`.
pub fn framing(fields: &[(String, String)], otherwise: Framing) -> Framing {
    if values(fields, "transfer-encoding").iter().any(|value| value.eq_ignore_ascii_case("chunked")) {
        return Framing::Chunked;
    }
    match values(fields, "content-length").first().map(|value| value.parse()) {
        Some(Ok(length)) => Framing::Length(length),
        _ => otherwise,
    }
}
