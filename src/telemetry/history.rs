//! The last ten minutes, from counters that are read every ten seconds. Requests pay nothing for it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::distribution::{DURATION_BUCKETS, Distribution, OVERHEAD_BUCKETS};

/// The time between two samples.
pub const SAMPLE_EVERY: Duration = Duration::from_secs(10);

/// Samples that are kept: ten minutes.
const KEPT: usize = 60;

/// What was counted, in total or in a part of the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Requests that have ended, whatever the answer.
    pub requests: u64,
    /// Responses with a status of 500 or above.
    pub server_errors: u64,
    /// Requests that were refused: rejected or denied.
    pub refused: u64,
    /// Lines of the access log that were lost.
    pub lost_lines: u64,
    /// From the head of a request to the end of its response.
    pub durations: Distribution,
    /// The gateway's own share of that time.
    pub overhead: Distribution,
}

impl Totals {
    /// Zeros: nothing was counted yet.
    pub(super) fn none() -> Self {
        Self {
            requests: 0,
            server_errors: 0,
            refused: 0,
            lost_lines: 0,
            durations: Distribution::empty(DURATION_BUCKETS.len()),
            overhead: Distribution::empty(OVERHEAD_BUCKETS.len()),
        }
    }

    /// The quantile of the durations, in seconds; `None` without requests.
    pub fn duration(&self, quantile: f64) -> Option<f64> {
        self.durations.quantile(quantile, &DURATION_BUCKETS)
    }

    /// The quantile of the gateway's own share, in seconds; `None` without requests.
    pub fn own_share(&self, quantile: f64) -> Option<f64> {
        self.overhead.quantile(quantile, &OVERHEAD_BUCKETS)
    }

    /// What was counted since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(earlier.requests),
            server_errors: self.server_errors.saturating_sub(earlier.server_errors),
            refused: self.refused.saturating_sub(earlier.refused),
            lost_lines: self.lost_lines.saturating_sub(earlier.lost_lines),
            durations: self.durations.since(&earlier.durations),
            overhead: self.overhead.since(&earlier.overhead),
        }
    }
}

/// The samples, the oldest first.
#[derive(Debug)]
pub(super) struct History(VecDeque<(Instant, Totals)>);

/// The last ten minutes, or the time since the start if that is shorter.
#[derive(Clone, Debug)]
pub struct Window {
    /// How much time the window covers.
    pub length: Duration,
    /// What was counted in the whole window.
    pub sum: Totals,
    /// What was counted in each ten seconds, the oldest first. The last part is not complete.
    pub parts: Vec<Totals>,
}

impl History {
    /// Begins with this sample as the oldest.
    pub fn new(now: Instant, totals: Totals) -> Self {
        Self(VecDeque::from([(now, totals)]))
    }

    /// Adds a sample, and forgets the oldest if ten minutes are kept.
    pub fn push(&mut self, now: Instant, totals: Totals) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back((now, totals));
    }

    /// The time from the oldest sample until now, when the counters say `present`.
    pub fn window(&self, now: Instant, present: &Totals) -> Window {
        let samples = self.0.iter().map(|(_, totals)| totals);
        let next = samples.clone().skip(1).chain([present]);
        let parts = samples.zip(next).map(|(then, next)| next.since(then)).collect();
        let (start, first) = self.0.front().map_or((now, present), |(time, totals)| (*time, totals));
        Window { length: now.saturating_duration_since(start), sum: present.since(first), parts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(requests: u64) -> Totals {
        Totals { requests, server_errors: requests / 10, ..Totals::none() }
    }

    #[test]
    fn window_has_a_part_for_each_sample_and_forgets_the_oldest() {
        let start = Instant::now();
        let mut history = History::new(start, totals(0));
        history.push(start + SAMPLE_EVERY, totals(30));
        let window = history.window(start + Duration::from_secs(14), &totals(50));
        let parts: Vec<u64> = window.parts.iter().map(|part| part.requests).collect();
        assert_eq!((parts, window.sum.requests, window.sum.server_errors), (vec![30, 20], 50, 5));
        assert_eq!(window.length, Duration::from_secs(14));
        for number in 2..100 {
            history.push(start + number * SAMPLE_EVERY, totals(30 * u64::from(number)));
        }
        let window = history.window(start + 99 * SAMPLE_EVERY, &totals(30 * 99));
        assert_eq!((window.parts.len(), window.sum.requests), (60, 30 * 59));
        assert_eq!(window.length, Duration::from_secs(590));
    }
}
