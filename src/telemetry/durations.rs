//! A histogram of durations. Recording is one addition to the count of a bucket and one to the sum.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How many durations were recorded, by size, and their sum.
pub(super) struct Durations {
    /// In seconds, ascending.
    bounds: &'static [f64],
    /// The count of each bucket, and of the durations above the last bound.
    counts: Box<[AtomicU64]>,
    /// The rest of the sum in nanoseconds, below [`CARRY`], except during a carry.
    nanoseconds: AtomicU64,
    /// How many times [`CARRY`] nanoseconds are in the sum.
    carried: AtomicU64,
}

/// 146 years. Ten thousand tunnels add up to that in five days.
const CARRY: u64 = 1 << 62;

impl Durations {
    /// No durations yet. `bounds` are in seconds, ascending.
    pub fn new(bounds: &'static [f64]) -> Self {
        Self {
            bounds,
            counts: counters(bounds.len() + 1),
            nanoseconds: AtomicU64::new(0),
            carried: AtomicU64::new(0),
        }
    }

    /// Counts a duration. A bound belongs to the bucket below it.
    pub fn record(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = self.bounds.partition_point(|bound| *bound < seconds);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).min(CARRY);
        let before = self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
        if before < CARRY && before + nanoseconds >= CARRY {
            self.carried.fetch_add(1, Ordering::Relaxed);
            self.nanoseconds.fetch_sub(CARRY, Ordering::Relaxed);
        }
    }

    /// The count of each bucket, and of the durations above the last bound.
    pub fn counts(&self) -> impl Iterator<Item = u64> {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed))
    }

    /// The sum in seconds. A duration that is recorded meanwhile may be missing here and not in the counts.
    pub fn sum(&self) -> f64 {
        let carried = self.carried.load(Ordering::Relaxed) as f64 * CARRY as f64;
        (carried + self.nanoseconds.load(Ordering::Relaxed) as f64) / 1e9
    }
}

/// `count` counters at 0.
pub(super) fn counters(count: usize) -> Box<[AtomicU64]> {
    std::iter::repeat_with(AtomicU64::default).take(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_below_the_first_bound_that_is_not_less() {
        let durations = Durations::new(&[0.001, 0.5, 2.0]);
        for milliseconds in [0, 1, 2, 500, 501, 2000, 9000] {
            durations.record(Duration::from_millis(milliseconds));
        }
        assert!(durations.counts().eq([2, 2, 2, 1]));
        assert!((durations.sum() - 12.004).abs() < 1e-9, "{}", durations.sum());
    }

    #[test]
    fn the_sum_of_many_long_durations_does_not_wrap() {
        let durations = Durations::new(&[1.0]);
        for _ in 0..100 {
            durations.record(Duration::from_secs(4_000_000_000));
        }
        assert!((durations.sum() - 4e11).abs() < 1.0, "{}", durations.sum());
    }
}
