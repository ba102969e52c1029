//! The handle of the thread that sends spans.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::time::Duration;

use super::sender;
use super::settings::OtlpSettings;
use crate::telemetry::{Metrics, SpanQueue};

/// How long the end of the process waits for the last spans.
const LAST_EXPORT: Duration = Duration::from_secs(3);

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

    /// Whether the thread has sent the last spans, or the time since [`Exporter::close`] is too long to wait for them.
    pub fn is_done(&self, since_close: Duration) -> bool {
        if self.ended.try_recv() == Err(TryRecvError::Disconnected) {
            return true;
        }
        let is_late = since_close >= LAST_EXPORT;
        if is_late {
            log::warn!("the collector does not take the last spans within {LAST_EXPORT:?}; they are lost");
        }
        is_late
    }
}
