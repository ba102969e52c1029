//! Reading from the client, up to the end of a request.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};

use super::ClientStream;
use crate::http::{BadChunk, Body, HeadFault, HeadLimits, HeadReader};

/// The size of one read while the stream waits for a head or for the end of the connection.
const READ: usize = 8 * 1024;

/// The most bytes of later requests that are read while a request is being answered.
const MAX_AHEAD: usize = 16 * 1024;

impl ClientStream {
    /// Waits for the first bytes of a connection, until `preface` is complete or a byte differs.
    /// Returns whether the connection begins with `preface`, or `None` if the client closed before.
    pub(in crate::downstream) fn poll_preface(
        &mut self,
        preface: &[u8],
        context: &mut Context<'_>,
    ) -> Poll<Option<bool>> {
        loop {
            let known = self.ahead.len().min(preface.len());
            if self.ahead[..known] != preface[..known] {
                return Poll::Ready(Some(false));
            }
            if known == preface.len() {
                return Poll::Ready(Some(true));
            }
            match ready!(self.poll_ahead(context)) {
                Ok(0) | Err(_) => return Poll::Ready(None),
                Ok(_) => {}
            }
        }
    }

    /// Waits for a whole head. Returns its bytes and the framing of the body behind it, or the fault in
    /// it, or `None` if the client closed before.
    pub(in crate::downstream) fn poll_head(
        &mut self,
        reader: &mut HeadReader,
        limits: &HeadLimits,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<(BytesMut, Body), HeadFault>>> {
        loop {
            // Empty lines before the request line are ignored (RFC 9112 §2.2).
            while self.ahead.starts_with(b"\r\n") {
                self.ahead.advance(2);
                // The reader may have seen the first of the two bytes.
                *reader = HeadReader::default();
            }
            match reader.advance(&self.ahead, limits) {
                Ok(None) => {}
                Ok(Some(head)) => return Poll::Ready(Some(Ok((self.take(head), head.body)))),
                Err(fault) => return Poll::Ready(Some(Err(fault))),
            }
            match ready!(self.poll_ahead(context)) {
                Ok(0) | Err(_) => return Poll::Ready(None),
                Ok(_) => {}
            }
        }
    }

    /// Reads bytes into `ahead`; 0 at the end of the connection.
    pub(super) fn poll_ahead(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // The buffer is on the stack, so an idle connection holds none.
        let mut space = [MaybeUninit::uninit(); READ];
        let mut buffer = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.transport).poll_read(context, &mut buffer))?;
        self.ahead.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Waits for the client to close the connection, after the whole request has been read.
    fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.ahead.len() < MAX_AHEAD {
            if ready!(self.poll_ahead(context))? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
        Poll::Pending
    }

    /// Reads bytes of the current request's body, first those that have been read ahead.
    fn poll_body(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.is_malformed {
            return Poll::Ready(Err(malformed()));
        }
        let is_tunnel = self.connection.tunnel_idle().is_some();
        let before = buffer.filled().len();
        if self.ahead.is_empty() {
            match Pin::new(&mut self.transport).poll_read(context, buffer) {
                Poll::Ready(read) => read?,
                Poll::Pending => {
                    if !is_tunnel {
                        self.pace.wait();
                    }
                    return Poll::Pending;
                }
            }
            self.pace.read(buffer.filled().len() - before)?;
            let count = self.count_body(is_tunnel, &buffer.filled()[before..])?;
            self.ahead.extend_from_slice(&buffer.filled()[before + count..]);
            buffer.set_filled(before + count);
        } else {
            let most = self.ahead.len().min(buffer.remaining());
            let bytes = self.ahead.split_to(most);
            let count = self.count_body(is_tunnel, &bytes)?;
            buffer.put_slice(&bytes[..count]);
            self.give_back(bytes, count);
        }
        Poll::Ready(Ok(()))
    }

    /// How many of these bytes belong to the body.
    ///
    /// # Errors
    /// An error caused by [`BadChunk`] if the body is malformed from the first byte on. Good bytes
    /// before a malformed byte are handed out first.
    fn count_body(&mut self, is_tunnel: bool, bytes: &[u8]) -> io::Result<usize> {
        if is_tunnel {
            return Ok(bytes.len());
        }
        let (count, judged) = self.body.count(bytes);
        self.is_malformed = judged.is_err();
        if self.is_malformed && count == 0 { Err(malformed()) } else { Ok(count) }
    }

    /// Puts bytes back of which only the first `count` were handed out.
    fn give_back(&mut self, mut bytes: BytesMut, count: usize) {
        if count < bytes.len() {
            bytes.advance(count);
            bytes.unsplit(std::mem::take(&mut self.ahead));
            self.ahead = bytes;
        }
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, BadChunk)
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.body.is_done() && self.connection.tunnel_idle().is_none() {
            return self.poll_close(context);
        }
        let start = buffer.filled().len();
        let read = self.poll_body(context, buffer);
        match (&mut self.heads, &read) {
            (Some(heads), Poll::Ready(Ok(()))) => {
                if let Err(error) = heads.read(&buffer.filled()[start..]) {
                    buffer.set_filled(start);
                    return Poll::Ready(Err(error));
                }
            }
            (Some(heads), Poll::Pending) => return heads.poll_too_late(context),
            _ => {}
        }
        read
    }
}
