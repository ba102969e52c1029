//! What a table of buckets has not yet told to other nodes.
//!
//! The tokens of each key are counted, and a bit for each set tells where there are any. Everything is written
//! under the lock of the set, which a request holds anyway.
//!
//! Every key that spent something is told, however little: a device that keeps to its rate at each of several
//! nodes leaves all their buckets nearly full.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::super::key::TableKey;
use super::super::moment::Moment;
use super::table::WAYS;

/// A bucket that nodes share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedBucket {
    /// The bucket of an address, device or token.
    Key(TableKey),
    /// The bucket of a route or origin, by position, or the bucket in total.
    Named(usize),
}

/// What one node has spent of a bucket since it told last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// The time in which the tokens fill that were spent.
    pub spent: Duration,
    /// The time since the node told last, at least.
    pub window: Duration,
    /// The time until the node's own bucket is full.
    pub missing: Duration,
}

/// The counts of a table: 4 bytes for each key.
pub(super) struct Untold {
    tokens: Box<[[AtomicU32; WAYS]]>,
    /// A bit for each set with a count.
    marks: Box<[AtomicU64]>,
    rounds: Mutex<Rounds>,
}

/// How far the tellings have come.
#[derive(Default)]
struct Rounds {
    /// The next set to look at.
    next: usize,
    /// When the present pass over all sets began.
    began: Moment,
    /// When the pass before it began.
    before: Moment,
}

impl Untold {
    pub fn new(sets: usize) -> Self {
        Self {
            tokens: std::iter::repeat_with(Default::default).take(sets).collect(),
            marks: std::iter::repeat_with(AtomicU64::default).take(sets.div_ceil(64)).collect(),
            rounds: Mutex::new(Rounds { next: sets, ..Rounds::default() }),
        }
    }

    /// Counts a token. `is_new` tells that the place had another key before, whose count is lost with it.
    pub fn count(&self, set: usize, place: usize, is_new: bool) {
        let count = &self.tokens[set][place];
        let before = if is_new { 0 } else { count.load(Ordering::Relaxed) };
        // The lock of the set makes this one step.
        count.store(before.saturating_add(1), Ordering::Relaxed);
        let (mark, bit) = (&self.marks[set / 64], 1 << (set % 64));
        if mark.load(Ordering::Relaxed) & bit == 0 {
            mark.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// The tokens of a key.
    pub fn tokens(&self, set: usize, place: usize) -> u32 {
        self.tokens[set][place].load(Ordering::Relaxed)
    }

    /// The places of a set with tokens, and how many. The counts start at zero again. The caller holds the lock of the set.
    pub fn take(&self, set: usize) -> impl Iterator<Item = (usize, u32)> {
        self.marks[set / 64].fetch_and(!(1 << (set % 64)), Ordering::Relaxed);
        let places = self.tokens[set].iter().enumerate();
        places
            .map(|(place, tokens)| (place, tokens.swap(0, Ordering::Relaxed)))
            .filter(|(_, tokens)| *tokens > 0)
    }

    /// Begins a round at the set where the last one has ended.
    pub fn begin(&self, now: Moment) -> Round<'_> {
        let mut rounds = self.rounds.lock();
        if rounds.next >= self.tokens.len() {
            *rounds = Rounds { next: 0, began: now, before: rounds.began };
        }
        Round { marks: &self.marks, window: rounds.before.until(now), rounds }
    }

    pub fn bytes(&self) -> usize {
        size_of_val(&*self.tokens) + size_of_val(&*self.marks)
    }
}

/// One telling. It ends with the last set; what finds no room is told in the next one.
pub(super) struct Round<'u> {
    marks: &'u [AtomicU64],
    rounds: MutexGuard<'u, Rounds>,
    window: Duration,
}

impl Round<'_> {
    /// The longest time since a key was told about: since the beginning of the pass before.
    pub fn window(&self) -> Duration {
        self.window
    }

    /// The next set with something to tell.
    pub fn next(&mut self) -> Option<usize> {
        while let Some(mark) = self.marks.get(self.rounds.next / 64) {
            let word = self.rounds.next / 64;
            let left = mark.load(Ordering::Relaxed) & (u64::MAX << (self.rounds.next % 64));
            if left != 0 {
                let set = word * 64 + left.trailing_zeros() as usize;
                self.rounds.next = set + 1;
                return Some(set);
            }
            self.rounds.next = (word + 1) * 64;
        }
        None
    }
}
