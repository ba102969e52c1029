//! What is logged about a lost store.

use std::time::{Duration, Instant};

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
}
