//! Sending an answer on a session of Pingora's.

use std::time::Duration;

use http::Version;
use http::header::EXPECT;
use pingora_core::Result;
use pingora_proxy::Session;

use super::{Answer, Answers, Notes, grpc};
use crate::proxy::head::RequestHead;

/// An unread body of at most this many bytes is read, so that the connection can be kept.
pub(in crate::proxy) const MAX_DRAINED: u64 = 64 * 1024;

/// How long reading such a body may take.
pub(in crate::proxy) const DRAIN_TIME: Duration = Duration::from_secs(2);

/// How long an HTTP/2 client may leave no room for an answer.
pub(in crate::proxy) const PATIENCE: Duration = Duration::from_secs(1);

/// How long and how far a longer body is read after the answer. A connection that is closed over unread
/// data is reset, and the client might lose the answer.
pub(in crate::proxy) const LINGER_TIME: Duration = Duration::from_secs(2);
pub(in crate::proxy) const MAX_LINGERED: usize = 1024 * 1024;

impl Answers {
    /// Sends an answer. The connection is kept if that is safe: Pingora closes a connection over a body
    /// that has not been read to its end.
    ///
    /// # Errors
    /// If the client cannot be written to.
    pub async fn send(&self, session: &mut Session, answer: Answer, notes: &Notes<'_>) -> Result<()> {
        if session.req_header().is_grpc() {
            return grpc::send(session, answer, notes);
        }
        let is_http1 = session.req_header().version != Version::HTTP_2;
        if answer == Answer::BadRequest {
            // After a malformed request, the start of the next request is a guess.
            session.set_keepalive(None);
        } else if is_http1 {
            drain_small_body(session).await;
        }
        if !is_http1 {
            // While the client makes no room for the answer, the rest of its request takes memory.
            session.set_write_timeout(Some(PATIENCE));
        }
        let (header, body) = self.parts(answer, session.req_header(), notes)?;
        let without_body = body.is_empty();
        session.write_response_header(Box::new(header), without_body).await?;
        if !without_body {
            session.write_response_body(Some(body), true).await?;
        }
        // An HTTP/2 stream whose request is not complete is reset without an error.
        if is_http1 {
            linger(session).await;
        }
        Ok(())
    }
}

/// Reads a small body that the client is sending anyway.
async fn drain_small_body(session: &mut Session) {
    if session.is_body_done() || session.req_header().headers.contains_key(EXPECT) {
        return;
    }
    if session.req_header().declared_length().is_some_and(|length| length <= MAX_DRAINED) {
        session.set_total_drain_timeout(Some(DRAIN_TIME));
        // If the body cannot be read, the connection is closed after the answer.
        let _ = session.drain_request_body().await;
    }
}

/// Reads further bytes of the request after an answer that closes the connection.
async fn linger(session: &mut Session) {
    if session.is_body_done() {
        return;
    }
    let mut read = 0;
    let rest = async {
        while read < MAX_LINGERED {
            match session.read_request_body().await {
                Ok(Some(part)) => read += part.len(),
                Ok(None) | Err(_) => break,
            }
        }
    };
    let _ = tokio::time::timeout(LINGER_TIME, rest).await;
}
