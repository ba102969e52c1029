//! The state of the limits, for the metrics.

use std::sync::Arc;

use super::Shared;
use crate::limits::Rule;
use crate::telemetry::LimitState;

impl LimitState for Shared {
    fn connections(&self) -> Vec<(Box<str>, usize)> {
        let limits = &self.snapshot.load().limits;
        let listeners = self.listeners.iter().enumerate();
        listeners.map(|(index, label)| (label.clone(), limits.connections_of(index))).collect()
    }

    fn requests(&self) -> usize {
        self.snapshot.load().limits.requests_in_flight()
    }

    fn banned(&self) -> usize {
        self.snapshot.load().limits.banned()
    }

    fn rates(&self) -> Vec<Arc<Rule>> {
        self.snapshot.load().limits.rates().to_vec()
    }
}
