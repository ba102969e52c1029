//! The arithmetic of one bucket: the generic cell rate algorithm (ITU-T I.371, annex A).
//!
//! A bucket of `burst` tokens that fills at `rate` is stored as one number: the moment when it will be
//! full again. Taking a token moves this moment by the time that one token needs to fill. The moment is
//! at most as far ahead as the whole bucket needs to fill. A full bucket carries no information, so it
//! need not be stored.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::super::moment::{Moment, nanoseconds};
use super::untold::Spent;

/// A number of requests in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The number of requests that may arrive within `per`.
    pub requests: NonZeroU32,
    /// The time in which `requests` may arrive.
    pub per: Duration,
}

impl Rate {
    /// The longest time between two requests, in nanoseconds. With the largest burst it fits the range
    /// of [`Moment`].
    const LONGEST: u64 = 60 * 60 * 1_000_000_000;

    /// The nanoseconds between two requests, rounded up so that the rate is not exceeded.
    fn interval(self) -> u64 {
        nanoseconds(self.per).div_ceil(u64::from(self.requests.get())).clamp(1, Self::LONGEST)
    }
}

/// The size and speed of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quota {
    /// The nanoseconds in which one token fills.
    interval: u64,
    /// The nanoseconds in which the whole bucket fills.
    depth: u64,
}

impl Quota {
    /// The largest number of tokens in a bucket.
    pub const MAX_BURST: u32 = 1_000_000;

    /// A bucket of `burst` tokens, at most [`Quota::MAX_BURST`].
    pub fn new(rate: Rate, burst: NonZeroU32) -> Self {
        let interval = rate.interval();
        Self { interval, depth: interval * u64::from(burst.get().min(Self::MAX_BURST)) }
    }

    /// The part of one node if `nodes` nodes divide the quota evenly. All parts together fill as fast as the
    /// whole. Their tokens are those of the whole, rounded up to equal parts.
    pub fn divided(self, nodes: NonZeroU32) -> Self {
        let nodes = u64::from(nodes.get());
        let burst = (self.depth / self.interval).div_ceil(nodes);
        let interval = self.interval.saturating_mul(nodes);
        Self { interval, depth: interval.saturating_mul(burst) }
    }

    /// The time in which so many tokens fill.
    pub fn time_of(self, tokens: u32) -> Duration {
        Duration::from_nanos(self.interval.saturating_mul(tokens.into()))
    }

    /// The time in which one token fills.
    pub fn interval(self) -> Duration {
        Duration::from_nanos(self.interval)
    }

    /// The time in which the whole bucket fills.
    pub fn depth(self) -> Duration {
        Duration::from_nanos(self.depth)
    }

    /// Takes a token from the bucket that is full at `full_at`, if the bucket has one.
    pub fn ask(self, full_at: &mut Moment, now: Moment) -> Decision {
        // At most 114 years ahead, with the longest interval and the largest burst.
        let filled = (*full_at).max(now).nanoseconds();
        let missing = (filled - now.nanoseconds()).saturating_add(self.interval);
        let admitted = missing <= self.depth;
        if admitted {
            *full_at = Moment::from_nanoseconds(filled.saturating_add(self.interval));
        }
        let missing = if admitted { missing } else { missing - self.interval };
        Decision { admitted, interval: self.interval, depth: self.depth, missing }
    }
}

/// The answer of a bucket to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether a token was taken.
    pub admitted: bool,
    interval: u64,
    depth: u64,
    /// The nanoseconds until the bucket is full.
    missing: u64,
}

impl Decision {
    /// The number of requests that would be admitted now.
    pub fn remaining(&self) -> u64 {
        self.room() / self.interval
    }

    /// The time until one more request would be admitted. After a refusal it is the time after which
    /// the client can try again. Zero if the bucket is full.
    pub fn next(&self) -> Duration {
        if self.missing == 0 {
            return Duration::ZERO;
        }
        // Other nodes may have taken more than the bucket holds.
        let debt = self.missing.saturating_sub(self.depth);
        Duration::from_nanos((self.interval - self.room() % self.interval).saturating_add(debt))
    }

    /// The time until the bucket is full.
    pub fn full(&self) -> Duration {
        Duration::from_nanos(self.missing)
    }

    /// The value of `Retry-After` (RFC 9110 §10.2.3): [`Decision::next`] in whole seconds, rounded up, at
    /// least one.
    pub fn retry_after(&self) -> u64 {
        self.next().as_nanos().div_ceil(1_000_000_000).try_into().unwrap_or(u64::MAX).max(1)
    }

    /// Whether fewer requests remain than after `other`.
    pub fn is_tighter(&self, other: &Self) -> bool {
        // Multiplications compare the remaining requests without a division.
        u128::from(self.room()) * u128::from(other.interval)
            < u128::from(other.room()) * u128::from(self.interval)
    }

    /// The remaining tokens, as the nanoseconds in which they fill.
    fn room(&self) -> u64 {
        self.depth.saturating_sub(self.missing)
    }
}

/// One shared bucket without a lock, for limits with few buckets.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    full_at: AtomicU64,
    /// The tokens that were ever taken, if other nodes are told. The number wraps around.
    taken: AtomicU32,
    told: Mutex<LastTold>,
}

