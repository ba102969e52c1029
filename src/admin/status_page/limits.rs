//! The part of the page about limits and bans.

use jiff::Timestamp;
use serde::Serialize;

use crate::proxy::Shared;
use crate::telemetry::LimitState;

/// The most bans that are shown. Clients decide how many there are, and the page is loaded every two seconds.
const MAX_BANS: usize = 100;

#[derive(Debug, Serialize)]
pub(in crate::admin) struct LimitReport {
    pub requests_in_flight: Use,
    pub connections: Use,
    /// By limit and outcome, since the start.
    pub exceeded: Vec<ExceededReport>,
    pub rates: Vec<RateReport>,
    /// The number of banned addresses.
    pub banned: usize,
    /// The banned addresses whose bans end last, at most [`MAX_BANS`].
    pub bans: Vec<BanReport>,
}

/// How much of a limit is in use.
#[derive(Clone, Copy, Debug, Serialize)]
pub(in crate::admin) struct Use {
    pub count: usize,
    pub limit: usize,
}

#[derive(Debug, Serialize)]
pub(in crate::admin) struct ExceededReport {
    pub limit: &'static str,
    /// `refused` or `observed`.
    pub outcome: &'static str,
    pub count: u64,
}

/// A rate limit that has been exceeded.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct RateReport {
    pub name: String,
    pub route: Option<String>,
    pub refused: u64,
    pub observed: u64,
}

#[derive(Debug, Serialize)]
pub(in crate::admin) struct BanReport {
    pub address: String,
    pub until: String,
    pub seconds_left: u64,
    pub bans: u8,
}

impl LimitReport {
    pub fn of(shared: &Shared, now: Timestamp) -> Self {
        let snapshot = shared.snapshot.load();
        let (limits, moment) = (&snapshot.limits, snapshot.limits.now());
        let ban = |end| {
            let left = moment.until(end);
            (format!("{:.3}", now.checked_add(left).unwrap_or(now)), left.as_secs())
        };
        let mut banned = limits.offenders();
        banned.retain(|offender| offender.until > moment);
        let bans = banned.iter().take(MAX_BANS).map(|offender| {
            let (until, seconds_left) = ban(offender.until);
            BanReport { address: offender.range.to_string(), until, seconds_left, bans: offender.strikes }
        });
        let rates = shared.rates().into_iter().filter(|rule| rule.refused() + rule.observed() > 0);
        let rates = rates.map(|rule| RateReport {
            name: rule.limit().name.to_string(),
            route: rule.route().map(str::to_owned),
            refused: rule.refused(),
            observed: rule.observed(),
        });
        let exceeded = shared.metrics.exceeded().into_iter().map(|(cause, outcome, count)| ExceededReport {
            limit: cause.label(),
            outcome: outcome.label(),
            count,
        });
        Self {
            requests_in_flight: Use { count: limits.requests_in_flight(), limit: limits.requests_limit() },
            connections: Use {
                count: shared.connections().into_iter().map(|(_, count)| count).sum(),
                limit: limits.connections_limit(),
            },
            exceeded: exceeded.collect(),
            rates: rates.collect(),
            bans: bans.collect(),
            banned: banned.len(),
        }
    }
}
