//! What the counters of the routes say, for the status page.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use super::history::Totals;
use super::reason::Reason;
use super::response::{Source, StatusClass};
use super::route_metrics::{Common, RouteMetrics};
use super::routes::{Known, Routes};
use super::turns::Turns;
use crate::policy::{Policy, Verdict};

/// Minutes that counts are remembered for.
const MINUTES: usize = 10;

/// The requests of one route.
#[derive(Clone, Debug)]
pub struct RouteCounts {
    /// The name of the route.
    pub route: Box<str>,
    /// What is asked of its requests.
    pub policy: Policy,
    /// The counts that are not 0.
    pub counts: Vec<Count>,
}

/// The requests of one route with one outcome.
#[derive(Clone, Copy, Debug)]
pub struct Count {
    /// The verdict that these requests got.
    pub verdict: Verdict,
    /// Why the requests have this verdict.
    pub reason: Reason,
    /// The number since the start of the process.
    pub total: u64,
    /// In the last ten to eleven minutes.
    pub recent: u64,
}

impl Count {
    /// Whether the requests were refused.
    pub fn is_refused(&self) -> bool {
        self.verdict.is_refusal()
    }

    /// Whether the requests were forwarded only because their route observes.
    pub fn would_be_refused(&self) -> bool {
        self.verdict == Verdict::Observed && self.reason != Reason::Ok
    }
}

/// The counts of one route as they were at the last minutes, the oldest first: position and count.
pub(super) type Past = VecDeque<Vec<(usize, u64)>>;

impl Totals {
    /// Adds the requests of a route with one policy.
    pub(super) fn add_requests(&mut self, route: &RouteMetrics) {
        for (_, verdict, _, count) in route.counts() {
            self.requests += count;
            if verdict.is_refusal() {
                self.refused += count;
            }
        }
    }

    /// Adds what the policies of one route count together.
    pub(super) fn add_common(&mut self, common: &Common) {
        let Some(answers) = common.answers() else { return };
        let errors = answers.responses.chunks(Source::ALL.len()).nth(StatusClass::ServerError as usize);
        let errors = errors.into_iter().flatten().map(|count| count.load(Ordering::Relaxed));
        self.server_errors += errors.sum::<u64>();
        self.durations.add(&answers.durations);
    }
}

impl Routes {
    /// The sums over all routes, also over those that a reload has removed.
    pub fn totals(&self) -> Totals {
        let known = self.known.lock();
        let mut totals = self.forgotten.lock().clone();
        let (mut last, mut turns) = (None, Turns::default());
        for ((name, _), known) in known.iter() {
            turns.step();
            totals.add_requests(&known.metrics);
            // The policies of a route are neighbours.
            if last.replace(name) != Some(name) {
                totals.add_common(&known.metrics.common);
            }
        }
        totals
    }

    /// Remembers the present counts for [`Count::recent`]. To be called once a minute.
    pub fn remember(&self) {
        let mut turns = Turns::default();
        for Known { metrics, .. } in self.known.lock().values() {
            turns.step();
            if !metrics.has_counters() {
                continue;
            }
            let present = metrics.counts().map(|(index, _, _, count)| (index, count)).collect();
            let mut past = metrics.past.lock();
            if past.len() > MINUTES {
                past.pop_front();
            }
            past.push_back(present);
        }
    }

    /// The routes in use that have had a request.
    pub fn counts(&self) -> Vec<RouteCounts> {
        let known = self.known.lock();
        let mut turns = Turns::default();
        let routes = known.values().filter(|known| known.unused_since.is_none()).map(|known| {
            turns.step();
            let metrics = &known.metrics;
            let past = metrics.past.lock();
            let before = |index| {
                let then = past.front().and_then(|then| then.iter().find(|(other, _)| *other == index));
                then.map_or(0, |(_, count)| *count)
            };
            let counts = metrics.counts().map(|(index, verdict, reason, total)| Count {
                verdict,
                reason,
                total,
                recent: total.saturating_sub(before(index)),
            });
            RouteCounts { route: metrics.name.clone(), policy: metrics.policy, counts: counts.collect() }
        });
        routes.filter(|route| !route.counts.is_empty()).collect()
    }
}

impl RouteMetrics {
    /// The counts that are not 0: position, verdict, reason, count.
    fn counts(&self) -> impl Iterator<Item = (usize, Verdict, Reason, u64)> {
        self.all_requests().filter(|(.., count)| *count > 0)
    }
}
