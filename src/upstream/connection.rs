//! A connection to an origin with HTTP/1, over which one request follows another.

use std::io::{self, IoSlice};
use std::os::fd::RawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use std::{error, fmt};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::transport::{OriginTransport, Standing};
use crate::clock;
use crate::origins::UpstreamErrorKind;
use crate::telemetry::OriginMetrics;

/// A connection to an origin. It limits the time of an exchange and knows whether another may follow.
/// The bytes of an answer are not judged here.
pub struct OriginConnection {
    transport: Box<dyn OriginTransport>,
    descriptor: RawFd,
    /// `None` if the server is not an origin.
    metrics: Option<Arc<OriginMetrics>>,
    limits: ExchangeLimits,
    /// Whether the head of an answer is expected, and no byte of it has come.
    is_due: bool,
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

impl error::Error for SpeaksTls {}

/// Whether these are the first bytes of an alert or a handshake message of TLS (RFC 8446 §5.1).
fn is_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [0x15 | 0x16, 0x03, ..])
}

impl OriginConnection {
    /// A connection on which nothing was sent yet. `descriptor` is that of its socket.
    pub(super) fn new(
        transport: Box<dyn OriginTransport>,
        descriptor: RawFd,
        limits: ExchangeLimits,
        metrics: Option<Arc<OriginMetrics>>,
    ) -> Self {
        Self {
            transport,
            descriptor,
            metrics,
            limits,
            is_due: false,
            is_overtaken: false,
            first_byte_at: None,
            total_at: None,
            timer: None,
        }
    }

    /// The descriptor of the socket.
    pub(super) fn descriptor(&self) -> RawFd {
        self.descriptor
    }

    /// Whether anything has arrived since the last answer.
    pub(super) fn standing(&mut self, context: &mut Context<'_>) -> Standing {
        self.transport.standing(context)
    }

    /// A request begins.
    pub(crate) fn begin(&mut self) {
        (self.is_due, self.first_byte_at, self.total_at) = (true, None, None);
    }

    /// The head of a further answer is expected, after an interim one.
    pub(crate) fn expect_head(&mut self) {
        self.is_due = true;
    }

    /// Whether an answer has overtaken its request, so that no request may follow.
    pub(crate) fn is_overtaken(&self) -> bool {
        self.is_overtaken
    }

    /// Counts bytes that no request asked for.
    pub(crate) fn count_unsolicited(&self) {
        if let Some(metrics) = &self.metrics {
            metrics.failed(UpstreamErrorKind::Unsolicited);
        }
    }

    /// Sets the deadlines after a write. A part of a request that is sent after the start of its answer does not
    /// move them.
    fn sent(&mut self, written: &Poll<io::Result<usize>>) {
        if !matches!(written, Poll::Ready(Ok(_))) {
            return;
        }
        if !self.is_due {
            self.is_overtaken = true;
            return;
        }
        let ExchangeLimits { first_byte, total } = self.limits;
        if first_byte.is_some() || total.is_some() {
            let now = clock::timer();
            self.first_byte_at = first_byte.map(|limit| now + limit);
            self.total_at = self.total_at.or_else(|| total.map(|limit| now + limit));
        }
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

impl AsyncRead for OriginConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let start = buffer.filled().len();
        match Pin::new(&mut self.transport).poll_read(context, buffer) {
            Poll::Ready(Ok(())) => {
                if buffer.filled().len() > start {
                    self.first_byte_at = None;
                    if std::mem::take(&mut self.is_due) && is_tls(&buffer.filled()[start..]) {
                        buffer.set_filled(start);
                        return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, SpeaksTls)));
                    }
                }
                Poll::Ready(Ok(()))
            }
            // Closed without close_notify of TLS. Before an answer an attacker cannot have cut anything off, and
            // the caller must see that a kept connection was closed.
            Poll::Ready(Err(error)) if self.is_due && error.kind() == io::ErrorKind::UnexpectedEof => {
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.poll_too_late(context),
        }
    }
}

impl AsyncWrite for OriginConnection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.transport).poll_write(context, bytes);
        self.sent(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
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

impl Drop for OriginConnection {
    fn drop(&mut self) {
        // Sends close_notify of TLS if that is possible without waiting: origins log a missing one as an error.
        let mut context = Context::from_waker(Waker::noop());
        let _ = Pin::new(&mut self.transport).poll_shutdown(&mut context);
    }
}

impl fmt::Debug for OriginConnection {
    /// Shows nothing that was sent or received.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OriginConnection").field("descriptor", &self.descriptor).finish_non_exhaustive()
    }
}
