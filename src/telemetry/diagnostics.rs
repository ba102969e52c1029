//! Diagnostics on standard error, at a level that can change. If `RUST_LOG` is set, it decides instead.

use std::env;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use env_logger::{Builder, Logger, Target};
use log::{Level, LevelFilter, Log, Metadata, Record};
use serde_json::json;

use super::lines::{LineQueue, Output, Trouble, Writer};
use super::redact;
use crate::closed_set::closed_set;

/// Targets of this crate. Other crates log whole requests at their lower levels, tokens included,
/// and faults of clients at `ERROR`: see [`Guarded`].
const OWN_TARGET: &str = env!("CARGO_CRATE_NAME");

/// Bytes that may wait for the writer.
const CAPACITY: usize = 1024 * 1024;

/// How long `flush` waits for the reader of standard error.
const FLUSH: Duration = Duration::from_secs(1);

/// Pingora writes this error for each listener if the process stops at once, which is not a failure.
const STOP: &str = "shutdown_signal error";

type DiagnosticLines = Arc<LineQueue<()>>;

/// Starts logging to standard error, at level `info` until [`set_level`]. A second call
/// changes nothing. A thread writes the lines: see `log::logger().flush()` before the end of the
/// process.
///
/// # Errors
/// When the thread cannot be started.
pub fn init() -> io::Result<()> {
    let lines: DiagnosticLines = Arc::new(LineQueue::new(CAPACITY, Duration::ZERO, report));
    let writer = Writer::start("diagnostics", lines.clone(), Output::new(io::stderr()))?;
    let mut builder = Builder::from_default_env();
    if !rust_log() {
        // The level of the crate `log` decides: see `set_level`.
        builder.filter_level(LevelFilter::Trace);
    }
    let logger = builder
        .format(|out, record| {
            let (now, level) = (out.timestamp_millis(), record.level());
            let message = record.args().to_string();
            let message = redact::escape(&message);
            if IS_JSON.load(Ordering::Relaxed) {
                let timestamp = now.to_string();
                let (level, target) = (level.as_str(), record.target());
                let line =
                    json!({ "timestamp": timestamp, "level": level, "target": target, "message": message });
                return writeln!(out, "{line}");
            }
            writeln!(out, "{now} {level:5} {message}")
        })
        .target(Target::Pipe(Box::new(Queued(lines.clone()))))
        .build();
    let level = if rust_log() { logger.filter() } else { LevelFilter::Info };
    if log::set_boxed_logger(Box::new(Guarded { logger, lines, _writer: writer })).is_ok() {
        log::set_max_level(level);
    }
    Ok(())
}

/// Whether `RUST_LOG` decides what is logged.
fn rust_log() -> bool {
    env::var_os("RUST_LOG").is_some()
}

closed_set! {
    /// The form in which diagnostics are written.
    #[derive(Default)]
    pub enum DiagnosticsFormat {
        /// Lines of text for people.
        #[default]
        Text => "text",
        /// One JSON object a line.
        Json => "json",
    }
}

/// Whether diagnostics are JSON.
static IS_JSON: AtomicBool = AtomicBool::new(false);

/// Sets the form of the lines from now on.
pub fn set_format(format: DiagnosticsFormat) {
    IS_JSON.store(format == DiagnosticsFormat::Json, Ordering::Relaxed);
}

/// Sets the level. Does nothing and returns `false` if `RUST_LOG` decides.
pub fn set_level(level: LevelFilter) -> bool {
    if rust_log() {
        return false;
    }
    log::set_max_level(level);
    true
}

/// Diagnostics that could not be written are told among the diagnostics, when that works again.
fn report(trouble: Trouble) {
    if let Trouble::Over { lost: lost @ 1.. } = trouble {
        log::warn!("{lost} lines of diagnostics were lost");
    }
}

/// Passes the gateway's own records, and of other crates only warnings and errors that quote no
/// request.
struct Guarded {
    logger: Logger,
    lines: DiagnosticLines,
    _writer: Writer<()>,
}

/// Each write of the logger is one line.
struct Queued(DiagnosticLines);

impl Write for Queued {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(|(), bytes| bytes.extend_from_slice(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log for Guarded {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        (is_own(metadata.target()) || metadata.level() <= Level::Warn) && self.logger.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        if !is_own(record.target()) {
            let message = record.args().to_string();
            if message.starts_with(STOP) || redact::may_hold_credential(&message) {
                return;
            }
        }
        self.logger.log(record);
    }

    fn flush(&self) {
        self.lines.flush(FLUSH);
    }
}

fn is_own(target: &str) -> bool {
    target.strip_prefix(OWN_TARGET).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}
