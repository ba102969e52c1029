//! A connection to an origin, made by the gateway itself, as Pingora reads, writes and keeps it.

use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::RawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::clock;

use async_trait::async_trait;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
    UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufWriter, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::answers::{AnswerFault, AnswerTracker};
use super::next_request::NextRequest;
use super::transport::{NotSent, OriginTransport, Standing};
use crate::http::BadAnswer;
use crate::origins::UpstreamErrorKind;
use crate::telemetry::OriginMetrics;

/// Small writes gather up to this size until they are flushed: a chunk's size, data and end go out
/// in one TLS record.
const GATHERED: usize = 4 * 1024;

/// One connection to an origin.
///
/// It judges every answer before Pingora sees it, keeps back what no request asked for, and limits the
/// time of an exchange.
pub struct OriginStream {
    transport: BufWriter<Box<dyn OriginTransport>>,
    /// The descriptor of the socket. Pingora uses it as the connection's id.
    descriptor: RawFd,
    socket: Arc<SocketDigest>,
    digest: Arc<ProxyDigest>,
    next: Arc<NextRequest>,
    answers: AnswerTracker,
    /// `None` if the server is not an origin.
    metrics: Option<Arc<OriginMetrics>>,
    /// Unsolicited bytes have been counted.
    is_reported: bool,
    limits: ExchangeLimits,
    /// Something was sent, and no byte of the answer has arrived yet.
    is_awaiting: bool,
    /// Whether an answer began before its request was written. The origin may take the rest of that request
    /// for another one, so no request may follow on this connection.
    is_overtaken: bool,
    /// The deadline for the first byte of the answer.
    first_byte_at: Option<Instant>,
    /// The deadline for the whole exchange.
    total_at: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

/// Time limits of an exchange. Pingora has only a limit for each read, which a slow drip of bytes never
/// exceeds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ExchangeLimits {
    /// From the last byte sent to the first byte of the answer.
    pub first_byte: Option<Duration>,
    /// From the first byte sent to the end of the answer. It starts again with the next request on the
    /// connection.
    pub total: Option<Duration>,
}

/// The origin speaks TLS, and was asked without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpeaksTls;

impl fmt::Display for SpeaksTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the origin speaks TLS")
    }
}

impl std::error::Error for SpeaksTls {}

/// Whether these are the first bytes of an alert or a handshake message of TLS (RFC 8446 §5.1).
fn is_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [0x15 | 0x16, 0x03, ..])
}

impl OriginStream {
    /// A connection on which nothing was sent yet.
    ///
    /// # Errors
    /// None in practice: the digest's status is a constant.
    pub(super) fn new(
        transport: Box<dyn OriginTransport>,
        descriptor: RawFd,
        limits: ExchangeLimits,
        metrics: Option<Arc<OriginMetrics>>,
    ) -> pingora_core::Result<Self> {
        let next = Arc::new(NextRequest::default());
        Ok(Self {
            digest: next.digest()?,
            next,
            answers: AnswerTracker::new(),
            metrics,
            is_reported: false,
            transport: BufWriter::with_capacity(GATHERED, transport),
            descriptor,
            socket: Arc::new(SocketDigest::from_raw_fd(descriptor)),
            limits,
            is_awaiting: false,
            is_overtaken: false,
            first_byte_at: None,
            total_at: None,
            timer: None,
        })
    }

    /// Announces a request; `is_head` if its method is `HEAD`.
    pub(crate) fn announce(&self, is_head: bool) {
        self.next.set(is_head);
    }

