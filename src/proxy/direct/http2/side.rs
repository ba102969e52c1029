//! The client's side of a direct exchange: a stream of HTTP/2.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use pingora_core::protocols::http::v2::server::HttpSession;
use pingora_core::{Error, Result};
use pingora_http::{RequestHeader, ResponseHeader};

use super::super::download::Download;
use super::super::head::ResponseView;
use super::super::side::{ClientSide, closed, read_failed, write_failed};
use super::response::response;
use crate::admission::ProtocolLimits;
use crate::downstream::{Deadline, Pace};
use crate::http::{AnswerHead, BodyPipe};
use crate::proxy::answer::{Answer, Answers, Notes, PATIENCE};
use crate::proxy::response::ResponseEdits;

/// The stream on which a request has arrived.
pub(super) struct Http2Side {
    session: HttpSession,
    /// The head of the response, until it is sent.
    head: Option<Box<ResponseHeader>>,
    /// Takes the data of the response; `None` until the head is sent.
    data: Option<SendStream<Bytes>>,
    /// Whether the end of the response is sent.
    has_ended: bool,
    pace: Pace,
    /// Made when it is first needed.
    deadline: Option<Deadline>,
    body_time: Duration,
    write_time: Duration,
}

impl Http2Side {
    /// The stream of `session`.
    pub fn new(session: HttpSession, limits: &ProtocolLimits) -> Self {
        Self {
            session,
            head: None,
            data: None,
            has_ended: false,
            pace: Pace::new(limits),
            deadline: None,
            body_time: limits.time.body,
            write_time: limits.time.write,
        }
    }
}

impl ClientSide for Http2Side {
    type Head = RequestHeader;

    const TAKES_BARE_DATA: bool = true;

    const MAY_PAUSE_FOR_RESPONSE: bool = true;

    fn body_time(&self) -> Duration {
        self.body_time
    }

    fn write_time(&self) -> Option<Duration> {
        Some(self.write_time)
    }

    fn set_deadline(&mut self, time: Duration) {
        match &mut self.deadline {
            Some(deadline) => deadline.set(time),
            none => *none = Some(Deadline::after(time)),
        }
    }

    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.deadline {
            Some(deadline) => deadline.poll_passed(context),
            None => Poll::Pending,
        }
    }

    /// Each read lets the client send as much again (RFC 9113 §5.2). A part is read only after the origin has
    /// taken the part before, so the client sends no faster than the origin reads.
    fn poll_body(
        &mut self,
        context: &mut Context<'_>,
        body: &mut BodyPipe,
        out: &mut Vec<u8>,
        each: impl FnMut(&[u8]),
    ) -> Poll<Result<usize>> {
        let Poll::Ready(read) = self.session.poll_read_body_bytes(context) else {
            self.pace.wait();
            return Poll::Pending;
        };
        Poll::Ready(match read {
            Some(Ok(part)) => {
                self.pace.read(part.len()).map_err(read_failed)?;
                body.pass_each(&part, out, each)
                    .map_err(|fault| read_failed(io::Error::new(io::ErrorKind::InvalidData, fault)))
            }
            Some(Err(error)) => Err(read_failed(error)),
            None if body.close(out) => Ok(0),
            None => Err(closed()),
        })
    }

    fn watch(&mut self, context: &mut Context<'_>, _is_body_done: bool) -> Result<()> {
        let reset = match &mut self.data {
            Some(data) => data.poll_reset(context).map_err(read_failed),
            None => Pin::new(&mut self.session.idle()).poll(context).map_err(Error::into_down),
        };
        if reset?.is_ready() { Err(closed()) } else { Ok(()) }
    }

    /// An interim head is not passed on: the library cannot send one. From a final one on, a slow body may be
    /// waiting for the response.
    fn take_head(
        &mut self,
        head: &ResponseView<'_>,
        answer: AnswerHead,
        edits: &ResponseEdits<'_>,
        _is_body_done: bool,
        _out: &mut Vec<u8>,
    ) -> Result<bool> {
        if answer.is_interim() {
            return Ok(false);
        }
        self.head = Some(response(head, edits)?);
        self.pace = Pace::default();
        Ok(true)
    }

    /// Data is handed to the library only as far as flow control lets the library send it. What the client does
    /// not take stays with the origin.
    fn poll_deliver(&mut self, context: &mut Context<'_>, download: &mut Download) -> Poll<Result<()>> {
        if let Some(head) = self.head.take() {
            self.has_ended = download.is_complete() && download.unwritten().is_empty();
            self.session.write_response_header(head, self.has_ended).map_err(Error::into_down)?;
            self.data = self.session.take_response_body_writer();
        }
        let Some(data) = &mut self.data else { return Poll::Ready(Ok(())) };
        while !download.unwritten().is_empty() {
            data.reserve_capacity(download.unwritten().len());
            let room = match data.capacity() {
                0 => match ready!(data.poll_capacity(context)) {
                    Some(room) => room.map_err(write_failed)?,
                    None => return Poll::Ready(Err(closed())),
                },
                room => room,
            };
            let part = download.take_unwritten(room);
            self.has_ended = download.is_complete() && download.unwritten().is_empty();
            data.send_data(part, self.has_ended).map_err(write_failed)?;
        }
        if download.is_complete() && !self.has_ended {
            self.has_ended = true;
            data.send_data(Bytes::new(), true).map_err(write_failed)?;
        }
        Poll::Ready(Ok(()))
    }

    /// Does nothing: the connection also carries other requests.
    fn end(&mut self) {}

    /// A client that does not send its body is not answered: its stream is reset.
    fn gets(&self, answer: Answer) -> bool {
        answer != Answer::RequestTimeout
    }

    /// The unread rest of the request stays in memory until the answer is sent. Therefore the client gets only
    /// [`PATIENCE`] to accept the answer.
    async fn answer(
        &mut self,
        answers: &Answers,
        answer: Answer,
        head: &RequestHeader,
        notes: &Notes<'_>,
        _body: &mut BodyPipe,
    ) -> Result<usize> {
        let (header, body) = answers.parts(answer, head, notes)?;
        let length = body.len();
        self.session.write_response_header(Box::new(header), length == 0).map_err(Error::into_down)?;
        if length > 0 {
            self.session.set_write_timeout(Some(PATIENCE));
            self.session.write_body(body, true).await.map_err(Error::into_down)?;
        }
        Ok(length)
    }

    /// A stream whose request is not complete is reset without an error (RFC 9113 §8.1). The client keeps the
    /// response.
    async fn linger(&mut self) {}
}
