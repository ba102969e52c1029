//! Diagnostics on standard error, at the level that `RUST_LOG` asks for.

use std::io::Write;

use env_logger::{Builder, Env, Logger};
use log::{Level, Log, Metadata, Record};

use super::redact;

/// Targets of this crate. Other crates log whole requests at their lower levels, tokens included,
/// and a client's faults at `ERROR`: see [`Guarded`].
const OWN_TARGET: &str = env!("CARGO_CRATE_NAME");

/// Starts logging to standard error; `RUST_LOG` sets the level, `info` without it. A second call
/// changes nothing.
pub fn init() {
    let logger = Builder::from_env(Env::default().default_filter_or("info"))
        .format(|out, record| {
            let now = out.timestamp_millis();
            let message = record.args().to_string();
            writeln!(out, "{now} {:5} {}", record.level(), redact::escape(&message))
        })
        .build();
    let level = logger.filter();
    if log::set_boxed_logger(Box::new(Guarded(logger))).is_ok() {
        log::set_max_level(level);
    }
}

/// Passes our own records, and of other crates only warnings and errors that quote no request.
struct Guarded(Logger);

impl Log for Guarded {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        (is_own(metadata.target()) || metadata.level() <= Level::Warn) && self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        if is_own(record.target()) || !redact::may_hold_credential(&record.args().to_string()) {
            self.0.log(record);
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}

fn is_own(target: &str) -> bool {
    target.strip_prefix(OWN_TARGET).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}
