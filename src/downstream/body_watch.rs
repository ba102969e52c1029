//! The lowest rate of an HTTP/2 request body that Pingora's proxy reads. That proxy has no time limit for it.

use std::future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::pace::time_for;
use crate::admission::ProtocolLimits;
use crate::clock;

/// Progress of one request body. The task that serves the request records each part; a timer next to
/// it cancels the task if the body is too slow.
#[derive(Debug)]
pub struct BodyWatch {
    started: Instant,
    bytes: AtomicU64,
    /// Milliseconds from the start to the last part.
    last: AtomicU64,
    has_ended: AtomicBool,
}

/// How a watched task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEnd {
    /// The request's task has completed.
    Served,
    /// The body was too slow, and the task was cancelled.
    TooSlow,
}

impl BodyWatch {
    /// A watch over a body that begins now.
    pub fn begin() -> Self {
        Self {
            started: clock::timer(),
            bytes: AtomicU64::new(0),
            last: AtomicU64::new(0),
            has_ended: AtomicBool::new(false),
        }
    }

    /// A part of the body has arrived.
    pub fn record(&self, bytes: usize, is_end: bool) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let elapsed = clock::timer().saturating_duration_since(self.started).as_millis();
        self.last.store(u64::try_from(elapsed).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.has_ended.fetch_or(is_end, Ordering::Relaxed);
    }

    /// Ends the watch: from now on a slow body does not cancel the request.
    pub fn end(&self) {
        self.has_ended.store(true, Ordering::Relaxed);
    }

    /// Runs `task`, which serves the request, and cancels it if the body is too slow. To cancel the
    /// task resets the HTTP/2 stream.
    pub async fn guard(&self, limits: &ProtocolLimits, task: impl Future<Output = ()>) -> BodyEnd {
        tokio::select! {
            biased;
            () = task => BodyEnd::Served,
            () = self.becomes_too_slow(limits) => BodyEnd::TooSlow,
        }
    }

    async fn becomes_too_slow(&self, limits: &ProtocolLimits) {
        loop {
            if self.has_ended.load(Ordering::Relaxed) {
                return future::pending().await;
            }
            let last = self.started + Duration::from_millis(self.last.load(Ordering::Relaxed));
            // Twice the time, because a wait for the origin may lie between two parts as well.
            let mut deadline = last + limits.time.body * 2;
            if limits.body_rate > 0 {
                let bytes = self.bytes.load(Ordering::Relaxed);
                let whole = limits.time.body.saturating_add(time_for(bytes, limits.body_rate));
                deadline = self.started.checked_add(whole).map_or(deadline, |whole| whole.min(deadline));
            }
            if clock::timer() >= deadline {
                return;
            }
            sleep_until(deadline).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LimitSettings;

    fn limits() -> ProtocolLimits {
        let mut limits = ProtocolLimits::new(&LimitSettings::default());
        limits.time.body = Duration::from_secs(30);
        limits.body_rate = 1000;
        limits
    }

    /// Sends parts of so many bytes, each after so many seconds. Returns the second at which the
    /// request was cancelled.
    async fn cancelled_after(parts: &[(u64, usize)]) -> Option<u64> {
        let watch = BodyWatch::begin();
        let start = Instant::now();
        let task = async {
            for (index, (seconds, size)) in parts.iter().enumerate() {
                tokio::time::sleep(Duration::from_secs(*seconds)).await;
                watch.record(*size, index + 1 == parts.len());
            }
            // A slow origin is not the client's fault.
            tokio::time::sleep(Duration::from_secs(1000)).await;
        };
        let end = watch.guard(&limits(), task).await;
        (end == BodyEnd::TooSlow).then(|| start.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn cancels_silent_and_slow_bodies_only() {
        assert_eq!(cancelled_after(&[(1, 1000); 100]).await, None, "fast enough");
        assert_eq!(cancelled_after(&[(100, 0)]).await, Some(30), "nothing at all");
        assert_eq!(cancelled_after(&[(1, 100_000), (100, 1)]).await, Some(61), "silent after the start");
        assert_eq!(cancelled_after(&[(1, 1); 100]).await, Some(30), "a byte a second");
        assert_eq!(cancelled_after(&[(1, 500); 100]).await, Some(59), "half of the lowest rate");
    }
}
