//! Metrics of origins: counters, and gauges that are read when metrics are scraped.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
};

use super::registered::registered;
use super::response::StatusClass;
use crate::closed_set::closed_set;
use crate::origins::{RetryReason, UpstreamErrorKind};

/// Bucket bounds in seconds, from an origin in the same network to a slow one.
const BUCKETS: [f64; 16] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0];

/// The metric families about origins.
pub(super) struct OriginFamilies {
    durations: HistogramVec,
    errors: IntCounterVec,
    retries: IntCounterVec,
    retries_refused: IntCounterVec,
    ejections: IntCounterVec,
    watched: OriginGauges,
}

impl OriginFamilies {
    /// Registers the families.
    ///
    /// # Errors
    /// If the registry has a family with one of the names.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            registered(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
        };
        let durations = HistogramOpts::new(
            "upstream_duration_seconds",
            "Time from sending a request to an origin to the first byte of its answer.",
        );
        let durations = HistogramVec::new(durations.buckets(BUCKETS.to_vec()), &["origin", "status_class"])?;
        Ok(Self {
            durations: registered(registry, durations)?,
            errors: counters(
                "upstream_errors_total",
                "Failures of an origin, by kind; retried ones too.",
                &["origin", "kind"],
            )?,
            retries: counters(
                "upstream_retries_total",
                "Requests sent to an origin again, by reason.",
                &["origin", "reason"],
            )?,
            retries_refused: counters(
                "upstream_retries_refused_total",
                "Requests not sent again because the retry budget was spent.",
                &["origin"],
            )?,
            ejections: counters(
                "upstream_ejections_total",
                "Times an address was kept from requests because it failed them.",
                &["origin"],
            )?,
            watched: registered(registry, OriginGauges::new()?)?,
        })
    }

    /// The counters of the origin with this name.
    pub fn origin(&self, name: &str) -> OriginMetrics {
        OriginMetrics {
            durations: StatusClass::ALL.map(|class| self.durations.with_label_values(&[name, class.label()])),
            errors: UpstreamErrorKind::ALL.map(|kind| self.errors.with_label_values(&[name, kind.label()])),
            retries: RetryReason::ALL.map(|reason| self.retries.with_label_values(&[name, reason.label()])),
            retries_refused: self.retries_refused.with_label_values(&[name]),
            ejections: self.ejections.with_label_values(&[name]),
        }
    }

    /// The origins in use, by name.
    pub fn reports(&self) -> Vec<OriginReport> {
        let origins = self.watched.living();
        let mut reports: BTreeMap<&str, OriginReport> = BTreeMap::new();
        for origin in &origins {
            let name = origin.name();
            let empty = || OriginReport { name: name.into(), in_flight: 0, queued: 0, addresses: Vec::new() };
            let report = reports.entry(name).or_insert_with(empty);
            report.in_flight += origin.in_flight();
            report.queued += origin.queued();
            report.addresses = origin.report();
        }
        reports.into_values().collect()
    }

    /// Shows the gauges of an origin until it is dropped.
    pub fn watch(&self, origin: &Arc<dyn OriginState>) {
        let mut origins = self.watched.origins.lock();
        origins.retain(|origin| origin.strong_count() > 0);
        origins.push(Arc::downgrade(origin));
    }
}

/// The counters of one origin.
pub struct OriginMetrics {
    durations: [Histogram; StatusClass::ALL.len()],
    errors: [IntCounter; UpstreamErrorKind::ALL.len()],
    retries: [IntCounter; RetryReason::ALL.len()],
    retries_refused: IntCounter,
    ejections: IntCounter,
}

impl OriginMetrics {
    /// Counts a failed exchange.
    pub fn failed(&self, kind: UpstreamErrorKind) {
        self.errors[kind as usize].inc();
    }

    /// Records a response by its status class. `after` is the time from the end of the request to the head
    /// of the response.
    pub fn answered(&self, class: StatusClass, after: Duration) {
        self.durations[class as usize].observe(after.as_secs_f64());
    }

    /// How many answers have begun.
    pub fn answers(&self) -> u64 {
        self.durations.iter().map(Histogram::get_sample_count).sum()
    }

    /// Counts a further attempt to send a request.
    pub fn retried(&self, reason: RetryReason) {
        self.retries[reason as usize].inc();
    }

    /// Counts a retry that the budget did not allow.
    pub fn budget_exhausted(&self) {
        self.retries_refused.inc();
    }

    /// Counts an address that was ejected: it gets no requests for a while.
    pub fn ejected(&self) {
        self.ejections.inc();
    }
}

/// The present state of an origin, read when metrics are scraped.
pub trait OriginState: Send + Sync {
    /// The name in the configuration.
    fn name(&self) -> &str;
    /// The number of requests that the origin is serving.
    fn in_flight(&self) -> usize;
    /// The number of requests that wait in the queue of the origin.
    fn queued(&self) -> usize;
    /// The number of addresses, and how many of them may get requests.
    fn addresses(&self) -> (usize, usize);
    /// The state of each address. An origin whose name is not resolved has one entry, with that name.
    fn report(&self) -> Vec<AddressReport>;
}

