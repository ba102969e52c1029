//! What the counters of the routes say, for the status page.

use std::collections::VecDeque;

use super::history::Totals;
use super::response::{Source, StatusClass};
use super::route_metrics::{Known, Reason, RouteMetrics, Routes};
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
    /// The reason, as in metrics: `ok` if nothing is wrong with the request.
    pub reason: &'static str,
    /// The number since the start of the process.
    pub total: u64,
    /// In the last ten to eleven minutes.
    pub recent: u64,
}

impl Count {
    /// Whether the requests were refused.
    pub fn is_refused(&self) -> bool {
        matches!(self.verdict, Verdict::Rejected | Verdict::Denied)
    }

    /// Whether the requests were forwarded only because their route observes.
    pub fn would_be_refused(&self) -> bool {
        self.verdict == Verdict::Observed && self.reason != Reason::Ok.label()
    }
}

/// The counts of one route as they were at the last minutes, the oldest first: position and count.
pub(super) type Past = VecDeque<Vec<(usize, u64)>>;

impl Totals {
    /// Adds the counts of one route.
    pub(super) fn add(&mut self, route: &RouteMetrics) {
        for (_, verdict, _, count) in route.counts() {
            self.requests += count;
            if matches!(verdict, Verdict::Rejected | Verdict::Denied) {
                self.refused += count;
            }
        }
        if let Some(series) = route.series.get() {
            let errors = series.responses.chunks(Source::ALL.len()).nth(StatusClass::ServerError as usize);
            let errors = errors.unwrap_or_default().iter();
            self.server_errors += errors.map(prometheus::IntCounter::get).sum::<u64>();
            self.durations.add(&series.durations);
        }
    }
}

impl Routes {
    /// The sums over all routes, also over those that a reload has removed.
    pub fn totals(&self) -> Totals {
        let known = self.known.lock();
        let mut totals = self.forgotten.lock().clone();
        known.values().for_each(|known| totals.add(&known.metrics));
        totals
    }

    /// Remembers the present counts for [`Count::recent`]. To be called once a minute.
    pub fn remember(&self) {
        for Known { metrics, .. } in self.known.lock().values() {
            if metrics.series.get().is_none() {
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
        let routes = known.values().filter(|known| known.unused_since.is_none()).map(|known| {
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
    fn counts(&self) -> impl Iterator<Item = (usize, Verdict, &'static str, u64)> {
        let outcomes =
            Verdict::ALL.into_iter().flat_map(|verdict| Reason::all().map(move |reason| (verdict, reason)));
        let cells = self.series.get().into_iter().flat_map(|series| &series.requests);
        let counted = cells.zip(outcomes).enumerate().map(|(index, (cell, (verdict, reason)))| {
            (index, verdict, reason.label(), cell.get().map_or(0, prometheus::IntCounter::get))
        });
        counted.filter(|(.., count)| *count > 0)
    }
}