/// What other nodes know of a bucket.
#[derive(Clone, Copy, Debug, Default)]
struct LastTold {
    taken: u32,
    at: Moment,
}

impl Bucket {
    /// Takes a token. Counts it if other nodes are told (`is_shared`).
    pub fn ask(&self, quota: Quota, is_shared: bool, now: Moment) -> Decision {
        let mut seen = self.full_at.load(Ordering::Relaxed);
        loop {
            let mut full_at = Moment::from_nanoseconds(seen);
            let decision = quota.ask(&mut full_at, now);
            if !decision.admitted {
                return decision;
            }
            let taken = full_at.nanoseconds();
            match self.full_at.compare_exchange_weak(seen, taken, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    if is_shared {
                        self.taken.fetch_add(1, Ordering::Relaxed);
                    }
                    return decision;
                }
                Err(changed) => seen = changed,
            }
        }
    }

    /// What other nodes are to be told; `None` if the bucket is full and nothing was spent. The count
    /// starts at zero again.
    pub fn take_untold(&self, quota: Quota, now: Moment) -> Option<Spent> {
        let taken = self.taken.load(Ordering::Relaxed);
        let missing = now.until(Moment::from_nanoseconds(self.full_at.load(Ordering::Relaxed)));
        let before = std::mem::replace(&mut *self.told.lock(), LastTold { taken, at: now });
        let spent = quota.time_of(taken.wrapping_sub(before.taken));
        let is_news = !spent.is_zero() || !missing.is_zero();
        is_news.then(|| Spent { spent, window: before.at.until(now), missing })
    }

    /// All nodes together have used up the bucket until `full_at`. Tokens that this node has not told about
    /// come on top.
    pub fn agreed(&self, quota: Quota, full_at: Moment) {
        let untold = self.taken.load(Ordering::Relaxed).wrapping_sub(self.told.lock().taken);
        let full_at = full_at.after(quota.time_of(untold));
        self.full_at.fetch_max(full_at.nanoseconds(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn quota(requests: u32, per: Duration, burst: u32) -> Quota {
        let number = |number| NonZeroU32::new(number).expect("not zero");
        Quota::new(Rate { requests: number(requests), per }, number(burst))
    }

    fn at(milliseconds: u64) -> Moment {
        Moment::since_start(Duration::from_millis(milliseconds))
    }

    #[test]
    fn admits_a_burst_at_once_and_then_the_rate() {
        let (quota, mut full_at) = (quota(10, SECOND, 3), Moment::default());
        let mut told = Vec::new();
        for milliseconds in [5000, 5000, 5000, 5000, 5099, 5100, 5100, 5350, 5350, 9000] {
            let decision = quota.ask(&mut full_at, at(milliseconds));
            let times = [decision.next(), decision.full()].map(|time| time.as_millis());
            told.push((decision.admitted, decision.remaining(), times));
        }
        let expected = [
            (true, 2, [100, 100]),
            (true, 1, [100, 200]),
            (true, 0, [100, 300]),
            (false, 0, [100, 300]),
            (false, 0, [1, 201]),
            (true, 0, [100, 300]),
            (false, 0, [100, 300]),
            (true, 1, [50, 150]),
            (true, 0, [50, 250]),
            (true, 2, [100, 100]),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn retry_after_is_never_too_early() {
        for (requests, per, seconds) in [
            (10, SECOND, 1),
            (1, SECOND, 1),
            (1, SECOND * 60, 60),
            (7, SECOND * 60, 9),
            (1, SECOND * 3600, 3600),
            (1_000_000, SECOND, 1),
        ] {
            let (quota, mut full_at) = (quota(requests, per, 1), at(1));
            assert!(quota.ask(&mut full_at, at(1)).admitted);
            let refused = quota.ask(&mut full_at, at(1));
            assert_eq!((refused.admitted, refused.retry_after()), (false, seconds), "{requests} {per:?}");
            let later = at(1).after(Duration::from_secs(seconds));
            assert!(quota.ask(&mut full_at, later).admitted, "{requests} {per:?}");
        }
    }

    #[test]
    fn the_longest_interval_with_the_largest_burst_fits_the_clock() {
        let quota = quota(1, SECOND * 3600, Quota::MAX_BURST);
        let century = Moment::since_start(SECOND * 3600 * 24 * 366 * 100);
        let mut full_at = century;
        for asked in 1..=u64::from(Quota::MAX_BURST) {
            let decision = quota.ask(&mut full_at, century);
            assert!(decision.admitted && decision.remaining() == u64::from(Quota::MAX_BURST) - asked);
        }
        assert!(!quota.ask(&mut full_at, century).admitted);
        assert!(quota.ask(&mut full_at, century.after(SECOND * 3600)).admitted);
    }

    #[test]
    fn a_clock_that_lags_grants_no_extra_requests() {
        let (quota, mut full_at) = (quota(10, SECOND, 2), Moment::default());
        assert!(quota.ask(&mut full_at, at(1000)).admitted);
        assert!(quota.ask(&mut full_at, at(1000)).admitted);
        assert!(!quota.ask(&mut full_at, at(999)).admitted);
        assert!(!quota.ask(&mut full_at, at(1099)).admitted);
        assert!(quota.ask(&mut full_at, at(1100)).admitted);
    }
}
