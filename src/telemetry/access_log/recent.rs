//! The last refusals and failures, in the form of the access log: what the log hides is hidden here.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;
use serde_json::Value;

use super::Entry;
use super::line::{self, Clock};

/// Entries that are kept, and the most that are taken in one second: a flood of refusals costs one
/// atomic read for each.
const KEPT: usize = 50;

/// The last refusals and failures of the process.
pub struct Recent {
    /// Entries that are still taken in this second.
    left: AtomicUsize,
    lines: Mutex<RecentLines>,
}

#[derive(Default)]
struct RecentLines {
    clock: Clock,
    /// The last lines, the oldest first.
    ring: VecDeque<Vec<u8>>,
}

impl Default for Recent {
    fn default() -> Self {
        Self { left: AtomicUsize::new(KEPT), lines: Mutex::default() }
    }
}

impl Recent {
    /// Whether the next entry is taken.
    pub fn takes_next(&self) -> bool {
        // Read first: a flood must not write the same cache line from every worker.
        self.left.load(Relaxed) > 0
            && self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    /// Keeps this entry in place of the oldest.
    pub fn push(&self, entry: &Entry<'_>) {
        let mut lines = self.lines.lock();
        let RecentLines { clock, ring } = &mut *lines;
        let mut line = if ring.len() < KEPT { Vec::new() } else { ring.pop_front().unwrap_or_default() };
        line.clear();
        line::write(entry, clock, &mut line);
        ring.push_back(line);
    }

    /// Allows further lines, because another second has begun.
    pub fn refill(&self) {
        self.left.store(KEPT, Relaxed);
    }

    /// The entries, the latest first.
    pub fn entries(&self) -> Vec<Value> {
        // Copied first: workers wait for the lock.
        let lines: Vec<Vec<u8>> = self.lines.lock().ring.iter().rev().cloned().collect();
        lines.iter().filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(recent: &Recent, path: &[u8]) {
        recent.push(&Entry { path, ..super::super::tests::entry(b"/") });
    }

    #[test]
    fn the_latest_are_kept_and_are_as_in_the_log() {
        let recent = Recent::default();
        for number in 0..KEPT + 7 {
            push(&recent, format!("/{number}").as_bytes());
        }
        push(&recent, b"/t/eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.c2ln");
        let entries = recent.entries();
        assert_eq!(entries.len(), KEPT);
        assert_eq!(entries[0]["url.path"], "/t/[redacted]");
        assert_eq!(entries[1]["url.path"], format!("/{}", KEPT + 6));
        assert_eq!(entries[KEPT - 1]["url.path"], "/8");
    }

    #[test]
    fn a_flood_is_cut_off_for_the_rest_of_the_second() {
        let recent = Recent::default();
        let taken = || (0..10 * KEPT).filter(|_| recent.takes_next()).count();
        assert_eq!((taken(), taken()), (KEPT, 0));
        recent.refill();
        assert_eq!(taken(), KEPT);
    }
}
