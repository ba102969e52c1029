//! The level of diagnostics while the process runs: `GET /log-level` tells it, and
//! `PUT /log-level?level=debug&seconds=600` changes it for a while.

use std::sync::Arc;
use std::time::Duration;

use http::{Response, StatusCode};
use log::LevelFilter;
use parking_lot::Mutex;
use serde_json::json;

use super::access::Peer;
use super::response::{response, text};
use crate::telemetry::set_diagnostics_level;

pub(super) const PAGE: &str = "/log-level";

/// How long another level lasts, by default and at most, in seconds.
const DEFAULT_SECONDS: u64 = 600;
const MAX_SECONDS: u64 = 3600;

/// The configured level, to which another one returns.
#[derive(Clone)]
pub struct LogLevel(Arc<Mutex<LevelState>>);

struct LevelState {
    configured: LevelFilter,
    /// Counts the changes: only the last one returns.
    changes: u64,
}

impl LogLevel {
    /// Sets the level of the configuration.
    pub fn new(configured: LevelFilter) -> Self {
        set_diagnostics_level(configured);
        Self(Arc::new(Mutex::new(LevelState { configured, changes: 0 })))
    }

    /// Sets the level of another configuration, and ends a level for a while if it is another one.
    pub fn configure(&self, level: LevelFilter) {
        let mut state = self.0.lock();
        if state.configured != level {
            state.configured = level;
            state.changes += 1;
            set_diagnostics_level(level);
        }
    }

    pub(super) fn show(&self) -> Response<Vec<u8>> {
        let configured = name(self.0.lock().configured);
        let answer = json!({ "level": name(log::max_level()), "configured": configured });
        response(StatusCode::OK, "application/json", format!("{answer}\n"))
    }

    /// Changes the level as the query asks for. Must be called inside of an event loop.
    pub(super) fn change(&self, query: &str, peer: Peer) -> Response<Vec<u8>> {
        let Some((level, seconds)) = parse(query) else {
            return text(
                StatusCode::BAD_REQUEST,
                "write PUT /log-level?level=debug&seconds=600, with error, warn, info, debug or trace, and at \
                 most 3600 seconds\n",
            );
        };
        if !set_diagnostics_level(level) {
            return text(StatusCode::CONFLICT, "RUST_LOG is set and decides the level\n");
        }
        let change = {
            let mut state = self.0.lock();
            state.changes += 1;
            state.changes
        };
        log::warn!("audit: log level {} for {seconds} s, set by {peer}", name(level));
        let this = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            let state = this.0.lock();
            if state.changes == change {
                set_diagnostics_level(state.configured);
                log::warn!("audit: log level {} again", name(state.configured));
            }
        });
        let answer = json!({ "level": name(level), "seconds": seconds });
        response(StatusCode::OK, "application/json", format!("{answer}\n"))
    }
}

fn name(level: LevelFilter) -> String {
    level.as_str().to_ascii_lowercase()
}

fn parse(query: &str) -> Option<(LevelFilter, u64)> {
    let (mut level, mut seconds) = (None, DEFAULT_SECONDS);
    for pair in query.split('&') {
        match pair.split_once('=')? {
            ("level", value) => level = Some(value.parse().ok().filter(|level| *level != LevelFilter::Off)?),
            ("seconds", value) => {
                seconds = value.parse().ok().filter(|seconds| (1..=MAX_SECONDS).contains(seconds))?;
            }
            _ => return None,
        }
    }
    Some((level?, seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_and_its_time_are_read_or_refused() {
        assert_eq!(parse("level=debug"), Some((LevelFilter::Debug, 600)));
        assert_eq!(parse("seconds=5&level=trace"), Some((LevelFilter::Trace, 5)));
        for query in ["", "level=", "level=off", "level=verbose", "level=info&seconds=0", "level=info&x=1"] {
            assert_eq!(parse(query), None, "{query}");
        }
        assert_eq!(parse("level=info&seconds=3601"), None);
    }
}
