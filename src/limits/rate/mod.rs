//! Rate limits: several at once, each with its buckets.
//!
//! Limits are asked in a fixed order until one refuses, those that cost an attacker most first: by
//! address, in total and by route before the token is verified; by device, token and origin after.
//! A token once taken is not given back when a later limit refuses: the request did arrive.
//!
//! A route may have limits of its own. Those take the place of the general ones of their kind, and
//! count that route's requests alone.

mod bucket;
mod limit;
mod rule;
mod table;

use std::sync::Arc;

use super::Moment;

pub use bucket::{Decision, Rate};
pub use limit::{By, Limit};
pub use rule::{Asker, Rule};
pub use table::Table;

/// The rate limits of a configuration, shared by all workers.
pub struct RateLimits {
    /// For requests without a route.
    unrouted: Phases,
    routes: Box<[Phases]>,
    rules: Box<[Arc<Rule>]>,
}

/// The rules that some requests meet, in the order of asking.
struct Phases {
    before: Box<[Arc<Rule>]>,
    after: Box<[Arc<Rule>]>,
}

/// A route's name and its own limits.
#[derive(Clone, Copy, Debug)]
pub struct RouteLimits<'c> {
    /// As in metrics.
    pub name: &'c str,
    /// In place of the general ones of their kinds.
    pub limits: &'c [Limit],
}

/// What the limits say to a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ruling<'l> {
    /// The limit that refuses it.
    pub refused: Option<Told<'l>>,
    /// The first of those that only observe, and would have refused it.
    pub observed: Option<Told<'l>>,
    /// Of the limits that admit it, the one with the fewest requests left.
    pub tightest: Option<Told<'l>>,
}

/// What one limit says.
#[derive(Clone, Copy, Debug)]
pub struct Told<'l> {
    /// The limit.
    pub limit: &'l Limit,
    /// Its decision.
    pub decision: Decision,
}

impl RateLimits {
    /// These limits, with the buckets that `previous` had of those that stay as they are. Routes
    /// and origins are told apart by their positions in these lists.
    pub fn new(
        general: &[Limit],
        routes: &[RouteLimits<'_>],
        origins: &[&str],
        previous: Option<&RateLimits>,
    ) -> Self {
        let mut rules = Vec::new();
        let mut rule = |limit: &Limit, route: Option<&str>| {
            let rule = match (limit.by, route) {
                (By::Origin, _) => Rule::new(limit, route, origins.iter().copied()),
                (By::Route, None) => Rule::new(limit, route, routes.iter().map(|route| route.name)),
                _ => Rule::new(limit, route, [limit.by.label()]),
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

    /// Before verification: by address, in total and by route. Takes a token of each limit that
    /// admits the request.
    pub fn before_verification(&self, asker: &Asker, now: Moment) -> Ruling<'_> {
        ask(&self.phases(asker.route).before, asker, now)
    }

    /// After verification, for what is to be forwarded: by device, token and origin.
    pub fn after_verification(&self, asker: &Asker, now: Moment) -> Ruling<'_> {
        ask(&self.phases(asker.route).after, asker, now)
    }

    /// Whether requests of this route meet a limit of this kind: if not, its key is not needed.
    pub fn asks(&self, route: Option<usize>, by: By) -> bool {
        let phases = self.phases(route);
        let rules = if by.is_before_verification() { &phases.before } else { &phases.after };
        rules.iter().any(|rule| rule.limit().by == by)
    }

    /// Every rule: the general ones first, then those of routes.
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

/// The limits that a route's requests meet: its own, and the general ones of other kinds.
pub fn in_force<'c, T>(general: &'c [T], own: &'c [T], by: impl Fn(&T) -> By) -> Vec<&'c T> {
    let is_replaced = |general: &&T| own.iter().any(|own| by(own) == by(general));
    let mut limits: Vec<_> = general.iter().filter(|general| !is_replaced(general)).chain(own).collect();
    limits.sort_by_key(|limit| by(limit));
    limits
}

fn ask<'l>(rules: &'l [Arc<Rule>], asker: &Asker, now: Moment) -> Ruling<'l> {
    let mut ruling = Ruling::default();
    for rule in rules {
        let Some(decision) = rule.ask(asker, now) else { continue };
        let limit = rule.limit();
        let told = Some(Told { limit, decision });
        match (decision.admitted, limit.observe) {
            (true, true) => {}
            (true, false) => {
                if ruling.tightest.is_none_or(|tightest| decision.is_tighter(&tightest.decision)) {
                    ruling.tightest = told;
                }
            }
            (false, true) => ruling.observed = ruling.observed.or(told),
            (false, false) => {
                ruling.refused = told;
                break;
            }
        }
    }
    ruling
}
