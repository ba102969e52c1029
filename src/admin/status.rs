//! What operators ask of the process: is it ready, which configuration is in force.

use std::sync::atomic::{AtomicU8, Ordering};

use jiff::Timestamp;
use parking_lot::Mutex;

use crate::clock;

/// Whether the process takes requests: starting, ready, draining.
#[derive(Debug, Default)]
pub struct Readiness(AtomicU8);

const STARTING: u8 = 0;
const READY: u8 = 1;
const DRAINING: u8 = 2;

impl Readiness {
    /// Requests are taken from now on.
    pub fn set_ready(&self) {
        self.0.store(READY, Ordering::Release);
    }

    /// Probes are told from now on to send no new requests.
    pub fn set_draining(&self) {
        self.0.store(DRAINING, Ordering::Release);
    }

    pub(super) fn label(&self) -> &'static str {
        match self.0.load(Ordering::Acquire) {
            STARTING => "starting",
            READY => "ready",
            _ => "draining",
        }
    }
}

/// Which configuration is in force, for the admin listener.
#[derive(Debug, Default)]
pub struct ConfigStatus(Mutex<ConfigurationState>);

#[derive(Clone, Debug, Default)]
struct ConfigurationState {
    generation: u64,
    in_force: Option<InForce>,
    refused: Option<RefusedConfiguration>,
    unapplied: Vec<String>,
}

/// The configuration that is in force now.
#[derive(Clone, Debug)]
pub struct InForce {
    /// The start of its file's SHA-256; empty without a file.
    pub hash: String,
    /// Since when it is in force.
    pub taken: Timestamp,
}

/// A configuration that was not taken.
#[derive(Clone, Debug)]
pub struct RefusedConfiguration {
    /// The time of the attempt.
    pub at: Timestamp,
    /// Every problem, one in a line.
    pub problems: String,
}

impl ConfigStatus {
    /// How many configurations have been in force, this one included.
    pub fn generation(&self) -> u64 {
        self.0.lock().generation
    }

    /// The configuration in force; `None` before the first.
    pub fn in_force(&self) -> Option<InForce> {
        self.0.lock().in_force.clone()
    }

    /// The last attempt, if it failed.
    pub fn refused(&self) -> Option<RefusedConfiguration> {
        self.0.lock().refused.clone()
    }

    /// What of the configuration in force needs an upgrade to take effect, a sentence each.
    pub fn unapplied(&self) -> Vec<String> {
        self.0.lock().unapplied.clone()
    }

    /// Another configuration is in force, whose file has this hash, except what is `unapplied`. Returns its
    /// generation.
    pub fn taken(&self, hash: &str, unapplied: Vec<String>) -> u64 {
        let mut state = self.0.lock();
        state.unapplied = unapplied;
        state.generation += 1;
        state.in_force = Some(InForce { hash: hash.to_owned(), taken: clock::timestamp() });
        state.refused = None;
        state.generation
    }

    /// A configuration was not taken.
    pub fn refuse(&self, problems: String) {
        self.0.lock().refused = Some(RefusedConfiguration { at: clock::timestamp(), problems });
    }
}
