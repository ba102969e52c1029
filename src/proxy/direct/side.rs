//! What a direct exchange asks of the client's side: a connection with HTTP/1.1, or a stream of HTTP/2.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pingora_core::{Error, ErrorType, Result};

use super::download::Download;
use super::head::{ForwardedHead, ResponseView};
use super::upload::Upload;
use crate::http::{AnswerHead, BodyPipe};
use crate::proxy::answer::{Answer, Answers, Notes};
use crate::proxy::body::{BodyFault, Hold};
use crate::proxy::response::ResponseEdits;

/// The client's side of a direct exchange.
pub(super) trait ClientSide: Send {
    /// The head of a request.
    type Head: ForwardedHead;

    /// Whether the client gets the data of a body without the chunks of HTTP/1.1.
    const TAKES_BARE_DATA: bool;

    /// Whether the body may pause while a response is on its way: the client may be waiting for parts of it.
    const MAY_PAUSE_FOR_RESPONSE: bool;

    /// The longest time in which the client may send nothing of a body.
    fn body_time(&self) -> Duration;

    /// The longest time in which the client may read nothing of a response. `None` if the connection itself
    /// enforces this limit.
    fn write_time(&self) -> Option<Duration>;

    /// Moves the deadline of the exchange to this time from now.
    fn set_deadline(&mut self, time: Duration);

    /// Ready when the deadline has passed.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<()>;

    /// Reads a part of the body and appends it to `out`, in the form for the origin. Calls `each` with the
    /// data, and returns the length of the data.
    ///
    /// # Errors
    /// If the client fails to send its body.
    fn poll_body(
        &mut self,
        context: &mut Context<'_>,
        body: &mut BodyPipe,
        out: &mut Vec<u8>,
        each: impl FnMut(&[u8]),
    ) -> Poll<Result<usize>>;

    /// Checks that the client still wants the response.
    ///
    /// # Errors
    /// If the client has closed the connection or the stream.
    fn watch(&mut self, context: &mut Context<'_>, is_body_done: bool) -> Result<()>;

    /// Prepares the head of a response for the client. HTTP/1 appends it to `out`. Returns whether the client
    /// gets the head: an interim one need not be passed on.
    ///
    /// # Errors
    /// If the head cannot be passed on.
    fn take_head(
        &mut self,
        head: &ResponseView<'_>,
        answer: AnswerHead,
        edits: &ResponseEdits<'_>,
        is_body_done: bool,
        out: &mut Vec<u8>,
    ) -> Result<bool>;

    /// Delivers what has arrived of the response, as far as the client takes it.
    ///
    /// # Errors
    /// If the client cannot be written to.
    fn poll_deliver(&mut self, context: &mut Context<'_>, download: &mut Download) -> Poll<Result<()>>;

    /// Closes the connection after this exchange, if it can serve only one request at a time.
    fn end(&mut self);

    /// Whether the client of a request that has failed gets this answer.
    fn gets(&self, answer: Answer) -> bool;

    /// Sends an answer of the gateway's own. Returns the length of its body.
    ///
    /// # Errors
    /// If the client cannot be written to.
    fn answer(
        &mut self,
        answers: &Answers,
        answer: Answer,
        head: &Self::Head,
        notes: &Notes<'_>,
        body: &mut BodyPipe,
    ) -> impl Future<Output = Result<usize>> + Send;

    /// Keeps the connection open for a client that is still sending, so that it can read the response.
    fn linger(&mut self) -> impl Future<Output = ()> + Send;
}

/// Waits for `work` as long as the client waits as well.
///
/// # Errors
/// Errors of `work`, or if the client has given the request up.
pub(super) async fn while_wanted<T>(
    client: &mut impl ClientSide,
    is_body_done: bool,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let mut work = pin!(work);
    let wanted = poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Pending => match client.watch(context, is_body_done) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        },
        done => done,
    });
    wanted.await
}

/// Reads the whole body before the origin is asked.
///
/// # Errors
/// If the client fails to send its body. The inner error is that of `hold`.
pub(super) async fn hold(
    client: &mut impl ClientSide,
    upload: &mut Upload,
    hold: &mut Hold,
) -> Result<Result<(), BodyFault>> {
    // The data alone: small chunks would take several times their length in the form for the origin.
    let declared = upload.body.left();
    let (is_chunked, mut held, mut out) =
        (declared.is_none(), Vec::with_capacity(hold.room(declared)), Vec::new());
    while !upload.body.is_done() {
        client.set_deadline(client.body_time());
        let mut judged = Ok(());
        let part = poll_fn(|context| {
            let take = |data: &[u8]| {
                judged = judged.and_then(|()| hold.take(data));
                if judged.is_ok() {
                    held.extend_from_slice(data);
                }
            };
            match client.poll_body(context, &mut upload.body, &mut out, take) {
                Poll::Ready(read) => Poll::Ready(read.map(drop)),
                Poll::Pending => client.poll_deadline(context).map(|()| Err(silent())),
            }
        });
        part.await?;
        out.clear();
        if judged.is_err() {
            return Ok(judged);
        }
    }
    upload.put_held(held, is_chunked);
    Ok(Ok(()))
}

/// The client cannot be written to.
pub(super) fn write_failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Box<Error> {
    Error::because(ErrorType::WriteError, "sending the response", error).into_down()
}

/// The client cannot be read from.
pub(super) fn read_failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Box<Error> {
    Error::because(ErrorType::ReadError, "reading the request", error).into_down()
}

/// The client has sent nothing of its body for too long.
pub(super) fn silent() -> Box<Error> {
    Error::explain(ErrorType::ReadTimedout, "reading the request").into_down()
}

/// The client has taken nothing of the response for too long.
pub(super) fn unread() -> Box<Error> {
    Error::explain(ErrorType::WriteTimedout, "sending the response").into_down()
}

/// The client has closed the connection or the stream.
pub(super) fn closed() -> Box<Error> {
    Error::explain(ErrorType::ConnectionClosed, "the client has closed the connection").into_down()
}
