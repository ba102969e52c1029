//! Buckets for any number of keys in a fixed amount of memory.
//!
//! The table is an array of sets of fifteen places each, and a key can stand in one set only: the
//! one that its hash says. A key without a place takes that of the bucket in its set that will be
//! full soonest. Mostly that bucket is full already, so that nothing is lost: the answers are
//! exactly those of a table without end. Where all fifteen are in use, the newcomer begins not
//! with a full bucket but with what was left in the one it displaces.
//!
//! That is the rule of the space-saving algorithm (Metwally, Agrawal, El Abbadi 2005), and it
//! keeps what matters whatever arrives:
//!
//! - *No key ever gets more than its rate and burst.* The moments in a set only move forward, so
//!   the soonest one does, too. A key was displaced as the soonest; when it comes back it begins
//!   with the soonest of that time, which lies no earlier than its own.
//! - *Noise does not drive out the busy.* A key near its limit has the latest moment of its set
//!   and is displaced last. Even then its successor inherits the bucket, and so does the key itself
//!   when it returns: a flood can never refill anybody's bucket.
//! - *Who keeps within the rate is refused only where a set has no idle place*, and then only once
//!   the least used of its fifteen buckets is empty as well. [`Table::displaced`] counts how often
//!   anything but an idle bucket was displaced; while it stays at zero, every answer was exact.
//!   Where a quarter of the places are in use, one set in a million has no idle one; where half
//!   are, one in two hundred (Poisson's distribution).
//!
//! A set is four cache lines. A lock of its own guards each for some ten nanoseconds, so that
//! threads meet only where they ask about the same keys.

use parking_lot::Mutex;

use super::super::key::Key;
use super::super::moment::Moment;
use super::bucket::{Decision, Quota};

/// Fifteen keys of 8 bytes, their buckets, a count and the lock fill four cache lines.
const WAYS: usize = 15;

#[repr(align(64))]
struct Set(Mutex<Places>);

const _: () = assert!(size_of::<Set>() == 256);

/// A key of zero, which a key may have as well, stands in an unused place; so does a bucket that
/// is full since the start, and then both are the same.
#[derive(Default)]
struct Places {
    keys: [u64; WAYS],
    full_at: [Moment; WAYS],
    displaced: u64,
}

/// The buckets of a limit.
pub struct Table {
    sets: Box<[Set]>,
    quota: Quota,
}

impl Table {
    /// A table for this many keys in use at once.
    pub(super) fn new(quota: Quota, keys: usize) -> Self {
        let sets = keys.div_ceil(WAYS).max(1);
        Self { sets: std::iter::repeat_with(|| Set(Mutex::default())).take(sets).collect(), quota }
    }

    /// Asks the bucket of `key` for a token.
    pub(super) fn ask(&self, key: Key, now: Moment) -> Decision {
        let mut places = self.sets[key.place(self.sets.len())].0.lock();
        let found = places.keys.iter().position(|known| *known == key.0);
        let place = found.unwrap_or_else(|| soonest(&places.full_at));
        let before = places.full_at[place];
        let mut full_at = before;
        let decision = self.quota.ask(&mut full_at, now);
        // A newcomer that is refused displaces nobody.
        if decision.admitted {
            if found.is_none() {
                places.keys[place] = key.0;
                places.displaced += u64::from(before > now);
            }
            places.full_at[place] = full_at;
        }
        decision
    }

    /// How often a key took the place of another whose bucket was not full: since then, answers
    /// may be stricter than the rate, and never laxer. If it grows, the limit needs more keys.
    pub fn displaced(&self) -> u64 {
        self.sets.iter().map(|set| set.0.lock().displaced).sum()
    }

    /// The memory that it takes, in bytes, whatever arrives.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.sets)
    }
}

fn soonest(full_at: &[Moment; WAYS]) -> usize {
    let mut soonest = 0;
    for place in 1..WAYS {
        if full_at[place] < full_at[soonest] {
            soonest = place;
        }
    }
    soonest
}
