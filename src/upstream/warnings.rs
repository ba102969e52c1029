//! Warnings about failed exchanges with one origin: at first each, then at most one a minute for each
//! address and cause, with the number of those in between.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::explain::FailureCause;

/// The shortest time between two warnings about the same address and cause.
const EVERY: Duration = Duration::from_secs(60);

/// Addresses and causes that are remembered. Beyond them there are no further warnings for [`EVERY`].
const MAX_ENTRIES: usize = 256;

/// The warnings of one origin, so that each is given once in a while.
#[derive(Default)]
pub(super) struct Warnings(Mutex<HashMap<(String, FailureCause), Warned>>);

struct Warned {
    last: Instant,
    /// The number of failures since the last warning.
    silent: u64,
}

/// Whether a failure causes a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    No,
    /// This many failures had no warning since the last one.
    Warn {
        silent: u64,
    },
}

impl Warnings {
    /// Counts a failure of this cause at this address.
    pub fn turn(&self, address: &str, cause: FailureCause, now: Instant) -> Turn {
        let mut entries = self.0.lock();
        if entries.len() >= MAX_ENTRIES {
            // What was not warned about for long may be warned about again.
            entries.retain(|_, warned| now.saturating_duration_since(warned.last) < EVERY);
        }
        let has_room = entries.len() < MAX_ENTRIES;
        match entries.get_mut(&(address.to_owned(), cause)) {
            Some(warned) if now.saturating_duration_since(warned.last) < EVERY => {
                warned.silent += 1;
                Turn::No
            }
            Some(warned) => {
                let silent = std::mem::take(&mut warned.silent);
                warned.last = now;
                Turn::Warn { silent }
            }
            None if has_room => {
                entries.insert((address.to_owned(), cause), Warned { last: now, silent: 0 });
                Turn::Warn { silent: 0 }
            }
            None => Turn::No,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warns_once_for_each_address_and_cause_and_then_once_a_minute_with_a_count() {
        let (warnings, start) = (Warnings::default(), Instant::now());
        let turn = |address: &str, cause, seconds| {
            warnings.turn(address, cause, start + Duration::from_secs(seconds))
        };
        assert_eq!(turn("a", FailureCause::Refused, 0), Turn::Warn { silent: 0 });
        assert_eq!(turn("a", FailureCause::Refused, 1), Turn::No);
        assert_eq!(turn("a", FailureCause::Closed, 1), Turn::Warn { silent: 0 });
        assert_eq!(turn("b", FailureCause::Refused, 1), Turn::Warn { silent: 0 });
        assert_eq!(turn("a", FailureCause::Refused, 59), Turn::No);
        assert_eq!(turn("a", FailureCause::Refused, 60), Turn::Warn { silent: 2 });
        assert_eq!(turn("a", FailureCause::Refused, 61), Turn::No);
        for number in 0..2 * MAX_ENTRIES {
            turn(&number.to_string(), FailureCause::Refused, 61);
        }
        assert_eq!(warnings.0.lock().len(), MAX_ENTRIES);
    }
}
