//! How slowly a body may come over HTTP/1.

use std::io;
use std::time::{Duration, Instant};

use crate::admission::ProtocolLimits as Bounds;

/// Watches the time for which reading a body waits for the client. A slow origin, for which
/// reading stops, is not the client's fault.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// For which the client may be silent.
    grace: Duration,
    /// Bytes a second; 0 for any.
    rate: u64,
    bytes: u64,
    waited: Duration,
    waits_since: Option<Instant>,
}

impl Pace {
    /// For the next body.
    pub fn new(bounds: &Bounds) -> Self {
        Self { grace: bounds.time.body, rate: bounds.body_rate, ..Self::default() }
    }

    /// There was nothing to read.
    pub fn waits(&mut self) {
        if self.rate > 0 && self.waits_since.is_none() {
            self.waits_since = Some(Instant::now());
        }
    }

    /// So many bytes have come.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] when all of them took too long. A client that sends nothing at
    /// all is left to the time limit of each read.
    pub fn reads(&mut self, count: usize) -> io::Result<()> {
        self.bytes += count as u64;
        let Some(since) = self.waits_since.take() else { return Ok(()) };
        self.waited += since.elapsed();
        if self.waited > self.grace + time_for(self.bytes, self.rate) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }
}

/// How long these bytes may take.
pub(super) fn time_for(bytes: u64, rate: u64) -> Duration {
    Duration::from_millis(bytes.saturating_mul(1000).checked_div(rate).unwrap_or(u64::MAX))
}
