//! A connection to an origin as Pingora reads, writes and keeps it.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
    UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufWriter, ReadBuf};

use super::answers::{AnswerFault, AnswerTracker};
use super::connection::OriginConnection;
use super::next_request::NextRequest;
use super::read_ahead::CommonShare;
use super::transport::{NotSent, Standing};
use crate::http::BadAnswer;

/// Small writes gather up to this size until they are flushed: a chunk's size, data and end go out
/// in one TLS record.
const GATHERED: usize = 4 * 1024;

/// One connection to an origin. It judges every answer before Pingora sees it, and keeps back what no
/// request asked for.
pub(super) struct OriginStream {
    connection: BufWriter<OriginConnection>,
    socket: Arc<SocketDigest>,
    digest: Arc<ProxyDigest>,
    next: Arc<NextRequest>,
    answers: AnswerTracker,
    /// Unsolicited bytes have been counted.
    is_reported: bool,
}

impl OriginStream {
    /// The stream of a connection on which nothing was sent yet. Answers that are read ahead take from this
    /// common share.
    ///
    /// # Errors
    /// None in practice: the digest's status is a constant.
    pub fn new(connection: OriginConnection, common: CommonShare) -> pingora_core::Result<Self> {
        let next = Arc::new(NextRequest::new(common));
        Ok(Self {
            digest: next.digest()?,
            next,
            answers: AnswerTracker::new(),
            is_reported: false,
            socket: Arc::new(SocketDigest::from_raw_fd(connection.descriptor())),
            connection: BufWriter::with_capacity(GATHERED, connection),
        })
    }

    /// Begins a request if one was announced. Anything that came before it would be taken for its
    /// answer.
    fn begin(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let Some(is_head) = self.next.take() else { return Ok(()) };
        if !self.answers.are_complete() {
            return Err(NotSent::Unsolicited.into());
        }
        // What is still gathered belongs to the last request, whose answer has overtaken it.
        let is_overtaken = !self.connection.buffer().is_empty() || self.connection.get_ref().is_overtaken();
        if is_overtaken {
            return Err(NotSent::Closed.into());
        }
        let connection = self.connection.get_mut();
        match connection.standing(context) {
            Standing::Quiet => {
                connection.begin();
                self.next.read_ahead.clear();
                self.answers.expect(is_head);
            }
            Standing::Closed => return Err(NotSent::Closed.into()),
            Standing::Unsolicited => return Err(NotSent::Unsolicited.into()),
        }
        Ok(())
    }

    /// Reads no more at once than is allowed ahead of the client, if the answer is queued for a client.
    fn poll_piece(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if !self.next.read_ahead.is_watched() {
            return Pin::new(&mut self.connection).poll_read(context, buffer);
        }
        let most = self.next.read_ahead.room();
        let read = if buffer.remaining() <= most {
            Pin::new(&mut self.connection).poll_read(context, buffer)
        } else {
            let mut piece = ReadBuf::new(buffer.initialize_unfilled_to(most));
            let read = Pin::new(&mut self.connection).poll_read(context, &mut piece);
            let count = piece.filled().len();
            buffer.advance(count);
            read
        };
        self.next.read_ahead.read(buffer.filled().len() - before);
        read
    }

    /// Leaves in the buffer what may be handed on of the bytes from `start`.
    fn judge(&mut self, buffer: &mut ReadBuf<'_>, start: usize) -> io::Result<()> {
        let (count, fault) = self.answers.judge(&buffer.filled()[start..]);
        buffer.set_filled(start + count);
        if self.answers.are_due() {
            self.connection.get_mut().expect_head();
        }
        if fault == Some(AnswerFault::Unsolicited) && !self.is_reported {
            self.is_reported = true;
            self.connection.get_ref().count_unsolicited();
        }
        match fault {
            Some(_) if count == 0 => Err(io::Error::new(io::ErrorKind::InvalidData, BadAnswer)),
            _ => Ok(()),
        }
    }
}

impl AsyncRead for OriginStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.answers.are_spoilt() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, BadAnswer)));
        }
        // Pingora flushes a head and a chunk, but not a part of a body with a length.
        if !self.connection.buffer().is_empty()
            && let Poll::Ready(Err(error)) = Pin::new(&mut self.connection).poll_flush(context)
        {
            return Poll::Ready(Err(error));
        }
        let before = buffer.filled().len();
        match self.poll_piece(context, buffer) {
            Poll::Ready(Ok(())) if buffer.filled().len() > before => Poll::Ready(self.judge(buffer, before)),
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                self.answers.spoil();
                Poll::Ready(Err(error))
            }
            other => other,
        }
    }
}

impl AsyncWrite for OriginStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.begin(context)?;
        Pin::new(&mut self.connection).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.begin(context)?;
        Pin::new(&mut self.connection).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(context)
    }
}

impl fmt::Debug for OriginStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OriginStream").field("connection", self.connection.get_ref()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Shutdown for OriginStream {
    async fn shutdown(&mut self) {
        // The connection may be broken already.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for OriginStream {
    fn id(&self) -> UniqueIDType {
        self.connection.get_ref().descriptor()
    }
}

impl Ssl for OriginStream {}

impl Peek for OriginStream {}

impl GetTimingDigest for OriginStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for OriginStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(self.digest.clone())
    }
}

impl GetSocketDigest for OriginStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(self.socket.clone())
    }
}
