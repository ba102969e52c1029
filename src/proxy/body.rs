//! Bodies that are verified before the origin gets any of them.

use std::sync::Arc;

use http::Version;
use http::header::EXPECT;
use pingora_core::Result;
use pingora_proxy::Session;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::head::RequestHead;
use crate::approov::{ContentDigest, Rejection};

/// How many bodies are held back at the same time in all workers. Pingora keeps at most 64 KiB of
/// each, so this is a total of 64 MiB.
const MAX_HELD: usize = 1024;

/// The room for bodies that are held back.
pub struct HeldBodies(Arc<Semaphore>);

impl Default for HeldBodies {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_HELD)))
    }
}

/// What the body of an admitted request must satisfy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyDemand {
    /// The body is forwarded as it arrives.
    Free,
    /// The body must have these hashes.
    Digest(ContentDigest),
    /// No body may follow a head that announced none.
    Empty,
}

/// Why a body is not forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyFault {
    /// The body does not have the hashes that it must have, or has none.
    Rejected(Rejection),
    /// The body is longer than the buffer.
    TooLong,
    /// Too many bodies are held back.
    Busy,
}

/// Counts a body as held back for as long as it lives.
pub(super) type HeldBody = OwnedSemaphorePermit;

/// Verifies the body of a request before the origin is asked. Pingora keeps what is read here and
/// sends it to the origin afterwards. `each` is called with the length of each part, and with whether
/// it is the last.
pub(super) async fn verify(
    session: &mut Session,
    demand: BodyDemand,
    limit: usize,
    held: &HeldBodies,
    mut each: impl FnMut(usize, bool) + Send,
) -> Result<Result<Option<HeldBody>, BodyFault>> {
    let digest = match demand {
        BodyDemand::Free => return Ok(Ok(None)),
        BodyDemand::Empty if session.is_body_empty() => return Ok(Ok(None)),
        BodyDemand::Empty => return Ok(Err(BodyFault::Rejected(Rejection::MissingContentDigest))),
        BodyDemand::Digest(digest) => digest,
    };
    let mut verifier = digest.verifier();
    let mut permit = None;
    if !session.is_body_empty() {
        if session.req_header().declared_length().is_some_and(|length| length > limit as u64) {
            return Ok(Err(BodyFault::TooLong));
        }
        let Ok(free) = Arc::clone(&held.0).try_acquire_owned() else { return Ok(Err(BodyFault::Busy)) };
        permit = Some(free);
        invite(session).await?;
        session.as_mut().enable_retry_buffering();
        let mut length = 0;
        while let Some(part) = session.read_request_body().await? {
            length += part.len();
            each(part.len(), false);
            if length > limit {
                return Ok(Err(BodyFault::TooLong));
            }
            verifier.update(&part);
        }
        each(0, true);
    }
    if verifier.matches() {
        Ok(Ok(permit))
    } else {
        Ok(Err(BodyFault::Rejected(Rejection::ContentDigestMismatch)))
    }
}

/// Asks a client that waits for 100 (Continue) to send its body (RFC 9110 §10.1.1).
async fn invite(session: &mut Session) -> Result<()> {
    if session.req_header().headers.contains_key(EXPECT) {
        if session.req_header().version == Version::HTTP_11 {
            session.as_mut().write_continue_response().await?;
        }
        session.req_header_mut().remove_header(&EXPECT);
    }
    Ok(())
}
