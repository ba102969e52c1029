//! One attempt: the request goes to the origin and the response comes back, both at the same time.

mod deadline;

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};

use pingora_core::{Error, ErrorType, Result, RetryType};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::head::ForwardedHead;
use super::request::DirectRequest;
use super::side::ClientSide;
use crate::http::{AnswerHead, BadAnswer};
use crate::proxy::exchange::Progress;
use crate::proxy::failure;
use crate::proxy::head::RequestHead;
use crate::telemetry::Metrics;
use crate::upstream::OriginConnection;

use deadline::Wait;

/// The size of one read. The space is on the stack: a request that waits holds none.
const READ: usize = 16 * 1024;

/// One attempt to serve a request over one connection.
pub(super) struct Pump<'p, C: ClientSide> {
    request: &'p mut DirectRequest<C>,
    origin: &'p mut OriginConnection,
    metrics: &'p Metrics,
    state: PumpState,
}

/// How far the attempt has come.
#[derive(Default)]
struct PumpState {
    /// What the deadline is for.
    waits_for: Option<Wait>,
    /// Whether the origin's stream may still hold bytes that it has not sent.
    needs_flush: bool,
    /// Whether the origin's connection has taken anything.
    is_begun: bool,
    /// Why the upload failed. The origin may have answered before.
    broken_upload: Option<Box<Error>>,
    /// Whether bytes of the response may still wait for the client.
    needs_delivery: bool,
    /// Whether the request has moved in this poll: the client has sent a part of it, or the origin has taken one.
    has_sent: bool,
    /// Whether the response has moved in this poll: the origin has sent a part of it, or the client has taken one.
    has_received: bool,
}

impl<'p, C: ClientSide> Pump<'p, C> {
    /// An attempt to serve `request` over `origin`.
    pub fn new(
        request: &'p mut DirectRequest<C>,
        origin: &'p mut OriginConnection,
        metrics: &'p Metrics,
    ) -> Self {
        Self { request, origin, metrics, state: PumpState::default() }
    }

    /// Sends the request and passes on the response.
    ///
    /// # Errors
    /// What ended the attempt.
    pub async fn run(&mut self) -> Result<()> {
        poll_fn(|context| self.poll(context)).await
    }

    /// How far the exchange has come.
    pub fn progress(&self) -> Progress {
        Progress {
            is_idempotent: self.request.head.is_idempotent(),
            is_answered: self.request.download.is_begun,
            is_repeatable: self.request.upload.is_repeatable(),
            is_body_done: self.request.upload.body.is_done(),
        }
    }

    /// Whether another request may follow on the origin's connection.
    pub fn may_keep_origin(&self) -> bool {
        self.is_sent() && self.request.download.may_keep_origin() && !self.origin.is_overtaken()
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        (self.state.has_sent, self.state.has_received) = (false, false);
        self.poll_upload(context)?;
        self.poll_download(context)?;
        if self.is_complete() {
            return Poll::Ready(Ok(()));
        }
        let is_body_done = self.request.upload.body.is_done();
        self.request.client.watch(context, is_body_done)?;
        self.poll_deadline(context)
    }

    fn is_complete(&self) -> bool {
        self.is_delivered() && (self.is_sent() || self.state.broken_upload.is_some())
    }

    fn is_delivered(&self) -> bool {
        self.request.download.is_complete() && !self.state.needs_delivery
    }

    /// Whether the whole request has been sent. Bytes that the stream still holds would be sent in front of the
    /// next request.
    fn is_sent(&self) -> bool {
        self.request.upload.is_sent() && !self.state.needs_flush
    }

