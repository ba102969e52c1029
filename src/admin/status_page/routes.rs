//! Refusals and would-be refusals by route and reason: may an observed route be enforced?

use serde::Serialize;

use crate::telemetry::{Count, RouteCounts};

/// Routes that are shown: those with the most refusals and would-be refusals.
const SHOWN: usize = 100;

#[derive(Debug, Serialize)]
pub(in crate::admin) struct RouteReports {
    /// Routes that have had a request.
    pub count: usize,
    /// The first hundred of them.
    pub shown: Vec<RouteReport>,
}

#[derive(Debug, Serialize)]
pub(in crate::admin) struct RouteReport {
    pub route: String,
    pub policy: &'static str,
    pub requests: Amount,
    pub refused: Amount,
    /// Requests that were forwarded and would be refused if the route did not only observe.
    pub would_be_refused: Amount,
    /// The numbers of requests by verdict and reason.
    pub outcomes: Vec<OutcomeReport>,
}

#[derive(Debug, Serialize)]
pub(in crate::admin) struct OutcomeReport {
    pub verdict: &'static str,
    pub reason: &'static str,
    #[serde(flatten)]
    pub amount: Amount,
    /// Whether the requests were, or would be, refused.
    #[serde(skip)]
    pub is_refusal: bool,
}

/// Since the start, and in the last ten minutes.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(in crate::admin) struct Amount {
    pub total: u64,
    pub recent: u64,
}

impl RouteReports {
    pub fn of(routes: Vec<RouteCounts>) -> Self {
        let count = routes.len();
        let mut shown: Vec<_> = routes.into_iter().map(RouteReport::of).collect();
        shown.sort_by(|one, other| {
            other.weight().cmp(&one.weight()).then_with(|| one.route.cmp(&other.route))
        });
        shown.truncate(SHOWN);
        Self { count, shown }
    }
}

impl RouteReport {
    fn of(counts: RouteCounts) -> Self {
        let sum = |wanted: fn(&Count) -> bool| {
            let wanted = counts.counts.iter().filter(|count| wanted(count));
            wanted.fold(Amount::default(), |sum, count| Amount {
                total: sum.total + count.total,
                recent: sum.recent + count.recent,
            })
        };
        let mut outcomes: Vec<_> = counts.counts.iter().map(OutcomeReport::of).collect();
        outcomes.sort_by_key(|outcome| std::cmp::Reverse((outcome.amount.recent, outcome.amount.total)));
        Self {
            route: counts.route.clone().into(),
            policy: counts.policy.label(),
            requests: sum(|_| true),
            refused: sum(Count::is_refused),
            would_be_refused: sum(Count::would_be_refused),
            outcomes,
        }
    }

    fn weight(&self) -> [u64; 3] {
        let weak = |of: fn(&Amount) -> u64| of(&self.refused) + of(&self.would_be_refused);
        [weak(|amount| amount.recent), weak(|amount| amount.total), self.requests.total]
    }
}

impl OutcomeReport {
    fn of(count: &Count) -> Self {
        let amount = Amount { total: count.total, recent: count.recent };
        let is_refusal = count.is_refused() || count.would_be_refused();
        Self { verdict: count.verdict.label(), reason: count.reason.label(), amount, is_refusal }
    }
}