    /// Whether another request may follow: the last answer is complete, nothing has followed it, and it did
    /// not overtake its request.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.answers.are_complete() && !self.is_overtaken
    }

    /// Begins a request if one was announced. Anything that came before it would be taken for its
    /// answer.
    fn begin(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let Some(is_head) = self.next.take() else { return Ok(()) };
        if !self.answers.are_complete() {
            return Err(NotSent::Unsolicited.into());
        }
        if self.is_overtaken {
            return Err(NotSent::Closed.into());
        }
        match self.transport.get_mut().standing(context) {
            Standing::Quiet => {
                self.next.read_ahead.clear();
                self.answers.expect(is_head);
                (self.is_awaiting, self.first_byte_at, self.total_at) = (false, None, None);
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
            return Pin::new(&mut self.transport).poll_read(context, buffer);
        }
        let most = self.next.read_ahead.room();
        let read = if buffer.remaining() <= most {
            Pin::new(&mut self.transport).poll_read(context, buffer)
        } else {
            let mut piece = ReadBuf::new(buffer.initialize_unfilled_to(most));
            let read = Pin::new(&mut self.transport).poll_read(context, &mut piece);
            let count = piece.filled().len();
            buffer.advance(count);
            read
        };
        self.next.read_ahead.read(buffer.filled().len() - before);
        read
    }

    /// Leaves in the buffer what may be handed on of the bytes from `start`.
    fn judge(&mut self, buffer: &mut ReadBuf<'_>, start: usize) -> io::Result<()> {
        if self.answers.are_due() && is_tls(&buffer.filled()[start..]) {
            self.answers.spoil();
            buffer.set_filled(start);
            return Err(io::Error::new(io::ErrorKind::InvalidData, SpeaksTls));
        }
        let (count, fault) = self.answers.judge(&buffer.filled()[start..]);
        buffer.set_filled(start + count);
        if fault == Some(AnswerFault::Unsolicited) && !self.is_reported {
            self.is_reported = true;
            if let Some(metrics) = &self.metrics {
                metrics.failed(UpstreamErrorKind::Unsolicited);
            }
        }
        match fault {
            Some(_) if count == 0 => Err(io::Error::new(io::ErrorKind::InvalidData, BadAnswer)),
            _ => Ok(()),
        }
    }

    /// Follows a write. A part of a request behind the start of its answer moves no deadline.
    fn sent(&mut self, written: &Poll<io::Result<usize>>) {
        if !matches!(written, Poll::Ready(Ok(_))) {
            return;
        }
        if !self.answers.are_due() {
            self.is_overtaken = true;
            return;
        }
        let ExchangeLimits { first_byte, total } = self.limits;
        if first_byte.is_some() || total.is_some() {
            let now = clock::timer();
            self.first_byte_at = first_byte.map(|limit| now + limit);
            self.total_at = self.total_at.or_else(|| total.map(|limit| now + limit));
        }
        self.is_awaiting = true;
    }

    /// Returns an error once a deadline has passed.
    fn poll_too_late(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(at) = self.first_byte_at.into_iter().chain(self.total_at).min() else {
            return Poll::Pending;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() != at {
            timer.as_mut().reset(at);
        }
        timer.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
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
        if !self.transport.buffer().is_empty()
            && let Poll::Ready(Err(error)) = Pin::new(&mut self.transport).poll_flush(context)
        {
            return Poll::Ready(Err(error));
        }
        let before = buffer.filled().len();
        match self.poll_piece(context, buffer) {
            Poll::Ready(Ok(())) => {
                if buffer.filled().len() > before {
                    self.is_awaiting = false;
                    self.first_byte_at = None;
                    self.judge(buffer, before)?;
                }
                Poll::Ready(Ok(()))
            }
            // Closed without close_notify of TLS. Before an answer an attacker cannot have cut anything off, and
            // Pingora must see that a kept connection was closed.
            Poll::Ready(Err(error)) if self.is_awaiting && error.kind() == io::ErrorKind::UnexpectedEof => {
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.poll_too_late(context),
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
        let written = Pin::new(&mut self.transport).poll_write(context, bytes);
        self.sent(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.begin(context)?;
        let written = Pin::new(&mut self.transport).poll_write_vectored(context, slices);
        self.sent(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(context)
    }
}

impl Drop for OriginStream {
    fn drop(&mut self) {
        // Sends close_notify of TLS if that is possible without waiting: origins log a missing one as an error.
        let mut context = Context::from_waker(Waker::noop());
        let _ = Pin::new(self.transport.get_mut()).poll_shutdown(&mut context);
    }
}

impl fmt::Debug for OriginStream {
    /// Shows nothing that was sent or received.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OriginStream").field("descriptor", &self.descriptor).finish_non_exhaustive()
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
        self.descriptor
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
