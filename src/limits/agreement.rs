//! How several nodes agree on one bucket: the arithmetic of the store that they share.
//!
//! A bucket is stored as the moment when it will be full ([`super::RateLimits`]). Each node has a bucket of
//! its own and decides alone. From time to time it tells the store what it has spent, and learns what all
//! nodes have spent together. The store computes with [`agree`]. A Lua script says the same; a test compares
//! the two.
//!
//! Call *exact* a limiter that sees every request that any node admits, at once. What the store keeps is never
//! later than the exact bucket: tokens count as if they had been spent at the earliest moment, and tokens spent
//! before the bucket was last full have filled again. So nothing is refused that the exact limiter would admit.
//! Over burst and rate, `n` nodes admit at most
//!
//! ```text
//! (n - 1) · burst + 2 · n · rate · (sync + round trip) + rate · (sync + patience)
//! ```
//!
//! requests more: each node has a burst of its own, what one node spends is known to another after at most two
//! syncs, and the store counts tokens as early as they can have been spent.
//!
//! All times are microseconds, as a store has no finer clock.

use std::time::Duration;

use super::Spent;

/// What the store keeps of one bucket, by the store's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// When the bucket will be full.
    pub full_at: u64,
    /// When this was written.
    pub written: u64,
    /// The time in which the tokens fill that were spent since the bucket was full for the last time.
    pub used: u64,
}

/// What a node tells of one bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The time in which the tokens fill that were spent since the node told last.
    pub spent: u64,
    /// The longest time since then.
    pub window: u64,
    /// The shortest time until the node's own bucket is full. It counts only if the store has lost the bucket.
    pub missing: u64,
}

impl Told {
    /// What a node tells, usually each `sync`. An answer that takes longer than `patience` is not used, so the
    /// store computes with these times at most so much later.
    ///
    /// A node that could not tell for long tells only what still misses in its own bucket. The store has the
    /// tokens of the other nodes up to now, and the tokens of this node that were filled again long ago would
    /// be counted on top of them.
    pub fn new(spent: Spent, sync: Duration, patience: Duration) -> Self {
        let Spent { mut spent, mut window, missing } = spent;
        let usual = sync.saturating_add(patience);
        if window > usual.saturating_mul(2).saturating_add(sync) {
            (spent, window) = (spent.min(missing), sync);
        }
        let microseconds = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Self {
            spent: microseconds(spent),
            window: microseconds(window.saturating_add(patience)),
            missing: microseconds(missing.saturating_sub(patience)),
        }
    }
}

impl Stored {
    /// The time until the bucket is full. This is what a node learns.
    pub fn missing(self, now: u64) -> u64 {
        self.full_at.saturating_sub(now)
    }

    /// Tokens that were spent at `begin`, which may be in the past.
    fn spend(self, spent: u64, begin: u64) -> Self {
        let Self { full_at, used, .. } = self;
        let (full_at, used) = if full_at <= begin {
            (begin.saturating_add(spent), spent)
        } else if begin >= full_at.saturating_sub(used) {
            (full_at.saturating_add(spent), used.saturating_add(spent))
        } else {
            // As far as the store knows, the bucket was full for a while after `begin`, so some of these tokens
            // have filled again.
            let later = begin.saturating_add(spent).saturating_add(used);
            if later > full_at { (later, later - begin) } else { (full_at, used) }
        };
        Self { full_at, used, ..self }
    }
}

