//! The lowest rate of a request body.

use std::io;
use std::time::{Duration, Instant};

use crate::admission::ProtocolLimits;
use crate::clock;

/// Measures the time that reads of a body wait for the client. While the gateway does not read because
/// the origin is slow, no time is counted.
#[derive(Debug, Default)]
pub struct Pace {
    /// Time that the client has beyond the time for its bytes.
    grace: Duration,
    /// Bytes a second; 0 for any rate.
    rate: u64,
    bytes: u64,
    waited: Duration,
    waits_since: Option<Instant>,
}

impl Pace {
    /// The pace of a body that begins now.
    pub fn new(limits: &ProtocolLimits) -> Self {
        Self { grace: limits.time.body, rate: limits.body_rate, ..Self::default() }
    }

    /// A read has found no bytes.
    pub fn wait(&mut self) {
        if self.rate > 0 && self.waits_since.is_none() {
            self.waits_since = Some(clock::now());
        }
    }

    /// A read has found `count` bytes.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] if all bytes together took too long. A client that sends nothing
    /// runs into the timeout of the read instead.
    pub fn read(&mut self, count: usize) -> io::Result<()> {
        self.bytes += count as u64;
        let Some(since) = self.waits_since.take() else { return Ok(()) };
        self.waited += clock::since(since);
        if self.waited > self.grace + time_for(self.bytes, self.rate) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }
}

/// The time for this many bytes at this rate.
pub(super) fn time_for(bytes: u64, rate: u64) -> Duration {
    Duration::from_millis(bytes.saturating_mul(1000).checked_div(rate).unwrap_or(u64::MAX))
}
