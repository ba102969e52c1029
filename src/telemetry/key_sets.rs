//! Metrics of key sets that are fetched.

use prometheus::core::Collector;
use prometheus::proto::{Metric, MetricFamily};
use prometheus::{Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::registered::registered;

/// The metric families of key sets.
pub(super) struct KeySetFamilies {
    last_success: GaugeVec,
    keys: IntGaugeVec,
    fetches: IntCounterVec,
}

impl KeySetFamilies {
    /// Registers the families. Series appear with the first key set.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let last_success = GaugeVec::new(
            Opts::new(
                "key_set_last_success_timestamp_seconds",
                "Unix time at which a key set was last fetched; 0 if it never was.",
            ),
            &["key_set"],
        )?;
        let keys = IntGaugeVec::new(
            Opts::new("key_set_keys", "Usable keys of a key set; 0 if none was loaded yet."),
            &["key_set"],
        )?;
        let fetches = IntCounterVec::new(
            Opts::new("key_set_fetches_total", "Attempts to fetch a key set, by result."),
            &["key_set", "result"],
        )?;
        Ok(Self {
            last_success: registered(registry, last_success)?,
            keys: registered(registry, keys)?,
            fetches: registered(registry, fetches)?,
        })
    }

    /// The series of one key set.
    pub fn key_set(&self, name: &str) -> KeySetMetrics {
        KeySetMetrics {
            last_success: self.last_success.with_label_values(&[name]),
            keys: self.keys.with_label_values(&[name]),
            successes: self.fetches.with_label_values(&[name, "success"]),
            failures: self.fetches.with_label_values(&[name, "failure"]),
        }
    }

    /// Every key set: its name, its number of keys, and the Unix time at which it was last fetched.
    pub fn list(&self) -> Vec<(String, i64, i64)> {
        let families = self.keys.collect();
        let names = families.iter().flat_map(MetricFamily::get_metric).flat_map(Metric::get_label);
        let mut list: Vec<_> = names
            .map(|label| {
                let name = label.value();
                let fetched = self.last_success.with_label_values(&[name]).get();
                (name.to_owned(), self.keys.with_label_values(&[name]).get(), fetched as i64)
            })
            .collect();
        list.sort();
        list
    }

    /// Removes the series of a key set that is no longer configured.
    pub fn forget(&self, name: &str) {
        // A series that is not there needs no removal.
        let _ = self.last_success.remove_label_values(&[name]);
        let _ = self.keys.remove_label_values(&[name]);
        for result in ["success", "failure"] {
            let _ = self.fetches.remove_label_values(&[name, result]);
        }
    }
}

/// The series of one key set.
pub struct KeySetMetrics {
    last_success: Gauge,
    keys: IntGauge,
    successes: IntCounter,
    failures: IntCounter,
}

impl KeySetMetrics {
    /// A set with this many keys is in force.
    pub fn in_force(&self, keys: usize) {
        self.keys.set(i64::try_from(keys).unwrap_or(i64::MAX));
    }

    /// The set was last fetched at this Unix time, perhaps by an earlier process.
    pub fn fetched_at(&self, seconds: u64) {
        self.last_success.set(seconds as f64);
    }

    /// Counts an attempt to fetch, by its result.
    pub fn attempted(&self, is_success: bool) {
        let counter = if is_success { &self.successes } else { &self.failures };
        counter.inc();
    }
}
