//! The client's side of a direct exchange: a connection with HTTP/1.1.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pingora_core::Result;
use pingora_core::protocols::Shutdown;
use pingora_core::server::ShutdownWatch;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use super::download::Download;
use super::head::{RequestView, ResponseView};
use super::side::{ClientSide, closed, read_failed, write_failed};
use super::write::{self, Next};
use crate::downstream::{ClientStream, Deadline};
use crate::http::{AnswerHead, BadChunk, BodyPipe};
use crate::proxy::answer::{Answer, Answers, DRAIN_TIME, LINGER_TIME, MAX_DRAINED, MAX_LINGERED, Notes};
use crate::proxy::response::ResponseEdits;

/// The size of one read. The space is on the stack: a request that waits holds none.
const READ: usize = 16 * 1024;

/// The connection on which a request has arrived.
pub(super) struct Http1Side<'a> {
    pub stream: Box<ClientStream>,
    pub deadline: &'a mut Deadline,
    /// How long the client may send nothing of a body.
    pub body_time: Duration,
    /// Whether the connection is closed after this request.
    pub is_last: bool,
    /// Tells whether the gateway has begun to stop.
    pub stop: &'a ShutdownWatch,
}

impl Http1Side<'_> {
    /// Decides whether the connection is closed after this request. The response tells the client, so the decision is
    /// final.
    fn closes(&mut self) -> bool {
        self.is_last |= *self.stop.borrow();
        self.is_last
    }

    /// Reads up to `most` further bytes of the body and discards them.
    async fn drain(&mut self, body: &mut BodyPipe, most: u64, limit: Duration) {
        let read = async {
            let (mut read, mut out) = (0, Vec::new());
            while !body.is_done() && read <= most {
                match poll_fn(|context| self.poll_body(context, body, &mut out, |_| {})).await {
                    Ok(length) => read += length as u64,
                    Err(_) => break,
                }
                out.clear();
            }
        };
        // If the body is not complete in time, the connection is closed after the response.
        let _ = timeout(limit, read).await;
    }

    /// Sends all bytes.
    async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let mut sent = 0;
        let sending = poll_fn(|context| {
            while sent < bytes.len() {
                match self.stream.poll_send(context, &bytes[sent..])? {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(count) => sent += count,
                }
            }
            Pin::new(&mut *self.stream).poll_flush(context)
        });
        sending.await.map_err(write_failed)
    }

    /// Ends the exchange. Returns the stream if the connection is kept.
    pub async fn finish(mut self, is_kept: bool) -> Option<Box<ClientStream>> {
        if is_kept {
            return Some(self.stream);
        }
        Shutdown::shutdown(&mut *self.stream).await;
        None
    }
}

impl<'a> ClientSide for Http1Side<'a> {
    type Head = RequestView<'a>;

    const TAKES_BARE_DATA: bool = false;

    const MAY_PAUSE_FOR_RESPONSE: bool = false;

    fn body_time(&self) -> Duration {
        self.body_time
    }

    /// [`ClientStream`] limits the time in which the client takes bytes.
    fn write_time(&self) -> Option<Duration> {
        None
    }

    fn set_deadline(&mut self, time: Duration) {
        self.deadline.set(time);
    }

    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.deadline.poll_passed(context)
    }

    fn poll_body(
        &mut self,
        context: &mut Context<'_>,
        body: &mut BodyPipe,
        out: &mut Vec<u8>,
        each: impl FnMut(&[u8]),
    ) -> Poll<Result<usize>> {
        let mut space = [MaybeUninit::uninit(); READ];
        let mut buffer = ReadBuf::uninit(&mut space);
        match Pin::new(&mut *self.stream).poll_read(context, &mut buffer) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(read_failed(error))),
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => Poll::Ready(Err(closed())),
            Poll::Ready(Ok(())) => {
                let passed = body.pass_each(buffer.filled(), out, each);
                Poll::Ready(passed.map_err(|fault: BadChunk| {
                    read_failed(io::Error::new(io::ErrorKind::InvalidData, fault))
                }))
            }
        }
    }

    fn watch(&mut self, context: &mut Context<'_>, is_body_done: bool) -> Result<()> {
        if !is_body_done {
            return Ok(());
        }
        let mut byte = [MaybeUninit::uninit()];
        match Pin::new(&mut *self.stream).poll_read(context, &mut ReadBuf::uninit(&mut byte)) {
            Poll::Pending => Ok(()),
            Poll::Ready(Ok(())) => Err(closed()),
            Poll::Ready(Err(error)) => Err(read_failed(error)),
        }
    }

    fn take_head(
        &mut self,
        head: &ResponseView<'_>,
        answer: AnswerHead,
        edits: &ResponseEdits<'_>,
        is_body_done: bool,
        out: &mut Vec<u8>,
    ) -> Result<bool> {
        let next = if answer.is_interim() {
            Next::Response
        } else {
            // A client that is still sending may send bytes that are not read, so no request can follow.
            self.is_last |= !is_body_done;
            if self.closes() { Next::Close } else { Next::Request }
        };
        write::response(head, answer.body, edits, next, out);
        Ok(true)
    }

    fn poll_deliver(&mut self, context: &mut Context<'_>, download: &mut Download) -> Poll<Result<()>> {
        while !download.unwritten().is_empty() {
            match self.stream.poll_send(context, download.unwritten()).map_err(write_failed)? {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(count) => download.written(count),
            }
        }
        Pin::new(&mut *self.stream).poll_flush(context).map_err(write_failed)
    }

    fn end(&mut self) {
        self.is_last = true;
    }

    fn gets(&self, _answer: Answer) -> bool {
        true
    }

    async fn answer(
        &mut self,
        answers: &Answers,
        answer: Answer,
        head: &RequestView<'a>,
        notes: &Notes<'_>,
        body: &mut BodyPipe,
    ) -> Result<usize> {
        if answer == Answer::BadRequest {
            // After a malformed request, the start of the next request is a guess.
            self.is_last = true;
        } else if body.left().is_some_and(|left| left <= MAX_DRAINED) {
            // A small body is on its way anyway.
            self.drain(body, MAX_DRAINED, DRAIN_TIME).await;
        }
        self.is_last |= !body.is_done();
        let (bytes, body_bytes) = answers.bytes(answer, head, notes, self.closes())?;
        self.send(&bytes).await?;
        Ok(body_bytes)
    }

    /// Ends the stream to the client and reads further bytes, so that the connection is not reset and the
    /// client gets the response.
    async fn linger(&mut self) {
        let _ = timeout(LINGER_TIME, self.stream.linger(MAX_LINGERED)).await;
    }
}
