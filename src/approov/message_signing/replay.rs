//! Signatures that have been accepted, so that each is accepted once.

use std::collections::{BTreeSet, HashMap};

use crate::closed_set::closed_set;

/// Identifies a signature: 16 bytes of a SHA-256.
pub type SignatureId = [u8; 16];

closed_set! {
    /// What happens to a signature that the store has no room to remember.
    #[derive(Default)]
    pub enum WhenFull {
        /// It is accepted and not remembered.
        #[default]
        Accept => "accept",
        /// It is refused as a replay.
        Refuse => "refuse",
    }
}

/// What the store says about a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The signature is new. The store remembers it now.
    First,
    /// The store has seen the signature before.
    Before,
    /// The signature is new, but the store has no room for it.
    Full,
}

/// A bounded set of accepted signatures, each with the second at which it can no longer be good.
#[derive(Debug)]
pub struct ReplayStore {
    most: usize,
    until: HashMap<SignatureId, u64>,
    by_end: BTreeSet<(u64, SignatureId)>,
    /// What other nodes are to be told; `None` if there are none. It never grows beyond its capacity.
    fresh: Option<Vec<u8>>,
}

/// Bytes of one entry in an exported store.
const ENTRY: usize = 16 + 8;

/// Bytes of the entries that wait for other nodes to be told: 20 000 signatures. What comes then stays with this
/// node.
const FRESH: usize = 20_000 * ENTRY;

impl ReplayStore {
    /// An empty store for at most `most` signatures.
    pub fn new(most: usize) -> Self {
        Self { most, until: HashMap::new(), by_end: BTreeSet::new(), fresh: None }
    }

    /// Keeps from now on what [`ReplayStore::see`] remembers, for other nodes.
    pub fn share(&mut self) {
        self.fresh.get_or_insert_with(|| Vec::with_capacity(FRESH));
    }

    /// The entries since the last call, as bytes.
    pub fn take_fresh(&mut self) -> Vec<u8> {
        let Some(fresh) = &mut self.fresh else { return Vec::new() };
        // The list keeps its room, so that a request that adds a signature does not allocate.
        let taken = fresh.clone();
        fresh.clear();
        taken
    }

    /// Changes how many signatures the store holds. Entries that are already there stay.
    pub fn resize(&mut self, most: usize) {
        self.most = most;
    }

    /// Looks a signature up and remembers it. The signature is good until the Unix time `until`, in seconds.
    pub fn see(&mut self, id: SignatureId, until: u64, now: u64) -> Seen {
        let seen = self.remember(id, until, now);
        if let (Seen::First, Some(fresh)) = (seen, &mut self.fresh)
            && fresh.len() + ENTRY <= fresh.capacity()
        {
            fresh.extend(id);
            fresh.extend(until.to_be_bytes());
        }
        seen
    }

    fn remember(&mut self, id: SignatureId, until: u64, now: u64) -> Seen {
        self.forget(now);
        if self.until.contains_key(&id) {
            return Seen::Before;
        }
        if until <= now {
            return Seen::First;
        }
        if self.until.len() >= self.most {
            return Seen::Full;
        }
        self.until.insert(id, until);
        self.by_end.insert((until, id));
        Seen::First
    }

    /// How many signatures are remembered.
    pub fn len(&self) -> usize {
        self.until.len()
    }

    /// Whether no signature is remembered.
    pub fn is_empty(&self) -> bool {
        self.until.is_empty()
    }

    /// The entries as bytes, for the process that takes over.
    pub fn export(&self) -> Vec<u8> {
        let entries = self.by_end.iter();
        entries.flat_map(|(until, id)| id.iter().copied().chain(until.to_be_bytes())).collect()
    }

    /// Adds exported entries that have not expired, as long as there is room.
    pub fn import(&mut self, bytes: &[u8], now: u64) {
        for entry in bytes.chunks_exact(ENTRY) {
            let (id, until) = entry.split_at(16);
            if let (Ok(id), Ok(until)) = (id.try_into(), until.try_into()) {
                self.remember(id, u64::from_be_bytes(until), now);
            }
        }
    }

    fn forget(&mut self, now: u64) {
        while let Some((until, id)) = self.by_end.first().copied()
            && until <= now
        {
            self.by_end.pop_first();
            self.until.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_each_signature_once_until_it_ends() {
        let mut store = ReplayStore::new(10);
        assert_eq!(store.see([1; 16], 100, 50), Seen::First);
        assert_eq!(store.see([1; 16], 100, 99), Seen::Before);
        assert_eq!(store.see([2; 16], 120, 99), Seen::First);
        assert_eq!(store.see([1; 16], 200, 100), Seen::First, "forgotten at its end");
        assert_eq!(store.len(), 2);
    }

    #[test]
    fn a_full_store_takes_no_more_and_makes_room_when_entries_end() {
        let mut store = ReplayStore::new(2);
        assert_eq!(store.see([1; 16], 100, 0), Seen::First);
        assert_eq!(store.see([2; 16], 200, 0), Seen::First);
        assert_eq!(store.see([3; 16], 200, 0), Seen::Full);
        assert_eq!(store.see([2; 16], 200, 0), Seen::Before);
        assert_eq!(store.see([3; 16], 200, 100), Seen::First);
        assert_eq!((store.len(), store.by_end.len()), (2, 2));
    }

    #[test]
    fn other_nodes_are_told_what_was_seen_here_and_nothing_twice() {
        let [mut one, mut two] = [(); 2].map(|()| ReplayStore::new(10));
        one.share();
        two.share();
        one.see([1; 16], 100, 0);
        one.see([1; 16], 100, 0);
        let told = one.take_fresh();
        assert_eq!((told.len(), one.take_fresh().len()), (ENTRY, 0));
        two.import(&told, 0);
        assert_eq!(two.see([1; 16], 100, 0), Seen::Before);
        assert_eq!(two.take_fresh().len(), 0, "what another node has told is not told again");
    }

    #[test]
    fn an_exported_store_goes_on_in_another() {
        let mut store = ReplayStore::new(10);
        store.see([1; 16], 100, 0);
        store.see([2; 16], 200, 0);
        let mut successor = ReplayStore::new(10);
        successor.import(&store.export(), 150);
        assert_eq!(successor.len(), 1);
        assert_eq!(successor.see([2; 16], 200, 150), Seen::Before);
        successor.import(&[0; 23], 150);
        assert_eq!(successor.len(), 1, "half an entry is none");
    }
}
