//! Metrics of the configuration in force, and of reloads.

use prometheus::{Error, Gauge, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::registered::registered;
use crate::clock;

/// The metric families about configurations.
pub(super) struct ConfigFamilies {
    reloads: IntCounterVec,
    last_success: IntGauge,
    last_success_timestamp: Gauge,
    info: IntGaugeVec,
}

impl ConfigFamilies {
    /// Registers the families.
    ///
    /// # Errors
    /// If the registry has a family with one of the names.
    pub fn register(registry: &Registry) -> Result<Self, Error> {
        let reloads = IntCounterVec::new(
            Opts::new("config_reloads_total", "Configurations loaded or refused since the start."),
            &["result"],
        )?;
        for result in ["success", "failure"] {
            reloads.with_label_values(&[result]);
        }
        let last_success = IntGauge::new(
            "config_last_reload_success",
            "1 if the last configuration was taken, 0 if it was refused.",
        )?;
        let last_success_timestamp = Gauge::new(
            "config_last_reload_success_timestamp_seconds",
            "Unix time at which the configuration in force was taken.",
        )?;
        let info = IntGaugeVec::new(
            Opts::new("config_info", "1, with the start of the configuration file's SHA-256 as a label."),
            &["hash"],
        )?;
        Ok(Self {
            reloads: registered(registry, reloads)?,
            last_success: registered(registry, last_success)?,
            last_success_timestamp: registered(registry, last_success_timestamp)?,
            info: registered(registry, info)?,
        })
    }

    /// A configuration has taken effect. `hash` is the hash of its file.
    pub fn loaded(&self, hash: &str) {
        self.info.reset();
        self.info.with_label_values(&[hash]).set(1);
        self.reloads.with_label_values(&["success"]).inc();
        self.last_success.set(1);
        self.last_success_timestamp.set(clock::unix_time().as_secs_f64());
    }

    /// A configuration was refused.
    pub fn refused(&self) {
        self.reloads.with_label_values(&["failure"]).inc();
        self.last_success.set(0);
    }
}
