//! When a lost store is tried again, and what is logged about it.

use std::time::{Duration, Instant};

use aws_lc_rs::rand;

/// How long after a warning the next one is kept back, so that a store that comes and goes does not fill the log.
const SILENCE: Duration = Duration::from_secs(60);

/// Whether the store is reachable, and what was logged.
#[derive(Default)]
pub(super) struct Outage {
    is_lost: bool,
    /// Whether the present outage was logged.
    is_told: bool,
    warned: Option<Instant>,
}

impl Outage {
    /// The store is lost. Returns whether to warn.
    pub fn begins(&mut self, now: Instant) -> bool {
        if self.is_lost {
            return false;
        }
        self.is_lost = true;
        self.is_told = self.warned.is_none_or(|warned| now.duration_since(warned) >= SILENCE);
        if self.is_told {
            self.warned = Some(now);
        }
        self.is_told
    }

    /// The store answers. Returns whether to say so.
    pub fn ends(&mut self) -> bool {
        self.is_lost = false;
        std::mem::take(&mut self.is_told)
    }
}

/// The pause before the next attempt: between a half and a whole of `sync`, so that nodes that lost the store
/// together do not return together.
pub(super) fn pause(sync: Duration) -> Duration {
    let mut bytes = [0; 4];
    // Without randomness all nodes return at one moment, which still works.
    let _ = rand::fill(&mut bytes);
    sync.mul_f64(0.5 + 0.5 * f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_once_and_so_is_its_end() {
        let (mut outage, start) = (Outage::default(), Instant::now());
        assert!(outage.begins(start));
        assert!(!outage.begins(start + SILENCE * 2), "the same outage");
        assert!(outage.ends());
        assert!(!outage.ends());
        assert!(outage.begins(start + SILENCE * 3));
        assert!(outage.ends());
        assert!(!outage.begins(start + SILENCE * 3 + Duration::from_secs(1)), "it comes and goes");
        assert!(!outage.ends(), "what was not told needs no end");
    }

    #[test]
    fn a_pause_is_at_most_one_sync() {
        let sync = Duration::from_millis(500);
        assert!((0..100).all(|_| (sync / 2..=sync).contains(&pause(sync))));
    }
}
