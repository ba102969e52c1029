//! Answers, as far as a load has to understand them: the status, and where they end.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::super::Result;

const PATIENCE: Duration = Duration::from_secs(20);

/// An answer that comes in pieces.
#[derive(Debug, Default)]
pub struct Response {
    head: Vec<u8>,
    /// Bytes of the body still to come, once the head is complete.
    left: Option<usize>,
    body: Vec<u8>,
    keep_body: bool,
}

impl Response {
    /// One whose body is kept.
    fn whole() -> Self {
        Self { keep_body: true, ..Self::default() }
    }

    /// Takes a piece; true when the answer is complete.
    pub fn feed(&mut self, mut piece: &[u8]) -> Result<bool> {
        if self.left.is_none() {
            self.head.extend_from_slice(piece);
            let Some(end) = memchr::memmem::find(&self.head, b"\r\n\r\n") else { return Ok(false) };
            self.left = Some(length(&self.head[..end + 2])?);
            let body = self.head.len() - (end + 4);
            piece = &piece[piece.len() - body..];
            self.head.truncate(end);
        }
        let left = self.left.unwrap_or_default();
        if self.keep_body {
            self.body.extend_from_slice(piece);
        }
        let left = left.checked_sub(piece.len()).ok_or("more came than the answer holds")?;
        self.left = Some(left);
        Ok(left == 0)
    }

    /// Makes it ready for the next answer, its memory kept.
    pub fn clear(&mut self) {
        self.head.clear();
        self.left = None;
    }

    /// The status of a complete head.
    pub fn status(&self) -> Option<u16> {
        std::str::from_utf8(self.head.get(9..12)?).ok()?.parse().ok()
    }

    pub fn head(&self) -> String {
        String::from_utf8_lossy(&self.head).into_owned()
    }
}

fn length(head: &[u8]) -> Result<usize> {
    for line in head.split(|byte| *byte == b'\n') {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        if line[..colon].eq_ignore_ascii_case(b"content-length") {
            return Ok(std::str::from_utf8(&line[colon + 1..])?.trim().parse()?);
        }
    }
    Err(format!("an answer without Content-Length: {}", String::from_utf8_lossy(head)).into())
}

/// A connection on which answers are waited for, but not for ever.
pub fn connect(address: SocketAddr) -> Result<TcpStream> {
    let socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// Sends a request; returns the status and the body of its answer.
pub fn exchange(stream: &mut (impl Read + Write), request: &[u8]) -> Result<(u16, String)> {
    stream.write_all(request)?;
    let mut response = Response::whole();
    let mut buffer = [0; 16 << 10];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Err("the connection ended before the answer".into());
        }
        if response.feed(&buffer[..count])? {
            let status = response.status().ok_or("an answer without a status")?;
            return Ok((status, String::from_utf8_lossy(&response.body).into_owned()));
        }
    }
}