closed_set! {
    /// Whether an address of an origin answers.
    pub enum AddressState {
        /// The address gets requests, and no present failure is known.
        Up => "up",
        /// It gets requests, and the last one failed.
        Failing => "failing",
        /// The address gets no requests.
        Down => "down",
    }
}

/// What can be seen of an address of an origin.
#[derive(Clone, Debug)]
pub struct AddressReport {
    /// The address, as it is shown.
    pub address: String,
    /// Whether the address answers.
    pub state: AddressState,
    /// Requests at this address; `None` where only those of the origin are counted.
    pub in_flight: Option<usize>,
    /// The last failure, also if the address answers again.
    pub last_failure: Option<LastFailure>,
}

/// The last failure of an address.
#[derive(Clone, Debug)]
pub struct LastFailure {
    /// What is wrong and how to fix it.
    pub message: String,
    /// The time since the last failure.
    pub ago: Duration,
}

/// What can be seen of an origin.
#[derive(Clone, Debug)]
pub struct OriginReport {
    /// The name of the origin in the configuration.
    pub name: String,
    /// Requests that have entered and not left.
    pub in_flight: usize,
    /// Requests that wait to enter.
    pub queued: usize,
    /// The addresses of the origin, with their states.
    pub addresses: Vec<AddressReport>,
}

/// The gauges of the origins, set when metrics are scraped.
#[derive(Clone)]
struct OriginGauges {
    origins: Arc<Mutex<Vec<Weak<dyn OriginState>>>>,
    in_flight: IntGaugeVec,
    queued: IntGaugeVec,
    addresses: IntGaugeVec,
    healthy: IntGaugeVec,
}

impl OriginGauges {
    fn new() -> Result<Self, prometheus::Error> {
        // The registry adds its prefix to what a collector returns.
        let gauges = |name: &str, help: &str| IntGaugeVec::new(Opts::new(name, help), &["origin"]);
        Ok(Self {
            origins: Arc::default(),
            in_flight: gauges("upstream_in_flight", "Requests at an origin now.")?,
            queued: gauges("upstream_queued", "Requests that wait for an origin now.")?,
            addresses: gauges("upstream_addresses", "Addresses of an origin.")?,
            healthy: gauges("upstream_healthy_addresses", "Addresses of an origin that get requests.")?,
        })
    }

    /// After a reload an origin may still serve earlier requests next to its successor, which comes later:
    /// their requests add up, and the addresses are those of the successor.
    fn living(&self) -> Vec<Arc<dyn OriginState>> {
        self.origins.lock().iter().filter_map(Weak::upgrade).collect()
    }

    fn gauges(&self) -> [&IntGaugeVec; 4] {
        [&self.in_flight, &self.queued, &self.addresses, &self.healthy]
    }
}

impl Collector for OriginGauges {
    fn desc(&self) -> Vec<&Desc> {
        self.gauges().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let origins = self.living();
        let mut values: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
        for origin in &origins {
            let [in_flight, queued, addresses, healthy] = values.entry(origin.name()).or_default();
            *in_flight += origin.in_flight();
            *queued += origin.queued();
            (*addresses, *healthy) = origin.addresses();
        }
        for (index, gauges) in self.gauges().into_iter().enumerate() {
            gauges.reset();
            for (name, values) in &values {
                let value = i64::try_from(values[index]).unwrap_or(i64::MAX);
                gauges.with_label_values(&[name]).set(value);
            }
        }
        self.gauges().into_iter().flat_map(Collector::collect).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(&'static str, usize);

    impl OriginState for Fixed {
        fn name(&self) -> &str {
            self.0
        }

        fn in_flight(&self) -> usize {
            self.1
        }

        fn queued(&self) -> usize {
            0
        }

        fn addresses(&self) -> (usize, usize) {
            (self.1, 1)
        }

        fn report(&self) -> Vec<AddressReport> {
            Vec::new()
        }
    }

    #[test]
    fn gauges_show_the_origins_that_live_and_forget_the_others() {
        let registry = Registry::new_custom(Some("test".into()), None).expect("a registry");
        let families = OriginFamilies::register(&registry).expect("names are unique");
        let text = || prometheus::TextEncoder::new().encode_to_string(&registry.gather()).expect("encodes");
        let old: Arc<dyn OriginState> = Arc::new(Fixed("api", 3));
        let new: Arc<dyn OriginState> = Arc::new(Fixed("api", 4));
        families.watch(&old);
        families.watch(&new);
        assert!(text().contains("test_upstream_in_flight{origin=\"api\"} 7\n"), "{}", text());
        assert!(text().contains("test_upstream_addresses{origin=\"api\"} 4\n"), "{}", text());
        let reports = families.reports();
        assert_eq!((reports.len(), reports[0].in_flight), (1, 7));
        drop((old, new));
        assert!(!text().contains("upstream_in_flight{"), "{}", text());
    }
}
