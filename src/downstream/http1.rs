//! HTTP/1 on one connection: one request after another.

use std::future::poll_fn;
use std::task::Poll;

use bytes::BytesMut;
use pingora_core::server::ShutdownWatch;
use tokio::io::AsyncWriteExt;

use super::deadline::Deadline;
use super::stream::{LINGER, LINGER_BYTES};
use super::{Application, ClientStream, Connection, Http1Request, Unparsed, UnparsedRequest, Worker};
use crate::admission::ProtocolLimits;
use crate::clock;
use crate::http::{Body, HeadFault, HeadReader};

/// What arrived in place of a request.
enum End {
    /// Nothing: the client has closed the connection, or was idle for too long.
    Idle,
    /// Bytes that are not a valid request.
    Invalid(Unparsed),
}

/// Serves requests until the client or the gateway ends the connection.
pub(super) async fn serve<A: Application>(
    worker: &Worker<A>,
    mut stream: Box<ClientStream>,
    connection: &Connection,
    stop: &ShutdownWatch,
) {
    let application = &worker.application;
    let started = clock::now();
    let mut requests = 0;
    let mut deadline: Option<Deadline> = None;
    loop {
        let limits = application.limits();
        let deadline = match &mut deadline {
            Some(deadline) => {
                deadline.set(limits.time.idle);
                deadline
            }
            none => none.insert(Deadline::after(limits.time.idle)),
        };
        match read_head(&mut stream, &limits, deadline).await {
            Ok((head, body)) => {
                requests += 1;
                let arrived = clock::now();
                let age = arrived.saturating_duration_since(started);
                let is_last = requests >= limits.requests || age >= limits.age;
                stream.begin_exchange(&limits);
                let request =
                    Http1Request { head, body, arrived, stream, is_last, deadline, limits: &limits };
                match application.serve_http1(request, stop).await {
                    Some(kept) if !kept.is_ambiguous() => stream = kept,
                    _ => return,
                }
            }
            Err(End::Invalid(why)) => return refuse(application, stream, connection, why).await,
            Err(End::Idle) => return,
        }
    }
}

/// Waits for the head of a request. `deadline` is set to the idle timeout.
async fn read_head(
    stream: &mut ClientStream,
    limits: &ProtocolLimits,
    deadline: &mut Deadline,
) -> Result<(BytesMut, Body), End> {
    let mut reader = HeadReader::default();
    let mut is_idle = true;
    let head = poll_fn(|context| {
        loop {
            match stream.poll_head(&mut reader, &limits.head, context) {
                Poll::Ready(head) => return Poll::Ready(Ok(head)),
                Poll::Pending if is_idle && stream.has_begun() => {
                    is_idle = false;
                    // One deadline covers the whole head. A client that sends one byte at a time would
                    // defeat a timeout for each read.
                    deadline.set(limits.time.header);
                }
                Poll::Pending => return deadline.poll_passed(context).map(Err),
            }
        }
    })
    .await;
    match head {
        Ok(Some(Ok(head))) => Ok(head),
        Ok(Some(Err(HeadFault::Malformed))) => Err(End::Invalid(Unparsed::Malformed)),
        Ok(Some(Err(HeadFault::TargetTooLong))) => Err(End::Invalid(Unparsed::TargetTooLong)),
        Ok(Some(Err(HeadFault::TooLarge))) => Err(End::Invalid(Unparsed::HeadTooLarge)),
        Err(()) if !is_idle => Err(End::Invalid(Unparsed::HeadTooSlow)),
        Ok(None) | Err(()) => Err(End::Idle),
    }
}

/// Answers an invalid request and closes the connection, because the start of the next request would be
/// a guess.
async fn refuse(
    application: &impl Application,
    mut stream: Box<ClientStream>,
    connection: &Connection,
    why: Unparsed,
) {
    let request = UnparsedRequest { head: stream.unread(), connection, why };
    let Some(response) = application.refuse_unparsed(&request) else { return };
    let close = async {
        if stream.write_all(&response).await.is_ok() {
            stream.linger(LINGER_BYTES).await;
        }
    };
    // A client that does not read the response in time loses it.
    let _ = tokio::time::timeout(LINGER, close).await;
}
