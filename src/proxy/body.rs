//! Bodies that are verified before the origin gets any of them.

use std::sync::Arc;

use http::Version;
use http::header::EXPECT;
use pingora_core::Error;
use pingora_proxy::Session;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::head::RequestHead;
use crate::approov::{BodyVerifier, ContentDigest, Rejection};

/// How many bodies are held back at the same time in all workers. With `digest_buffer` of 64 KiB their data is
/// at most 64 MiB in total. The buffer of a chunked body grows, and may take twice its data.
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

/// A body that is held back until it is verified.
pub(super) struct Hold {
    verifier: BodyVerifier,
    permit: Option<HeldBody>,
    length: usize,
    limit: usize,
}

impl Hold {
    /// Begins to hold a body of a declared `length` back; 0 if there is none. `None` if the body need not
    /// be verified. Up to `limit` bytes are held.
    ///
    /// # Errors
    /// [`BodyFault`] if the body cannot satisfy the demand, or cannot be held.
    pub fn begin(
        demand: BodyDemand,
        length: Option<u64>,
        limit: usize,
        held: &HeldBodies,
    ) -> Result<Option<Self>, BodyFault> {
        let is_empty = length == Some(0);
        let digest = match demand {
            BodyDemand::Free => return Ok(None),
            BodyDemand::Empty if is_empty => return Ok(None),
            BodyDemand::Empty => return Err(BodyFault::Rejected(Rejection::MissingContentDigest)),
            BodyDemand::Digest(digest) => digest,
        };
        if length.is_some_and(|length| length > limit as u64) {
            return Err(BodyFault::TooLong);
        }
        let permit = if is_empty {
            None
        } else {
            Some(Arc::clone(&held.0).try_acquire_owned().map_err(|_| BodyFault::Busy)?)
        };
        Ok(Some(Self { verifier: digest.verifier(), permit, length: 0, limit }))
    }

    /// The bytes to reserve for a body of a declared length. A buffer that grows could take twice the data.
    pub fn room(&self, declared: Option<u64>) -> usize {
        let declared = declared.and_then(|length| usize::try_from(length).ok());
        declared.unwrap_or_default().min(self.limit)
    }

    /// Takes in the next part of the body.
    ///
    /// # Errors
    /// [`BodyFault::TooLong`] if more has arrived than can be held.
    pub fn take(&mut self, part: &[u8]) -> Result<(), BodyFault> {
        self.length += part.len();
        if self.length > self.limit {
            return Err(BodyFault::TooLong);
        }
        self.verifier.update(part);
        Ok(())
    }

    /// Verifies the body, which has arrived whole.
    ///
    /// # Errors
    /// If the body does not have the hashes that it must have.
    pub fn end(self) -> Result<Option<HeldBody>, BodyFault> {
        if self.verifier.matches() {
            Ok(self.permit)
        } else {
            Err(BodyFault::Rejected(Rejection::ContentDigestMismatch))
        }
    }
}

/// Verifies the body of a request before the origin is asked. Pingora keeps what is read here and
/// sends it to the origin afterwards. `each` is called with the length of each part, and with whether
/// it is the last.
pub(super) async fn verify(
    session: &mut Session,
    demand: BodyDemand,
    limit: usize,
    held: &HeldBodies,
    mut each: impl FnMut(usize, bool) + Send,
) -> pingora_core::Result<Result<Option<HeldBody>, BodyFault>> {
    let is_empty = session.is_body_empty();
    let length = if is_empty { Some(0) } else { session.req_header().declared_length() };
    let mut hold = match Hold::begin(demand, length, limit, held) {
        Ok(Some(hold)) => hold,
        Ok(None) => return Ok(Ok(None)),
        Err(fault) => return Ok(Err(fault)),
    };
    if !is_empty {
        invite(session).await?;
        session.as_mut().enable_retry_buffering();
        while let Some(part) = session.read_request_body().await.map_err(Error::into_down)? {
            each(part.len(), false);
            if let Err(fault) = hold.take(&part) {
                return Ok(Err(fault));
            }
        }
        each(0, true);
    }
    Ok(hold.end())
}

/// Asks a client that waits for 100 (Continue) to send its body (RFC 9110 §10.1.1).
async fn invite(session: &mut Session) -> pingora_core::Result<()> {
    if session.req_header().headers.contains_key(EXPECT) {
        if session.req_header().version == Version::HTTP_11 {
            session.as_mut().write_continue_response().await.map_err(Error::into_down)?;
        }
        session.req_header_mut().remove_header(&EXPECT);
    }
    Ok(())
}
