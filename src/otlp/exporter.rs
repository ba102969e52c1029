//! The handle of the thread that sends spans.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, TryRecvError};

use super::sender;
use super::settings::OtlpSettings;
use crate::telemetry::{Metrics, SpanQueue};

/// Sends spans to the collector.
pub struct Exporter {
    queue: Arc<SpanQueue>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
}

impl Exporter {
    /// Starts the thread.
    ///
    /// # Errors
    /// When TLS cannot be prepared or the thread cannot be started. Always in a build without the feature
    /// `otlp`, whose configuration never asks for an export.
    pub fn start(settings: OtlpSettings, metrics: &Metrics) -> io::Result<Self> {
        let counters = metrics.spans();
        let queue = Arc::new(SpanQueue::new(settings.queue, settings.batch, counters.dropped.clone()));
        let (alive, ended) = mpsc::channel();
        sender::start(settings, counters, queue.clone(), alive)?;
        Ok(Self { queue, ended })
    }

    /// The queue that requests put their spans into.
    pub fn queue(&self) -> Arc<SpanQueue> {
        self.queue.clone()
    }

    /// Ends the thread after it has sent the last spans.
    pub fn close(&self) {
        self.queue.close();
    }

    /// Whether the thread has ended: it has sent the last spans.
    pub fn is_done(&self) -> bool {
        self.ended.try_recv() == Err(TryRecvError::Disconnected)
    }
}