/// What the store keeps after a node has told about a bucket. `most` limits how far ahead the bucket can be,
/// so that a wrong value is forgotten after this time. `now` is the store's clock.
pub fn agree(stored: Option<Stored>, told: Told, most: u64, now: u64) -> Stored {
    let begin = now.saturating_sub(told.window);
    let Stored { full_at, used, .. } = match stored {
        Some(stored) => {
            // A clock that has gone back, because another server has taken over, takes the bucket with it.
            let full_at = stored.full_at.saturating_sub(stored.written.saturating_sub(now));
            Stored { full_at, ..stored }.spend(told.spent, begin)
        }
        // After lost writes the nodes fill the store again.
        None => {
            let of_node = if told.missing > 0 { now.saturating_add(told.missing) } else { 0 };
            let full_at = begin.saturating_add(told.spent).max(of_node);
            Stored { full_at, written: now, used: full_at.saturating_sub(now).max(told.spent) }
        }
    };
    Stored { full_at: full_at.min(now.saturating_add(most)), written: now, used }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000;
    const MOST: u64 = 100_000;

    fn missing(stored: Option<(u64, u64)>, spent: u64, window: u64, missing: u64) -> u64 {
        // All that misses was spent at once.
        let used = |full_at: u64, written| full_at.saturating_sub(written);
        let stored =
            stored.map(|(full_at, written)| Stored { full_at, written, used: used(full_at, written) });
        agree(stored, Told { spent, window, missing }, MOST, NOW).missing(NOW)
    }

    #[test]
    fn a_node_alone_is_never_refused_what_its_own_bucket_admits() {
        assert_eq!(missing(None, 700, 0, 700), 700, "told for the first time");
        assert_eq!(missing(Some((NOW + 200, NOW - 500)), 500, 500, 700), 700);
        assert_eq!(missing(Some((NOW - 400, NOW - 500)), 450, 500, 60), 50, "within the rate");
        assert_eq!(missing(Some((NOW - 900, NOW - 500)), 450, 500, 60), 0, "below the rate");
    }

    #[test]
    fn the_tokens_of_two_nodes_add_up() {
        let first = agree(None, Told { spent: 700, window: 0, missing: 700 }, MOST, NOW);
        let second = agree(Some(first), Told { spent: 600, window: 0, missing: 600 }, MOST, NOW + 100);
        assert_eq!(second.missing(NOW + 100), 1200);
    }

    #[test]
    fn a_store_that_has_lost_a_bucket_gets_it_from_a_node() {
        assert_eq!(missing(None, 10, 500, 900), 900);
        assert_eq!(missing(Some((NOW + 300, NOW)), 10, 0, 900), 310, "and only then");
    }

    #[test]
    fn tokens_fill_again_before_the_others_begin() {
        let stored = Some(Stored { full_at: NOW + 200, written: NOW - 50, used: 300 });
        let after = |spent| agree(stored, Told { spent, window: 500, missing: 0 }, MOST, NOW);
        assert_eq!(after(150).missing(NOW), 200, "full again after 150 of 400");
        assert_eq!(after(450), Stored { full_at: NOW + 250, written: NOW, used: 750 });
    }

    #[test]
    fn a_clock_that_goes_back_moves_no_bucket() {
        let ahead = Stored { full_at: NOW + 3_600_000_700, written: NOW + 3_600_000_000, used: 700 };
        assert_eq!(agree(Some(ahead), Told::default(), MOST, NOW).missing(NOW), 700);
    }

    #[test]
    fn a_wrong_value_is_forgotten_after_the_longest_time() {
        assert_eq!(missing(Some((u64::MAX, 0)), 5, 0, 5), MOST);
        assert_eq!(missing(None, u64::MAX, u64::MAX, u64::MAX), MOST);
    }

    #[test]
    fn a_node_that_was_cut_off_does_not_bring_old_tokens_to_the_others() {
        let [sync, patience, spent, window] = [500, 500, 8_000, 20_000].map(Duration::from_millis);
        let missing = Duration::from_millis(100);
        let told = Told::new(Spent { spent, window, missing }, sync, patience);
        let now = 100 * NOW;
        let of_others = Stored { full_at: now, written: now, used: 50 * NOW };
        assert_eq!(agree(Some(of_others), told, 20 * NOW, now).missing(now), 100_000);
    }

    #[test]
    fn times_are_told_so_that_a_late_answer_is_never_too_strict() {
        let [spent, window, missing] = [300, 500, 200].map(Duration::from_millis);
        let (sync, patience) = (Duration::from_millis(500), Duration::from_millis(150));
        let told = Told::new(Spent { spent, window, missing }, sync, patience);
        assert_eq!(told, Told { spent: 300_000, window: 650_000, missing: 50_000 });
    }
}
