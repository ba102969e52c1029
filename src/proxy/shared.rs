//! What all requests and all workers share.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::body::HeldBodies;
use super::snapshot::Snapshot;
use crate::limits::Rule;
use crate::telemetry::{AccessLogSink, LimitState, Metrics, Recent, SpanQueue};

/// What all requests and all workers share.
pub struct Shared {
    /// The configuration in force. A request takes it once, at its start.
    pub snapshot: ArcSwap<Snapshot>,
    /// Takes one line for each request that is logged.
    pub access_log: AccessLogSink,
    /// The spans that wait for their export; `None` if no spans are exported.
    pub spans: Option<Arc<SpanQueue>>,
    /// The last refusals and failures.
    pub recent: Recent,
    /// Counts every request, whatever became of it.
    pub metrics: Arc<Metrics>,
    /// The labels of the listeners in metrics, by position.
    pub listeners: Vec<Box<str>>,
    /// Bodies that are held back until their digest is verified.
    pub held_bodies: HeldBodies,
}

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
