//! One request at the origin, in the hands of the script.

use std::io;

use super::connection::Counted;
use super::record::Request;
use crate::harness::wire::{Wire, latin1};

/// What the origin does with the connection after an answer.
pub enum Then {
    KeepAlive,
    Close,
    /// Close with a TCP reset.
    Reset,
}

/// A request, with what a script needs to read its body and answer it.
pub struct Exchange<'c> {
    pub request: Request,
    pub(super) wire: &'c mut Wire<Counted>,
    pub(super) index: usize,
    /// Bytes of the body that have not arrived; `None` if the body is chunked.
    pub(super) left: Option<u64>,
    pub(super) body_ended: bool,
}

impl Exchange<'_> {
    /// Reads and records the whole body.
    pub fn body(&mut self) -> io::Result<()> {
        while self.piece()? {}
        Ok(())
    }

    /// Reads and records the next piece of the body. Returns `false` at its end.
    pub fn piece(&mut self) -> io::Result<bool> {
        let mut trailers = Vec::new();
        let piece = match &mut self.left {
            _ if self.body_ended => None,
            Some(0) => None,
            Some(left) => {
                let piece = self.wire.some(usize::try_from(*left).unwrap())?;
                if piece.is_empty() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                *left -= piece.len() as u64;
                Some(piece)
            }
            None => self.wire.chunk(&mut trailers)?,
        };
        self.body_ended |= piece.is_none();
        let index = self.index;
        self.wire.stream.shared.update(|record| {
            let request = &mut record.requests[index];
            request.trailers.extend(trailers);
            request.body.extend(piece.iter().flatten());
        });
        Ok(piece.is_some())
    }

    /// Reads a body with a Content-Length without recording it.
    pub fn skip_body(&mut self) -> io::Result<()> {
        self.wire.skip(self.left.take().expect("a body with a Content-Length"))?;
        self.body_ended = true;
        Ok(())
    }

    /// Sends these bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.wire.send(bytes.as_ref())
    }

    /// Sends an answer with a Content-Length and keeps the connection open.
    pub fn answer(&mut self, status: &str, body: &str) -> io::Result<Then> {
        self.send(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()))?;
        Ok(Then::KeepAlive)
    }

    /// Sends nothing until the gateway closes the connection.
    pub fn wait_for_hangup(&mut self) -> io::Result<Then> {
        while !self.wire.some(usize::MAX)?.is_empty() {}
        Ok(Then::Close)
    }

    /// Sends back every byte until the gateway closes the connection.
    pub fn echo(&mut self) -> io::Result<Then> {
        loop {
            let some = self.wire.some(usize::MAX)?;
            if some.is_empty() {
                return Ok(Then::Close);
            }
            self.send(some)?;
        }
    }
}

impl std::fmt::Debug for Exchange<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&latin1(&self.request.head))
    }
}
