//! One rate limit, and the header fields that describe it to clients.

use std::num::NonZeroU32;

use super::bucket::{Decision, Quota, Rate};
use crate::closed_set::closed_set;

closed_set! {
    /// What a rate limit counts by. Each address, device, token, route or origin has its own bucket.
    ///
    /// The order is the order in which the limits are checked: the limit that stops a flood first
    /// protects the buckets of the later ones.
    pub enum By {
        /// The client's address, before verification.
        Address => "address",
        /// All requests together, before verification.
        Total => "total",
        /// Requests of one route, before verification.
        Route => "route",
        /// Requests of one verified device.
        Device => "device",
        /// Requests with one verified token.
        Token => "token",
        /// The origin, for requests that are about to be forwarded.
        Origin => "origin",
    }
}

impl By {
    /// Whether the limit is checked before the token is verified.
    pub fn is_before_verification(self) -> bool {
        match self {
            By::Address | By::Total | By::Route => true,
            By::Device | By::Token | By::Origin => false,
        }
    }

    /// Whether requests of different clients take from one bucket.
    pub fn is_shared_by_clients(self) -> bool {
        match self {
            By::Total | By::Route | By::Origin => true,
            By::Address | By::Device | By::Token => false,
        }
    }
}

/// A rate limit as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The name in answers, metrics and logs: letters, digits, `-`, `_` and `.`.
    pub name: Box<str>,
    /// The kind of key that has a bucket of its own.
    pub by: By,
    /// The rate at which a bucket fills.
    pub rate: Rate,
    /// The requests that a full bucket admits at once; at most [`Limit::MAX_BURST`].
    pub burst: NonZeroU32,
    /// Whether the limit only counts the requests that it would refuse.
    pub observe: bool,
    /// The number of addresses, devices or tokens in memory: about 17 bytes for each.
    pub keys: usize,
    /// The number of nodes that divide the rate and the burst evenly; 1 if this node has the whole limit.
    pub nodes: NonZeroU32,
}

impl Limit {
    /// The largest burst that can be configured.
    pub const MAX_BURST: u32 = Quota::MAX_BURST;

    /// The default of `keys`: 1.1 MiB of memory.
    pub const DEFAULT_KEYS: usize = 65_536;

    /// Divides the limit by this number of nodes, if the nodes share its buckets. A client may send all its
    /// requests to one node, so limits by address, device or token are not divided.
    pub fn divide(&mut self, nodes: NonZeroU32) {
        if self.by.is_shared_by_clients() {
            self.nodes = nodes;
        }
    }

    pub(super) fn quota(&self) -> Quota {
        Quota::new(self.rate, self.burst).divided(self.nodes)
    }

    /// The item of a `RateLimit-Policy` field (draft-ietf-httpapi-ratelimit-headers-10 §3): a number of
    /// requests in a number of seconds. Of a divided limit it is the part of one node.
    pub fn policy(&self) -> String {
        let Limit { name, burst, rate, nodes, .. } = self;
        let burst = burst.get().div_ceil(nodes.get());
        let window = (u128::from(burst) * rate.per.as_nanos() * u128::from(nodes.get()))
            .div_ceil(u128::from(rate.requests.get()) * 1_000_000_000)
            .max(1);
        format!("\"{name}\";q={burst};w={window}")
    }

    /// The item of a `RateLimit` field (same draft, §4): the remaining requests, and the seconds until one
    /// more is admitted, as in `Retry-After`.
    pub fn standing(&self, decision: &Decision) -> String {
        let seconds = decision.next().as_nanos().div_ceil(1_000_000_000);
        format!("\"{}\";r={};t={seconds}", self.name, decision.remaining())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::super::Moment;
    use super::*;

    fn limit(requests: u32, per: u64, burst: u32) -> Limit {
        let number = |number| NonZeroU32::new(number).expect("not zero");
        let rate = Rate { requests: number(requests), per: Duration::from_secs(per) };
        let burst = number(burst);
        Limit {
            name: "address".into(),
            by: By::Address,
            rate,
            burst,
            observe: false,
            keys: 1,
            nodes: NonZeroU32::MIN,
        }
    }

    #[test]
    fn describes_the_policy_and_the_remaining_requests() {
        let limit = limit(50, 1, 120);
        assert_eq!(limit.policy(), "\"address\";q=120;w=3");
        let (quota, mut full_at) = (limit.quota(), Moment::default());
        let mut decision = quota.ask(&mut full_at, Moment::default());
        assert_eq!(limit.standing(&decision), "\"address\";r=119;t=1");
        while decision.admitted {
            decision = quota.ask(&mut full_at, Moment::default());
        }
        assert_eq!(limit.standing(&decision), "\"address\";r=0;t=1");
        assert_eq!(decision.retry_after(), 1);
    }

    #[test]
    fn windows_are_whole_seconds_and_at_least_one() {
        for (requests, per, burst, policy) in [
            (1_000_000, 1, 1, "\"address\";q=1;w=1"),
            (5, 60, 5, "\"address\";q=5;w=60"),
            (1000, 3600, 10, "\"address\";q=10;w=36"),
            (7, 1, 7, "\"address\";q=7;w=1"),
        ] {
            assert_eq!(limit(requests, per, burst).policy(), policy);
        }
    }

    #[test]
    fn divided_parts_add_up_to_the_whole() {
        let whole = Limit { by: By::Total, ..limit(100, 1, 50) };
        let mut third = whole.clone();
        third.divide(NonZeroU32::new(3).expect("not zero"));
        assert_eq!(third.policy(), "\"address\";q=17;w=1", "17 requests in 0.51 seconds");
        let admitted = |limit: &Limit| {
            let (quota, mut full_at) = (limit.quota(), Moment::default());
            let moments = (0..100_000).map(|tenths| Moment::since_start(Duration::from_micros(tenths * 100)));
            moments.filter(|now| quota.ask(&mut full_at, *now).admitted).count()
        };
        // The burst of 50, rounded up to 51, and 10 seconds of the rate; the three parts round on their own.
        assert_eq!((admitted(&whole), 3 * admitted(&third)), (1049, 1050));
        let mut device = Limit { by: By::Device, ..whole.clone() };
        device.divide(NonZeroU32::new(3).expect("not zero"));
        assert_eq!(device, Limit { by: By::Device, ..whole });
    }

    #[test]
    fn the_first_three_kinds_are_checked_before_verification() {
        assert!(By::ALL[..3].iter().all(|by| by.is_before_verification()));
        assert!(!By::ALL[3..].iter().any(|by| by.is_before_verification()));
    }
}
