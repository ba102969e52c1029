//! Rate limits: exact for each key, in bounded memory, and unaffected by other keys.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use approov_gateway::limits::{By, Decision, KeyHasher, Limit, Moment, Rate, RateLimits, RequestKeys};
use proptest::prelude::*;

use super::{at, cases, hasher};

fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).expect("not zero")
}

pub(super) fn limit(by: By, requests: u32, per: Duration, burst: u32) -> Limit {
    Limit {
        name: by.label().into(),
        by,
        rate: Rate { requests: number(requests), per },
        burst: number(burst),
        observe: false,
        keys: 65_536,
        nodes: NonZeroU32::MIN,
    }
}

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// A single limit by address.
struct Limiter {
    limits: RateLimits,
    hasher: KeyHasher,
}

impl Limiter {
    fn new(limit: Limit) -> Self {
        Self { limits: RateLimits::new(&[limit], &[], &[], None, None), hasher: hasher() }
    }

    fn ask(&self, client: u32, now: Moment) -> Decision {
        let keys =
            RequestKeys { address: Some(self.hasher.bytes(&client.to_le_bytes())), ..RequestKeys::default() };
        let ruling = self.limits.before_verification(&keys, now);
        ruling.refused.or(ruling.tightest).expect("the limit concerns the request").decision
    }

    fn displaced(&self) -> u64 {
        self.limits.rules()[0].table().expect("by address").displaced()
    }
}

/// A token bucket in exact fractions. Tokens are in units of 1/`per` nanoseconds.
#[derive(Clone, Copy)]
struct Model {
    requests: u128,
    per: u128,
    burst: u128,
    tokens: u128,
    seen: u128,
}

impl Model {
    fn new(limit: &Limit) -> Self {
        let per = limit.rate.per.as_nanos();
        let burst = u128::from(limit.burst.get());
        Self { requests: limit.rate.requests.get().into(), per, burst, tokens: burst * per, seen: 0 }
    }

    fn fill(&mut self, now: u128) {
        let fresh = (now - self.seen) * self.requests;
        self.tokens = (self.tokens + fresh).min(self.burst * self.per);
        self.seen = now;
    }

    fn take(&mut self) -> bool {
        let there = self.tokens >= self.per;
        self.tokens -= if there { self.per } else { 0 };
        there
    }
}

/// Limits with a whole number of nanoseconds for each token, so that the model has the same rate.
fn even_limits() -> impl Strategy<Value = Limit> {
    (
        prop::sample::select(vec![1_u32, 2, 5, 10, 50, 1000]),
        prop::sample::select(vec![1_u64, 60, 3600]),
        1..20_u32,
    )
        .prop_map(|(requests, per, burst)| limit(By::Address, requests, Duration::from_secs(per), burst))
}

fn any_limits() -> impl Strategy<Value = Limit> {
    (1..5000_u32, prop::sample::select(vec![1_u64, 60, 3600]), 1..20_u32, 1..40_usize).prop_map(
        |(requests, per, burst, keys)| {
            let limit = limit(By::Address, requests, Duration::from_secs(per), burst);
            Limit { keys, ..limit }
        },
    )
}

/// Requests: the client, and the time before the request in multiples of the time for one token.
fn requests(clients: u32) -> impl Strategy<Value = Vec<(u32, f64)>> {
    let pause = prop_oneof![4 => Just(0.0), 4 => 0.0..0.2, 2 => 0.2..3.0, 1 => 3.0..40.0];
    prop::collection::vec((0..clients, pause), 1..400)
}

/// Requests: the client and the time of the request.
fn moments(limit: &Limit, requests: &[(u32, f64)]) -> Vec<(u32, Duration)> {
    let token = limit.rate.per.as_nanos() as f64 / f64::from(limit.rate.requests.get());
    let mut now = Duration::ZERO;
    let timed = requests.iter().map(|(client, pause)| {
        now += Duration::from_nanos((pause * token) as u64);
        (*client, now)
    });
    timed.collect()
}

