//! When a key set is fetched. The caller reads the clock.

use std::time::Duration;

use tokio::time::Instant;

/// How long an early fetch keeps the next early one away.
const EARLY_FETCHES: Duration = Duration::from_secs(60);

/// The longest time from a failed fetch to the next.
const MAX_RETRY: Duration = Duration::from_secs(60);

/// When one set is fetched next.
#[derive(Clone, Debug)]
pub(super) struct FetchSchedule {
    due: Instant,
    /// Failed fetches since the last success.
    failures: u32,
    /// The moment of the last early fetch, if there was one.
    early: Option<Instant>,
}

impl FetchSchedule {
    /// The first fetch is due at once.
    pub fn new(now: Instant) -> Self {
        Self { due: now, failures: 0, early: None }
    }

    /// The moment of the next fetch.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// A fetch succeeded. `share` is random, from 0 to 1: many gateways must not ask at one moment.
    pub fn succeeded(&mut self, now: Instant, refresh: Duration, share: f64) {
        self.failures = 0;
        self.due = now + jitter(refresh, share);
    }

    /// A fetch failed. The next one follows soon, later each time.
    pub fn failed(&mut self, now: Instant, refresh: Duration, share: f64) {
        let pause = Duration::from_secs(1 << self.failures.min(6)).min(MAX_RETRY).min(refresh);
        self.failures += 1;
        self.due = now + jitter(pause, share);
    }

    /// A token has named an unknown key. Returns whether the set is fetched now.
    pub fn ask_early(&mut self, now: Instant) -> bool {
        let is_allowed = self.early.is_none_or(|early| now.duration_since(early) >= EARLY_FETCHES);
        if is_allowed {
            self.early = Some(now);
            self.due = now;
        }
        is_allowed
    }

    /// Another interval applies from now on.
    pub fn limit(&mut self, now: Instant, refresh: Duration) {
        self.due = self.due.min(now + refresh);
    }
}

/// `time`, give or take a tenth.
fn jitter(time: Duration, share: f64) -> Duration {
    time.mul_f64(0.9 + 0.2 * share.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn successes_follow_the_interval_and_failures_retry_ever_later() {
        let start = Instant::now();
        let mut schedule = FetchSchedule::new(start);
        assert_eq!(schedule.due(), start);
        schedule.succeeded(start, 10 * MINUTE, 0.5);
        assert_eq!(schedule.due(), start + 10 * MINUTE);
        schedule.succeeded(start, 10 * MINUTE, 1.0);
        assert_eq!(schedule.due(), start + 11 * MINUTE);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            schedule.failed(start, 10 * MINUTE, 0.5);
            pauses.push((schedule.due() - start).as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        schedule.failed(start, Duration::from_secs(5), 0.5);
        assert_eq!(schedule.due() - start, Duration::from_secs(5), "never later than the interval");
        schedule.succeeded(start, 10 * MINUTE, 0.5);
        schedule.failed(start, 10 * MINUTE, 0.5);
        assert_eq!(schedule.due() - start, Duration::from_secs(1));
    }

    #[test]
    fn unknown_keys_cause_one_early_fetch_a_minute() {
        let start = Instant::now();
        let mut schedule = FetchSchedule::new(start);
        schedule.succeeded(start, 10 * MINUTE, 0.5);
        assert!(schedule.ask_early(start));
        assert_eq!(schedule.due(), start);
        schedule.succeeded(start, 10 * MINUTE, 0.5);
        assert!((0..60).all(|second| !schedule.ask_early(start + Duration::from_secs(second))));
        assert_eq!(schedule.due(), start + 10 * MINUTE);
        assert!(schedule.ask_early(start + MINUTE));
    }

    #[test]
    fn a_shorter_interval_applies_at_once() {
        let start = Instant::now();
        let mut schedule = FetchSchedule::new(start);
        schedule.succeeded(start, 60 * MINUTE, 0.5);
        schedule.limit(start, MINUTE);
        assert_eq!(schedule.due(), start + MINUTE);
    }
}
