//! Counts of durations by size, and the quantiles that they tell.

use super::durations::Durations;

/// The bounds of `request_duration_seconds`: from a refusal to a slow origin.
pub(super) const DURATION_BUCKETS: [f64; 18] = [
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0,
    7.5, 10.0,
];

/// The bounds of `overhead_seconds`: from a refusal to a queue in front of an origin.
pub(super) const OVERHEAD_BUCKETS: [f64; 12] =
    [0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.1, 1.0];

/// How many values a histogram has in each of its buckets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    /// The count of each bucket, and of the values above the last bound.
    counts: Box<[u64]>,
}

impl Distribution {
    /// No values, for a histogram with this many bounds.
    pub fn empty(bounds: usize) -> Self {
        Self { counts: vec![0; bounds + 1].into() }
    }

    /// Adds the counts of durations with the same bounds.
    pub(super) fn add(&mut self, durations: &Durations) {
        for (count, recorded) in self.counts.iter_mut().zip(durations.counts()) {
            *count += recorded;
        }
    }

    /// Adds the counts of another distribution with the same bounds.
    pub fn merge(&mut self, other: &Self) {
        for (count, other) in self.counts.iter_mut().zip(&other.counts) {
            *count += other;
        }
    }

    /// What has been counted since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        let pairs = self.counts.iter().zip(&earlier.counts);
        Self { counts: pairs.map(|(now, then)| now.saturating_sub(*then)).collect() }
    }

    /// The value below which the share `quantile` of the values lies, as Prometheus' `histogram_quantile`
    /// estimates it; `None` without values.
    pub fn quantile(&self, quantile: f64, bounds: &[f64]) -> Option<f64> {
        let total: u64 = self.counts.iter().sum();
        let rank = quantile * total as f64;
        let (mut below, mut from) = (0, 0.0);
        for (count, bound) in self.counts.iter().zip(bounds) {
            if *count > 0 && (below + count) as f64 >= rank {
                let share = (rank - below as f64) / *count as f64;
                return Some(from + (bound - from) * share);
            }
            below += count;
            from = *bound;
        }
        // Of a value above the last bound, only that bound is known.
        (total > 0).then_some(from)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const BOUNDS: [f64; 3] = [1.0, 2.0, 4.0];

    fn of(values: &[f64]) -> Distribution {
        let durations = Durations::new(&BOUNDS);
        values.iter().for_each(|value| durations.record(Duration::from_secs_f64(*value)));
        let mut distribution = Distribution::empty(BOUNDS.len());
        distribution.add(&durations);
        distribution
    }

    #[test]
    fn quantiles_are_estimated_within_their_bucket() {
        let values = of(&[0.5, 0.5, 1.5, 1.5, 3.0, 3.0, 3.0, 3.0]);
        assert_eq!(values.quantile(0.25, &BOUNDS), Some(1.0));
        assert_eq!(values.quantile(0.5, &BOUNDS), Some(2.0));
        assert_eq!(values.quantile(0.75, &BOUNDS), Some(3.0));
        assert_eq!(of(&[9.0]).quantile(0.5, &BOUNDS), Some(4.0), "the last bound");
        assert_eq!(of(&[]).quantile(0.5, &BOUNDS), None);
    }

    #[test]
    fn differences_and_sums_are_those_of_the_values() {
        let all = of(&[0.5, 1.5, 9.0]);
        assert_eq!(all.since(&of(&[1.5])), of(&[0.5, 9.0]));
        let mut sum = of(&[0.5]);
        sum.merge(&of(&[1.5, 9.0]));
        assert_eq!(sum, all);
    }
}