    /// Sends what is there to the origin, and reads more of the body once that is sent.
    fn poll_upload(&mut self, context: &mut Context<'_>) -> Result<()> {
        while self.state.broken_upload.is_none() {
            match self.poll_send(context) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Err(error)) => {
                    let error = Error::because(ErrorType::WriteError, "sending the request", error).into_up();
                    if !self.state.is_begun || failure::was_not_sent(&error) {
                        return Err(error);
                    }
                    self.state.broken_upload = Some(error);
                }
                Poll::Ready(Ok(())) if self.request.upload.body.is_done() => return Ok(()),
                Poll::Ready(Ok(())) => match self.poll_body(context) {
                    Ok(Poll::Ready(())) => {}
                    Ok(Poll::Pending) => return Ok(()),
                    // The client has the whole response, and need not send the rest of its request.
                    Err(error) if self.is_delivered() => self.state.broken_upload = Some(error),
                    Err(error) => return Err(error),
                },
            }
        }
        Ok(())
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.request.upload.unsent().is_empty() {
            match Pin::new(&mut *self.origin).poll_write(context, self.request.upload.unsent())? {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(count) => {
                    self.request.upload.sent(count);
                    self.state.needs_flush = true;
                    self.state.has_sent = true;
                }
            }
        }
        if self.state.needs_flush {
            match Pin::new(&mut *self.origin).poll_flush(context)? {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => {
                    self.state.needs_flush = false;
                    self.state.is_begun = true;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads a part of the body.
    fn poll_body(&mut self, context: &mut Context<'_>) -> Result<Poll<()>> {
        let DirectRequest { client, upload, .. } = &mut *self.request;
        let (body, bytes) = upload.room();
        let Poll::Ready(data) = client.poll_body(context, body, bytes, |_| {})? else {
            return Ok(Poll::Pending);
        };
        self.state.has_sent = true;
        self.request.ctx.take_body(self.metrics, data)?;
        Ok(Poll::Ready(()))
    }

    /// Delivers what is there to the client, and reads more of the response once that is delivered.
    fn poll_download(&mut self, context: &mut Context<'_>) -> Result<()> {
        loop {
            match self.poll_deliver(context) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Ready(Ok(())) if self.request.download.is_complete() => return Ok(()),
                Poll::Ready(Ok(())) => {
                    if self.poll_response(context)?.is_pending() {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn poll_deliver(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        if !self.state.needs_delivery {
            return Poll::Ready(Ok(()));
        }
        let DirectRequest { client, download, .. } = &mut *self.request;
        let before = download.unwritten().len();
        let delivered = client.poll_deliver(context, download);
        self.state.has_received |= download.unwritten().len() != before;
        self.state.needs_delivery = !matches!(delivered, Poll::Ready(Ok(())));
        delivered
    }

    /// Reads a part of the response.
    fn poll_response(&mut self, context: &mut Context<'_>) -> Result<Poll<()>> {
        if self.request.download.is_malformed() {
            return Err(self.response_broke(io::Error::new(io::ErrorKind::InvalidData, BadAnswer)));
        }
        let mut space = [MaybeUninit::uninit(); READ];
        let mut buffer = ReadBuf::uninit(&mut space);
        match Pin::new(&mut *self.origin).poll_read(context, &mut buffer) {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(Err(error)) => return Err(self.response_broke(error)),
            Poll::Ready(Ok(())) => {}
        }
        self.state.has_received = true;
        self.state.needs_delivery = true;
        if !buffer.filled().is_empty() {
            return self.take(buffer.filled()).map(Poll::Ready);
        }
        if self.request.download.close() { Ok(Poll::Ready(())) } else { Err(self.response_ended()) }
    }

    /// Passes on bytes of the response.
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        let DirectRequest { ctx, head, client, upload, download, .. } = &mut *self.request;
        download.take(bytes, |view, answer: AnswerHead, is_begun, out| {
            if view.status == http::StatusCode::SWITCHING_PROTOCOLS {
                return Err(failure::unasked_switch());
            }
            let is_body_done = upload.body.is_done();
            if !answer.is_interim() {
                let progress = Progress {
                    is_idempotent: head.is_idempotent(),
                    is_answered: is_begun,
                    is_repeatable: upload.is_repeatable(),
                    is_body_done,
                };
                if ctx.answered(view.status, progress)? {
                    return Err(failure::resend());
                }
                upload.forget();
            }
            client.take_head(view, answer, &ctx.edits(view, head.version())?, is_body_done, out)
        })?;
        if download.expects_head() {
            self.origin.expect_head();
        }
        if download.has_more() {
            self.origin.count_unsolicited();
        }
        ctx.exchange()?.time_left().map(drop)
    }

    /// The error of a read of the response.
    fn response_broke(&mut self, error: io::Error) -> Box<Error> {
        if let Some(error) = self.state.broken_upload.take() {
            return error;
        }
        // An operating system error before a response means that the connection was closed in the meantime.
        let is_of_connection = error.raw_os_error().is_some() && self.request.download.status.is_none();
        let mut error = Error::because(ErrorType::ReadError, "reading the response", error).into_up();
        if is_of_connection {
            error.retry = RetryType::ReusedOnly;
        }
        error
    }

    /// The error of a response that is cut off.
    fn response_ended(&mut self) -> Box<Error> {
        if let Some(error) = self.state.broken_upload.take() {
            return error;
        }
        let mut error = Error::explain(ErrorType::ConnectionClosed, "the response is cut off").into_up();
        if self.request.download.status.is_none() {
            error.retry = RetryType::ReusedOnly;
        }
        error
    }
}
