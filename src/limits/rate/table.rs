//! Buckets for any number of keys in a fixed amount of memory.
//!
//! The table is an array of sets of fifteen places. The hash of a key selects its set. A key without a
//! place takes the place of the bucket in its set that will be full first. Usually this bucket is full
//! already, and replacing it loses nothing: the answers are those of an unlimited table. If all fifteen
//! buckets are in use, the new key does not start with a full bucket. It inherits the bucket that it
//! replaces.
//!
//! This is the rule of the space-saving algorithm (Metwally, Agrawal, El Abbadi 2005). It guarantees:
//!
//! - *No key gets more than its rate and burst.* The moments in a set only move forward, and so does the
//!   earliest one. A key is replaced when its moment is the earliest. When the key returns, it inherits
//!   the earliest moment of that time, which is not before its own.
//! - *A flood of new keys does not reset busy keys.* A key near its limit has the latest moment of its
//!   set and is replaced last. Even then the next key inherits its bucket, and so does the key itself
//!   when it returns. A flood cannot refill a bucket.
//! - *A key within its rate is refused only if its set has no full bucket*, and only when the fullest of
//!   the fifteen buckets is empty too. [`Table::displaced`] counts the replaced buckets that were not
//!   full; while it is zero, every answer was exact. If a quarter of the places are in use, one set in a
//!   million has no full bucket; if half are in use, one in two hundred (Poisson distribution).
//!
//! A set takes four cache lines and has its own lock, which is held for about ten nanoseconds. Threads
//! wait for each other only if their keys are in the same set.

use parking_lot::Mutex;

use super::super::key::TableKey;
use super::super::moment::Moment;
use super::bucket::{Decision, Quota};
use super::untold::{SharedBucket, Spent, Untold};

/// Places of a set. Fifteen keys of 8 bytes, their buckets, a count and the lock fill four cache lines.
pub(super) const WAYS: usize = 15;

#[repr(align(64))]
struct BucketSet(Mutex<Places>);

const _: () = assert!(size_of::<BucketSet>() == 256);

/// Unused places have the key zero and a bucket that has been full since the start. This is also the
/// correct state of a real key with the value zero.
#[derive(Default)]
struct Places {
    keys: [u64; WAYS],
    full_at: [Moment; WAYS],
    displaced: u64,
}

/// The buckets of one limit by address, device or token.
pub struct Table {
    sets: Box<[BucketSet]>,
    quota: Quota,
    /// What other nodes are to be told; `None` if there are none.
    untold: Option<Untold>,
}

impl Table {
    /// A table with room for `keys` keys.
    pub(super) fn new(quota: Quota, keys: usize, is_shared: bool) -> Self {
        let sets = keys.div_ceil(WAYS).max(1);
        Self {
            sets: std::iter::repeat_with(|| BucketSet(Mutex::default())).take(sets).collect(),
            quota,
            untold: is_shared.then(|| Untold::new(sets)),
        }
    }

    /// Takes a token from the bucket of `key`.
    pub(super) fn ask(&self, key: TableKey, now: Moment) -> Decision {
        let set = key.place(self.sets.len());
        let mut places = self.sets[set].0.lock();
        let found = places.keys.iter().position(|known| *known == key.0);
        let place = found.unwrap_or_else(|| soonest(&places.full_at));
        let before = places.full_at[place];
        let mut full_at = before;
        let decision = self.quota.ask(&mut full_at, now);
        // A new key that is refused replaces no other key.
        if decision.admitted {
            if found.is_none() {
                places.keys[place] = key.0;
                places.displaced += u64::from(before > now);
            }
            places.full_at[place] = full_at;
            if let Some(untold) = &self.untold {
                untold.count(set, place, found.is_none());
            }
        }
        decision
    }

    /// Appends what other nodes are to be told about at most `most` keys, and some more of the last set. The
    /// counts start at zero again. Keys that found no room come first the next time.
    pub(super) fn take_untold(&self, now: Moment, most: usize, told: &mut Vec<(SharedBucket, Spent)>) {
        let Some(untold) = &self.untold else { return };
        let most = told.len() + most;
        let mut round = untold.begin(now);
        while told.len() < most
            && let Some(set) = round.next()
        {
            // Requests take the lock, so nothing is allocated under it.
            told.reserve(WAYS);
            let places = self.sets[set].0.lock();
            for (place, tokens) in untold.take(set) {
                let spent = Spent {
                    spent: self.quota.time_of(tokens),
                    window: round.window(),
                    missing: now.until(places.full_at[place]),
                };
                told.push((SharedBucket::Key(TableKey(places.keys[place])), spent));
            }
        }
    }

    /// All nodes together have used up the bucket of `key` until `full_at`. Tokens that this node has not told
    /// about come on top.
    pub(super) fn agreed(&self, key: TableKey, full_at: Moment) {
        let Some(untold) = &self.untold else { return };
        let set = key.place(self.sets.len());
        let mut places = self.sets[set].0.lock();
        if let Some(place) = places.keys.iter().position(|known| *known == key.0) {
            let full_at = full_at.after(self.quota.time_of(untold.tokens(set, place)));
            places.full_at[place] = places.full_at[place].max(full_at);
        }
    }

    /// The number of buckets that were replaced before they were full. From then on answers can be
    /// stricter than the rate, but never more lenient. If the number grows, raise `keys`.
    pub fn displaced(&self) -> u64 {
        self.sets.iter().map(|set| set.0.lock().displaced).sum()
    }

    /// The memory of the table in bytes. It never changes.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.sets) + self.untold.as_ref().map_or(0, Untold::bytes)
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
