//! The thread that sends spans to the collector.

use std::io;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, StatusCode};
use tokio::runtime::Runtime;

use super::messages;
use super::settings::OtlpSettings;
use crate::clock;
use crate::telemetry::{EndedSpan, SpanCounters, SpanQueue};
use crate::upstream::Fetcher;

/// How often one batch is sent, if the collector asks for another try or cannot be reached.
const TRIES: u32 = 3;

/// The pause before the second try. Each further pause is twice as long.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest answer of a collector that is read.
const MAX_ANSWER: usize = 64 * 1024;

/// How long a failure is not repeated in the log.
const SILENCE: Duration = Duration::from_secs(60);

/// Starts the thread, which drops `alive` when it ends.
///
/// # Errors
/// When TLS cannot be prepared or the thread cannot be started.
pub(super) fn start(
    settings: OtlpSettings,
    counters: SpanCounters,
    queue: Arc<SpanQueue>,
    alive: mpsc::Sender<()>,
) -> io::Result<()> {
    let fetcher = Fetcher::to_collector(settings.server.clone(), &settings.target);
    let fetcher = fetcher.map_err(io::Error::other)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut fields = settings.headers.clone();
    fields.push((CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf")));
    let sender = Sender { runtime, fetcher, fields, counters, queue, settings, warned: None };
    thread::Builder::new().name("otlp".into()).spawn(move || {
        sender.run();
        drop(alive);
    })?;
    Ok(())
}

/// What the thread works with.
struct Sender {
    runtime: Runtime,
    fetcher: Fetcher,
    fields: Vec<(HeaderName, HeaderValue)>,
    counters: SpanCounters,
    queue: Arc<SpanQueue>,
    settings: OtlpSettings,
    /// When a failure was last logged; `None` if the last export succeeded.
    warned: Option<Instant>,
}

/// Why an export failed, and whether it is tried again.
enum ExportFailure {
    /// Another try may succeed. The text says why this one failed.
    ForNow(String),
    ForGood(String),
}

impl Sender {
    fn run(mut self) {
        while let Some(spans) = self.queue.take(self.settings.delay) {
            let count = spans.len() as u64;
            match self.export(spans) {
                Ok(rejected) => {
                    let rejected = rejected.min(count);
                    self.counters.exported.inc_by(count - rejected);
                    self.counters.dropped.inc_by(rejected);
                    if self.warned.take().is_some() {
                        log::info!("spans are exported again");
                    }
                }
                Err(why) => {
                    self.counters.dropped.inc_by(count);
                    self.warn(&why);
                }
            }
        }
    }

    /// Sends one batch. Returns how many spans of it the collector has refused.
    fn export(&self, spans: Vec<EndedSpan>) -> Result<u64, String> {
        let body = messages::encode(&self.settings.resource, spans);
        let mut pause = PAUSE;
        for _ in 1..TRIES {
            match self.send(&body) {
                Ok(rejected) => return Ok(rejected),
                Err(ExportFailure::ForGood(why)) => return Err(why),
                Err(ExportFailure::ForNow(why)) if self.queue.pause(pause) => return Err(why),
                Err(ExportFailure::ForNow(_)) => pause *= 2,
            }
        }
        self.send(&body).map_err(|(ExportFailure::ForNow(why) | ExportFailure::ForGood(why))| why)
    }

    fn send(&self, body: &[u8]) -> Result<u64, ExportFailure> {
        let timeout = self.settings.timeout;
        let answer = self.runtime.block_on(async {
            tokio::time::timeout(timeout, self.fetcher.post(&self.fields, body, MAX_ANSWER)).await
        });
        let document = match answer {
            Ok(Ok(document)) => document,
            Ok(Err(why)) => return Err(ExportFailure::ForNow(why)),
            Err(_) => {
                let why = format!("the collector does not answer within {timeout:?}; check its load");
                return Err(ExportFailure::ForNow(why));
            }
        };
        let why = || format!("the collector answers {}; check its log", document.status.as_u16());
        match document.status {
            status if status.is_success() => {
                Ok(messages::rejected(document.body.as_deref().unwrap_or_default()))
            }
            // OTLP/HTTP, "Retryable Response Codes".
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Err(ExportFailure::ForNow(why())),
            _ => Err(ExportFailure::ForGood(why())),
        }
    }

    fn warn(&mut self, why: &str) {
        let now = clock::now();
        if self.warned.is_none_or(|at| now.saturating_duration_since(at) >= SILENCE) {
            log::warn!("spans cannot be exported and are dropped: {why}");
            self.warned = Some(now);
        }
    }
}
