//! HTTP/1 on one connection: a head, a request, and again.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use bytes::BytesMut;
use pingora_core::apps::HttpServerApp;
use pingora_core::protocols::http::ServerSession;
use pingora_core::server::ShutdownWatch;
use tokio::io::AsyncWriteExt;

use super::deadline::Deadline;
use super::stream::{ClientStream, LINGER, LINGER_BYTES};
use super::{Proxy, Worker};
use crate::http::{HeadFault, HeadReader};
use crate::proxy::{Connection, Unparsed, UnparsedRequest};

/// Why there is no further request.
enum End {
    /// The client has gone, or has had nothing to say for long.
    Silent,
    /// It is owed an answer.
    Answer(Unparsed),
}

/// Serves requests until one of the two ends the connection.
pub(super) async fn serve(
    worker: &Worker,
    mut stream: Box<ClientStream>,
    connection: &Connection,
    stop: &ShutdownWatch,
) {
    let started = Instant::now();
    let mut requests = 0;
    let mut deadline: Option<Deadline> = None;
    loop {
        let bounds = worker.bounds();
        let deadline = match &mut deadline {
            Some(deadline) => {
                deadline.set(bounds.time.idle);
                deadline
            }
            none => none.insert(Deadline::after(bounds.time.idle)),
        };
        let mut reader = HeadReader::default();
        let mut is_waiting = true;
        let head = poll_fn(|context| {
            loop {
                match stream.poll_head(&mut reader, &bounds.head, context) {
                    Poll::Ready(head) => return Poll::Ready(Ok(head)),
                    Poll::Pending if is_waiting && stream.has_begun() => {
                        is_waiting = false;
                        // Every read may be answered by one byte more, so a limit for each read
                        // were none.
                        deadline.set(bounds.time.header);
                    }
                    Poll::Pending => return deadline.poll_passed(context).map(Err),
                }
            }
        })
        .await;
        let end = match head {
            Ok(Some(Ok(head))) => {
                requests += 1;
                let is_last = requests >= bounds.requests || started.elapsed() >= bounds.age;
                stream.begin_exchange(&bounds);
                match answer(&worker.proxy, head, stream, is_last, stop).await {
                    Some(kept) if kept.is_ambiguous() => return,
                    Some(kept) => {
                        stream = kept;
                        continue;
                    }
                    None => return,
                }
            }
            Ok(Some(Err(fault))) => End::Answer(match fault {
                HeadFault::Malformed => Unparsed::Malformed,
                HeadFault::TargetTooLong => Unparsed::TargetTooLong,
                HeadFault::TooLarge => Unparsed::HeadTooLarge,
            }),
            Err(()) if !is_waiting => End::Answer(Unparsed::HeadTooSlow),
            Ok(None) | Err(()) => End::Silent,
        };
        match end {
            End::Silent => return,
            End::Answer(why) => return refuse(worker, stream, connection, why).await,
        }
    }
}

/// One request; the stream comes back where the connection is kept.
async fn answer(
    proxy: &Arc<Proxy>,
    head: BytesMut,
    stream: Box<ClientStream>,
    is_last: bool,
    stop: &ShutdownWatch,
) -> Option<Box<ClientStream>> {
    let mut session = ServerSession::new_http1(stream);
    session.set_pipelined_prefix(head);
    if is_last {
        session.set_keepalive_reuses_remaining(Some(0));
    }
    let (stream, _) = proxy.process_new_http(session, stop).await?.consume();
    stream.into_any().downcast().ok()
}

/// Answers what is no request, and ends the connection: where the next one would begin is a guess.
async fn refuse(worker: &Worker, mut stream: Box<ClientStream>, connection: &Connection, why: Unparsed) {
    let request = UnparsedRequest { head: stream.unread(), connection, why };
    let Ok(answer) = worker.shared.refuse_unparsed(&request) else { return };
    let leave = async {
        if stream.write_all(&answer).await.is_ok() {
            stream.linger(LINGER_BYTES).await;
        }
    };
    // Whoever does not read the answer in time goes without it.
    let _ = tokio::time::timeout(LINGER, leave).await;
}
