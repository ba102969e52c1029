//! Metrics of limits: counters of what they keep out, and gauges that are read off at the moment
//! they are asked for.

use std::sync::{Arc, OnceLock, Weak};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Error, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use crate::limits::{Cause, Outcome, Rule, Table};

/// The metric families of limits.
pub(super) struct LimitFamilies {
    limited: [[IntCounter; Outcome::ALL.len()]; Cause::ALL.len()],
    watched: LimitGauges,
}

impl LimitFamilies {
    /// Registers them.
    pub fn register(registry: &Registry) -> Result<Self, Error> {
        let limited = IntCounterVec::new(
            Opts::new(
                "limited_total",
                "Connections and requests that exceeded a limit, by cause and outcome.",
            ),
            &["cause", "outcome"],
        )?;
        registry.register(Box::new(limited.clone()))?;
        let watched = LimitGauges::new()?;
        registry.register(Box::new(watched.clone()))?;
        let counter =
            |cause: Cause, outcome: Outcome| limited.with_label_values(&[cause.label(), outcome.label()]);
        let limited = Cause::ALL.map(|cause| Outcome::ALL.map(|outcome| counter(cause, outcome)));
        Ok(Self { limited, watched })
    }

    /// Counts what exceeded a limit.
    pub fn limited(&self, cause: Cause, outcome: Outcome) {
        self.limited[cause as usize][outcome as usize].inc();
    }

    /// Shows the gauges of these limits for as long as they live.
    pub fn watch(&self, limits: Weak<dyn LimitState>) {
        // There is one process, which has one.
        let _ = self.watched.limits.set(limits);
    }
}

/// What can be seen of the limits at any moment.
pub trait LimitState: Send + Sync {
    /// Open connections, by listener.
    fn connections(&self) -> Vec<(Box<str>, usize)>;
    /// Requests on their way to an origin.
    fn requests(&self) -> usize;
    /// Addresses that are banned now.
    fn banned(&self) -> usize;
    /// The rate limits in force.
    fn rates(&self) -> Vec<Arc<Rule>>;
}

/// The limits in force, read off whenever metrics are asked for.
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
            // Read off anew: a rule that a reload has replaced is told of no more.
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
