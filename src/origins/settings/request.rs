//! Requests to an origin: retries, capacity and the secret header.

use std::time::Duration;

use http::{HeaderName, HeaderValue};

/// Which requests are sent again although they may have reached the origin: only idempotent ones
/// (RFC 9110 §9.2.2), and only before the client has received a byte of the response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Retries of one request at the most.
    pub attempts: usize,
    /// Whether a broken connection or an answer that is not HTTP is a reason.
    pub on_error: bool,
    /// Whether a read timeout is a reason.
    pub on_timeout: bool,
    /// The statuses that are a reason.
    pub statuses: Vec<u16>,
    /// Retries for each hundred requests.
    pub budget_percent: usize,
}

/// The limit on concurrent requests to an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// The most requests in flight at the same time.
    pub max_in_flight: usize,
    /// Requests that may wait for one of them to end.
    pub queue: usize,
    /// Time limit of the wait.
    pub queue_timeout: Duration,
}

/// A header that proves to an origin that a request came through the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretHeader {
    /// The name of the header field.
    pub name: HeaderName,
    /// The secret; marked as sensitive, so that `Debug` does not show it.
    pub value: HeaderValue,
    /// During a rotation: name and value of the field that will replace it.
    pub next: Option<(HeaderName, HeaderValue)>,
}

impl SecretHeader {
    /// Every field that a request to the origin carries.
    pub fn fields(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        let next = self.next.iter().map(|(name, value)| (name, value));
        std::iter::once((&self.name, &self.value)).chain(next)
    }
}
