//! The last failure of each address of one origin, for the status page.

use std::collections::HashMap;
use std::time::Instant;

use parking_lot::Mutex;

/// Addresses that are remembered. Beyond them the failures of further ones are not shown.
const MAX_ADDRESSES: usize = 256;

/// The last failures, by address.
#[derive(Default)]
pub(super) struct KnownFailures(Mutex<HashMap<String, KnownFailure>>);

/// A failure.
#[derive(Clone, Debug)]
pub(super) struct KnownFailure {
    /// What is wrong and how to fix it.
    pub message: String,
    pub at: Instant,
    /// The number of answers of the origin at the time of the failure.
    pub answers: u64,
    /// Whether a health check has passed since then.
    pub is_over: bool,
}

impl KnownFailures {
    /// An address has failed.
    pub fn note(&self, address: &str, failure: KnownFailure) {
        let mut failures = self.0.lock();
        if let Some(known) = failures.get_mut(address) {
            *known = failure;
        } else if failures.len() < MAX_ADDRESSES {
            failures.insert(address.to_owned(), failure);
        }
    }

    /// Forgets all but these addresses.
    pub fn retain(&self, addresses: &[String]) {
        self.0.lock().retain(|known, _| addresses.contains(known));
    }

    /// A health check of an address has passed.
    pub fn is_over(&self, address: &str) {
        if let Some(failure) = self.0.lock().get_mut(address) {
            failure.is_over = true;
        }
    }

    /// The last failure of an address.
    pub fn last(&self, address: &str) -> Option<KnownFailure> {
        self.0.lock().get(address).cloned()
    }
}
