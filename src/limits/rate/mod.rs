//! Rate limits: several at once, each with its own buckets.
//!
//! Limits are checked in a fixed order until one refuses: by address, in total and by route before the
//! token is verified, by device, token and origin afterwards. A bucket's token that was taken is not
//! returned if a later limit refuses, because the request did arrive.
//!
//! A route can have its own limits. They replace the general limits of the same kind, and count the
//! requests of this route alone.

mod bucket;
mod limit;
mod rule;
mod table;
mod untold;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::Moment;

pub use bucket::{Decision, Rate};
pub use limit::{By, Limit};
pub use rule::{RequestKeys, Rule};
pub use table::Table;
pub use untold::{SharedBucket, Spent};

/// The rate limits of a configuration, shared by all workers.
pub struct RateLimits {
    /// The rules for requests without a route.
    unrouted: Phases,
    routes: Box<[Phases]>,
    rules: Box<[Arc<Rule>]>,
}

/// The rules of one route, in the order in which they are checked.
struct Phases {
    before: Box<[Arc<Rule>]>,
    after: Box<[Arc<Rule>]>,
}

/// The name of a route and its own limits.
#[derive(Clone, Copy, Debug)]
pub struct RouteLimits<'c> {
    /// The name of the route in metrics.
    pub name: &'c str,
    /// Limits that replace the general ones of the same kind.
    pub limits: &'c [Limit],
}

/// How this node agrees with others on the buckets.
#[derive(Clone, Debug, Default)]
pub struct Agreement {
    /// Whether the others cannot be asked now. Limits that clients share are then divided as `when_lost` says.
    pub is_lost: Arc<AtomicBool>,
    /// The number of nodes that divide the limits that clients share while the others cannot be asked; `None`
    /// if this node then has the whole limits.
    pub when_lost: Option<NonZeroU32>,
}

/// The answer of all rate limits to one request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ruling<'l> {
    /// The limit that refuses the request.
    pub refused: Option<LimitDecision<'l>>,
    /// The first limit that only observes and would have refused the request.
    pub observed: Option<LimitDecision<'l>>,
    /// The limit with the fewest remaining requests, of those that admit the request.
    pub tightest: Option<LimitDecision<'l>>,
}

/// The answer of one rate limit.
#[derive(Clone, Copy, Debug)]
pub struct LimitDecision<'l> {
    /// The limit that was checked.
    pub limit: &'l Limit,
    /// The answer of its bucket.
    pub decision: Decision,
}

impl RateLimits {
    /// Rate limits of a configuration. Limits that did not change since `previous` keep their buckets.
    /// Routes and origins are identified by their positions in these lists. `agreement` tells that other nodes
    /// share the buckets.
    pub fn new(
        general: &[Limit],
        routes: &[RouteLimits<'_>],
        origins: &[&str],
        agreement: Option<&Agreement>,
        previous: Option<&RateLimits>,
    ) -> Self {
        let mut rules = Vec::new();
        let mut rule = |limit: &Limit, route: Option<&str>| {
            let rule = match (limit.by, route) {
                (By::Origin, _) => Rule::new(limit, route, origins.iter().copied(), agreement),
                (By::Route, None) => {
                    Rule::new(limit, route, routes.iter().map(|route| route.name), agreement)
                }
                _ => Rule::new(limit, route, [limit.by.label()], agreement),
            };
            let rule = Arc::new(rule.with_buckets_of(previous.iter().flat_map(|previous| &previous.rules)));
            rules.push(rule.clone());
            rule
        };
        let general: Vec<_> = general.iter().map(|limit| rule(limit, None)).collect();
        let routes = routes.iter().map(|route| {
            let own: Vec<_> = route.limits.iter().map(|limit| rule(limit, Some(route.name))).collect();
            Phases::new(in_force(&general, &own, |rule| rule.limit().by))
        });
        let routes = routes.collect();
        let unrouted = Phases::new(general.iter().collect());
        Self { unrouted, routes, rules: rules.into() }
    }

    /// Checks the limits by address, in total and by route. Takes a token from each bucket that admits
    /// the request.
    pub fn before_verification(&self, keys: &RequestKeys, now: Moment) -> Ruling<'_> {
        ask(&self.phases(keys.route).before, keys, now)
    }

    /// Checks the limits by device, token and origin, for a request that will be forwarded.
    pub fn after_verification(&self, keys: &RequestKeys, now: Moment) -> Ruling<'_> {
        ask(&self.phases(keys.route).after, keys, now)
    }

    /// Whether this route has a limit of this kind. If not, the caller need not compute the key.
    pub fn asks(&self, route: Option<usize>, by: By) -> bool {
        let phases = self.phases(route);
        let rules = if by.is_before_verification() { &phases.before } else { &phases.after };
        rules.iter().any(|rule| rule.limit().by == by)
    }

    /// All rules: the general ones, then those of routes.
    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    fn phases(&self, route: Option<usize>) -> &Phases {
        route.and_then(|route| self.routes.get(route)).unwrap_or(&self.unrouted)
    }
}

impl Phases {
    fn new(rules: Vec<&Arc<Rule>>) -> Self {
        let is_before = |rule: &&Arc<Rule>| rule.limit().by.is_before_verification();
        let (before, after): (Vec<_>, Vec<_>) = rules.into_iter().cloned().partition(|rule| is_before(&rule));
        let sorted = |mut rules: Vec<Arc<Rule>>| {
            rules.sort_by_key(|rule| rule.limit().by);
            rules.into()
        };
        Self { before: sorted(before), after: sorted(after) }
    }
}

/// The limits in force for a route: its own, and the general ones of other kinds.
pub fn in_force<'c, T>(general: &'c [T], own: &'c [T], by: impl Fn(&T) -> By) -> Vec<&'c T> {
    let is_replaced = |general: &&T| own.iter().any(|own| by(own) == by(general));
    let mut limits: Vec<_> = general.iter().filter(|general| !is_replaced(general)).chain(own).collect();
    limits.sort_by_key(|limit| by(limit));
    limits
}

fn ask<'l>(rules: &'l [Arc<Rule>], keys: &RequestKeys, now: Moment) -> Ruling<'l> {
    let mut ruling = Ruling::default();
    for rule in rules {
        let Some(decision) = rule.ask(keys, now) else { continue };
        let limit = rule.limit();
        let answer = Some(LimitDecision { limit, decision });
        match (decision.admitted, limit.observe) {
            (true, true) => {}
            (true, false) => {
                if ruling.tightest.is_none_or(|tightest| decision.is_tighter(&tightest.decision)) {
                    ruling.tightest = answer;
                }
            }
            (false, true) => ruling.observed = ruling.observed.or(answer),
            (false, false) => {
                ruling.refused = answer;
                break;
            }
        }
    }
    ruling
}
