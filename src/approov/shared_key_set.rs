//! A key set that comes from elsewhere and changes while requests are verified with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::{ArcSwapOption, Guard};

use super::key_set::KeySet;

/// A key set that is replaced while requests are verified with it. Empty until the first set has
/// been loaded.
#[derive(Debug, Default)]
pub struct SharedKeySet {
    set: ArcSwapOption<KeySet>,
    /// A token has named a key that no set has.
    misses_key: AtomicBool,
}

impl SharedKeySet {
    /// Puts a new set in force.
    pub fn store(&self, set: Arc<KeySet>) {
        self.set.store(Some(set));
    }

    /// The set in force.
    pub fn load(&self) -> Guard<Option<Arc<KeySet>>> {
        self.set.load()
    }

    /// Whether a token has named an unknown key since the last call. The set may have changed at its
    /// source.
    pub fn take_missing_key(&self) -> bool {
        self.misses_key.swap(false, Ordering::Relaxed)
    }

    /// Notes that a token names an unknown key. Anyone can send such a token, so this costs no more
    /// than a load.
    pub(super) fn note_missing_key(&self) {
        if !self.misses_key.load(Ordering::Relaxed) {
            self.misses_key.store(true, Ordering::Relaxed);
        }
    }
}
