//! Metrics of limits: counters of what exceeded them, and gauges that are read when metrics are scraped.

use std::sync::{Arc, OnceLock, Weak};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Error, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::registered::registered;
use crate::limits::{Cause, Outcome, Rule, Table};

/// The metric families about limits.
pub(super) struct LimitFamilies {
    limited: [[IntCounter; Outcome::ALL.len()]; Cause::ALL.len()],
    watched: LimitGauges,
}

impl LimitFamilies {
    /// Registers the families.
    ///
    /// # Errors
    /// If the registry has a family with one of the names.
    pub fn register(registry: &Registry) -> Result<Self, Error> {
        let limited = IntCounterVec::new(
            Opts::new(
                "limited_total",
                "Connections and requests that exceeded a limit, by cause and outcome.",
            ),
            &["cause", "outcome"],
        )?;
        let limited = registered(registry, limited)?;
        let watched = registered(registry, LimitGauges::new()?)?;
        let counter =
            |cause: Cause, outcome: Outcome| limited.with_label_values(&[cause.label(), outcome.label()]);
        let limited = Cause::ALL.map(|cause| Outcome::ALL.map(|outcome| counter(cause, outcome)));
        Ok(Self { limited, watched })
    }

    /// Counts a connection or request that exceeded a limit.
    pub fn limited(&self, cause: Cause, outcome: Outcome) {
        self.limited[cause as usize][outcome as usize].inc();
    }

    /// How often each limit was exceeded. Limits that were never exceeded are left out.
    pub fn exceeded(&self) -> Vec<(Cause, Outcome, u64)> {
        let all = Cause::ALL.into_iter().flat_map(|cause| Outcome::ALL.map(|outcome| (cause, outcome)));
        let counted = all
            .map(|(cause, outcome)| (cause, outcome, self.limited[cause as usize][outcome as usize].get()));
        counted.filter(|(.., count)| *count > 0).collect()
    }

    /// Shows the gauges of these limits until they are dropped.
    pub fn watch(&self, limits: Weak<dyn LimitState>) {
        // A second call fails. A process has one set of limits, so nothing is lost.
        let _ = self.watched.limits.set(limits);
    }
}

/// The present state of the limits, read when metrics are scraped.
pub trait LimitState: Send + Sync {
    /// The number of open connections of each listener.
    fn connections(&self) -> Vec<(Box<str>, usize)>;
    /// The number of requests that are being forwarded.
    fn requests(&self) -> usize;
    /// The number of banned addresses.
    fn banned(&self) -> usize;
    /// The rate limits of the current configuration.
    fn rates(&self) -> Vec<Arc<Rule>>;
}

/// The gauges of the limits, set when metrics are scraped.
#[derive(Clone)]
struct LimitGauges {
    limits: Arc<OnceLock<Weak<dyn LimitState>>>,
    connections: IntGaugeVec,
    requests: IntGauge,
    banned: IntGauge,
    exceeded: IntCounterVec,
    displaced: IntCounterVec,
}

impl LimitGauges {
    fn new() -> Result<Self, Error> {
        Ok(Self {
            limits: Arc::default(),
            connections: IntGaugeVec::new(
                Opts::new("connections", "Open connections of clients, by listener."),
                &["listener"],
            )?,
            requests: IntGauge::new("requests_in_flight", "Requests on their way to an origin now.")?,
            banned: IntGauge::new("banned_addresses", "Client addresses that are banned now.")?,
            exceeded: IntCounterVec::new(
                Opts::new(
                    "rate_limited_total",
                    "Requests that exceeded a rate limit, by its name and route.",
                ),
                &["limit", "route", "outcome"],
            )?,
            displaced: IntCounterVec::new(
                Opts::new(
                    "rate_limit_displaced_total",
                    "Buckets in use that made room for another key; where it grows, a limit needs more keys.",
                ),
                &["limit", "route"],
            )?,
        })
    }

    fn collectors(&self) -> [&dyn Collector; 5] {
        [&self.connections, &self.requests, &self.banned, &self.exceeded, &self.displaced]
    }
}

impl Collector for LimitGauges {
    fn desc(&self) -> Vec<&Desc> {
        self.collectors().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let gauge = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        if let Some(limits) = self.limits.get().and_then(Weak::upgrade) {
            for (listener, count) in limits.connections() {
                self.connections.with_label_values(&[&*listener]).set(gauge(count));
            }
            self.requests.set(gauge(limits.requests()));
            self.banned.set(gauge(limits.banned()));
            // Removes the series of rules that a reload has replaced.
            self.exceeded.reset();
            self.displaced.reset();
            for rule in limits.rates() {
                let labels = [&*rule.limit().name, rule.route().unwrap_or_default()];
                for (outcome, count) in
                    [(Outcome::Refused, rule.refused()), (Outcome::Observed, rule.observed())]
                {
                    self.exceeded.with_label_values(&[labels[0], labels[1], outcome.label()]).inc_by(count);
                }
                if let Some(displaced) = rule.table().map(Table::displaced) {
                    self.displaced.with_label_values(&labels).inc_by(displaced);
                }
            }
        }
        self.collectors().into_iter().flat_map(Collector::collect).collect()
    }
}
