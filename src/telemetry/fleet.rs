//! Metrics of the agreement with other nodes.

use std::time::Duration;

use prometheus::{Error, Histogram, HistogramOpts, IntCounter, IntGauge, Registry};

use super::registered::registered;

/// How long an exchange with the store takes, in seconds.
const SYNC_BUCKETS: [f64; 9] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0];

/// The series of the agreement. A gateway without a store has none.
pub struct FleetMetrics {
    connected: IntGauge,
    sync: Histogram,
    failures: IntCounter,
    buckets: IntGauge,
}

impl FleetMetrics {
    /// Registers the families.
    ///
    /// # Errors
    /// If they are registered already.
    pub(super) fn register(registry: &Registry) -> Result<Self, Error> {
        let connected = IntGauge::new(
            "fleet_connected",
            "1 if the last exchange with the store of the fleet succeeded, 0 if this node is on its own.",
        )?;
        let sync = Histogram::with_opts(
            HistogramOpts::new("fleet_sync_seconds", "Successful exchanges with the store of the fleet.")
                .buckets(SYNC_BUCKETS.to_vec()),
        )?;
        let failures = IntCounter::new(
            "fleet_failures_total",
            "Attempts to connect to the store of the fleet, and exchanges with it, that failed.",
        )?;
        let buckets = IntGauge::new(
            "fleet_buckets",
            "Buckets of rate limits in the last exchange with the store; more than 10000 wait for the next one.",
        )?;
        Ok(Self {
            connected: registered(registry, connected)?,
            sync: registered(registry, sync)?,
            failures: registered(registry, failures)?,
            buckets: registered(registry, buckets)?,
        })
    }

    /// An exchange about so many buckets has succeeded.
    pub fn synced(&self, took: Duration, buckets: usize) {
        self.connected.set(1);
        self.sync.observe(took.as_secs_f64());
        self.buckets.set(i64::try_from(buckets).unwrap_or(i64::MAX));
    }

    /// The store cannot be used.
    pub fn failed(&self) {
        self.failures.inc();
        self.connected.set(0);
    }
}