proptest! {
    #![proptest_config(cases(300))]

    /// Until a bucket in use is displaced, each answer equals that of an unbounded table.
    #[test]
    fn answers_equal_those_of_an_unbounded_table(limit in even_limits(), requests in requests(60)) {
        let limiter = Limiter::new(limit.clone());
        let mut models = HashMap::new();
        for (client, now) in moments(&limit, &requests) {
            let model: &mut Model = models.entry(client).or_insert_with(|| Model::new(&limit));
            model.fill(now.as_nanos());
            let admitted = model.take();
            let decision = limiter.ask(client, Moment::since_start(now));
            prop_assert_eq!(decision.admitted, admitted, "client {} at {:?}", client, now);
            prop_assert_eq!(u128::from(decision.remaining()), model.tokens / model.per);
            let missing = model.burst * model.per - model.tokens;
            prop_assert_eq!(decision.full().as_nanos(), missing / model.requests);
            let next = (model.per - model.tokens % model.per) / model.requests;
            prop_assert_eq!(decision.next().as_nanos(), if missing == 0 { 0 } else { next });
        }
        prop_assert_eq!(limiter.displaced(), 0);
    }

    /// For any table size and any requests.
    #[test]
    fn no_key_ever_gets_more_than_its_rate_and_burst(limit in any_limits(), requests in requests(200)) {
        let limiter = Limiter::new(limit.clone());
        let mut models = HashMap::new();
        for (client, now) in moments(&limit, &requests) {
            let model: &mut Model = models.entry(client).or_insert_with(|| Model::new(&limit));
            model.fill(now.as_nanos());
            // The model must have a token for each admitted request.
            if limiter.ask(client, Moment::since_start(now)).admitted {
                prop_assert!(model.take(), "client {} at {:?} has no token left", client, now);
            }
        }
    }

    /// For any requests of other clients.
    #[test]
    fn a_key_within_its_rate_is_never_refused(limit in any_limits(), requests in requests(40)) {
        let limit = Limit { keys: 65_536, ..limit };
        let limiter = Limiter::new(limit.clone());
        let token = Duration::from_nanos(1 + limit.rate.per.as_nanos() as u64 / u64::from(limit.rate.requests.get()));
        let (patient, mut next, mut asked) = (u32::MAX, Duration::ZERO, 0);
        for (client, now) in moments(&limit, &requests) {
            limiter.ask(client, Moment::since_start(now));
            if now >= next {
                prop_assert!(limiter.ask(patient, Moment::since_start(now)).admitted, "at {:?}", now);
                next = now + token;
                asked += 1;
            }
        }
        prop_assert!(asked > 0);
        prop_assert_eq!(limiter.displaced(), 0);
    }
}

/// 60 clients near or over their limit, then 200 000 clients with one request each, in a table that is
/// too small for them. The hash is random: the 60 have no room if sixteen of them share one of the 69
/// sets of fifteen places, which happens with a probability below 10⁻¹².
#[test]
fn a_flood_of_new_keys_does_not_refill_a_bucket() {
    let limit = Limit { keys: 1024, ..limit(By::Address, 1, SECOND * 60, 10) };
    let limiter = Limiter::new(limit);
    let left = |client: u32| u64::from(client % 4);
    for client in 0..60 {
        for _ in left(client)..10 {
            assert!(limiter.ask(client, at(1000)).admitted, "client {client}");
        }
    }
    assert_eq!(limiter.displaced(), 0, "the table has room for 60 clients");
    let mut admitted = 0;
    for stranger in 1_000_000..1_200_000 {
        admitted += u32::from(limiter.ask(stranger, at(1001)).admitted);
    }
    assert!(limiter.displaced() > 0, "the table has no room for the flood");
    // The table has 1035 places with ten tokens each.
    assert!(admitted <= 10_350, "{admitted}");
    for client in 0..60 {
        let mut more = 0;
        while limiter.ask(client, at(1002)).admitted {
            more += 1;
        }
        assert!(more <= left(client), "client {client} got {more} more, and had {} left", left(client));
    }
    // Half a minute adds half a token, which is not enough for a request.
    for client in (0..60).filter(|client| left(*client) == 0) {
        assert!(!limiter.ask(client, at(31_000)).admitted, "client {client}");
    }
}

/// The place of a client with a single request is free again once its bucket is full.
#[test]
fn a_flood_within_the_tables_capacity_disturbs_no_other_key() {
    let limit = Limit { keys: 32_768, ..limit(By::Address, 100, SECOND, 1) };
    let limiter = Limiter::new(limit);
    // About 1000 places are in use at any time. The hash is random: sixteen of them share one of the 2185
    // sets of fifteen places with a probability below 10⁻¹³ in the whole test.
    for stranger in 0..200_000_u32 {
        let now = Moment::since_start(Duration::from_micros(u64::from(stranger) * 10));
        assert!(limiter.ask(stranger, now).admitted, "stranger {stranger}");
    }
    assert_eq!(limiter.displaced(), 0);
}

#[test]
fn memory_is_as_documented() {
    for keys in [1, 7, 1000, 65_536, 1_000_000] {
        let limiter = Limiter::new(Limit { keys, ..limit(By::Address, 1, SECOND, 1) });
        let bytes = limiter.limits.rules()[0].table().expect("by address").bytes();
        assert!(bytes <= keys * 256 / 15 + 256, "{keys} keys take {bytes} bytes");
    }
}

#[test]
fn threads_share_a_bucket_to_the_last_token() {
    let few = Limit { keys: 7, ..limit(By::Address, 1, SECOND * 3600, 1000) };
    for limit in [few.clone(), Limit { by: By::Total, ..few }] {
        let limiter = Limiter::new(limit);
        let admitted = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        admitted.fetch_add(limiter.ask(0, at(1)).admitted.into(), Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(admitted.into_inner(), 1000);
        assert_eq!(limiter.limits.rules()[0].refused(), 3000);
    }
}
