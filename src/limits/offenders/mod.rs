//! Bans of addresses whose requests keep failing verification.
//!
//! Failures are counted in a sliding window of eight slices. Fewer failures than the limit within the
//! window never lead to a ban; as many failures within seven eighths of the window always do. An
//! accepted request removes one failure, so that one manipulated phone does not lock out the others
//! behind a shared address. Each ban is twice as long as the last one, up to a maximum. For each such
//! maximum without a new ban, one ban is forgotten.
//!
//! Memory is fixed: sets of seven places, as in the table of a rate limit. A banned address keeps its
//! place until the ban ends. Of the others, the address with the fewest bans, then the fewest failures,
//! then the oldest failure is replaced. Therefore many addresses with one failure each replace one
//! another, but not an address that is banned or close to it.
//!
//! Every new connection asks whether its address is banned. This takes no lock.

mod record;
mod rules;
mod set;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::decree::Decrees;
use super::{AddressKey, AddressRange, AddressSet, Decree, Ipv6Prefix, KeyHasher, Moment};

pub use rules::OffenderRules;
use set::{OffenderSet, WAYS};

/// Failures and bans of addresses, shared by all workers.
pub struct Offenders {
    rules: OffenderRules,
    prefix: Ipv6Prefix,
    exempt: Arc<AddressSet>,
    records: Arc<Records>,
}

/// An address that is or was banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offender {
    /// The address, or the IPv6 network.
    pub range: AddressRange,
    /// The end of the last ban.
    pub until: Moment,
    /// The number of bans that are not yet forgotten.
    pub strikes: u8,
}

impl Offenders {
    /// Bans addresses by these rules, except those of `exempt`. Keeps the failures and bans of `previous`
    /// if its rules are the same.
    pub fn new(
        rules: OffenderRules,
        prefix: Ipv6Prefix,
        exempt: Arc<AddressSet>,
        hasher: KeyHasher,
        previous: Option<&Offenders>,
    ) -> Self {
        let previous = previous.filter(|previous| previous.rules == rules && previous.prefix == prefix);
        let records = previous.map(|previous| previous.records.clone());
        let records = records.unwrap_or_else(|| Arc::new(Records::new(rules.keys, hasher)));
        Self { rules, prefix, exempt, records }
    }

    /// The end of the ban of an address; `None` if the address is not banned.
    pub fn banned(&self, address: IpAddr, now: Moment) -> Option<Moment> {
        // Usually no address is banned.
        if self.records.last_end.load(Ordering::Relaxed) <= now.nanoseconds() {
            return None;
        }
        let key = AddressKey::new(address, self.prefix);
        let until = self.records.set(key).banned(key, now)?;
        // Another address of the network may have failed, or a reload may have exempted the address.
        (!self.exempt.contains(address)).then_some(until)
    }

    /// Counts a failed verification. Returns the end of the ban if this failure caused one.
    pub fn failed(&self, address: IpAddr, now: Moment) -> Option<Moment> {
        if self.exempt.contains(address) {
            return None;
        }
        let key = AddressKey::new(address, self.prefix);
        let (until, strikes) = self.records.set(key).failed(key, &self.rules, now)?;
        self.records.last_end.fetch_max(until.nanoseconds(), Ordering::Relaxed);
        self.records.decrees.push(Decree::Ban { address: key, until, strikes });
        Some(until)
    }

    /// Whether this node has decided something that other nodes do not know.
    pub fn has_decrees(&self) -> bool {
        !self.records.decrees.is_empty()
    }

    /// What this node has decided since the last call, in order.
    pub fn take_decrees(&self) -> Vec<Decree> {
        self.records.decrees.take()
    }

    /// Follows another node, as far as the rules of this one allow it: exempt addresses are not banned, and no
    /// ban is longer than the longest one here. Returns the end of the ban if there is a new one.
    pub fn follow(&self, decree: Decree, now: Moment) -> Option<Moment> {
        match decree {
            Decree::Forgive(None) => {
                self.forget_all(now);
                None
            }
            Decree::Forgive(Some(key)) => {
                self.forget(key, now);
                None
            }
            Decree::Ban { address: key, until, strikes } => {
                let until = until.min(now.after(self.rules.max_ban));
                if until <= now || self.exempt.contains(key.first()) {
                    return None;
                }
                self.records.set(key).impose(key, until, strikes, &self.rules, now)?;
                self.records.last_end.fetch_max(until.nanoseconds(), Ordering::Relaxed);
                Some(until)
            }
        }
    }

    /// Removes one failure of the address, if it has any.
    pub fn accepted(&self, address: IpAddr, now: Moment) {
        let key = AddressKey::new(address, self.prefix);
        self.records.set(key).accepted(key, &self.rules, now);
    }

    /// All addresses with bans that are not forgotten. The one whose ban ends last comes first.
    pub fn list(&self, now: Moment) -> Vec<Offender> {
        let sets = self.records.sets.iter();
        let banned = sets.flat_map(|set| set.list(&self.rules, now));
        let offenders =
            banned.map(|(key, until, strikes)| Offender { range: key.range(self.prefix), until, strikes });
        let mut list: Vec<_> = offenders.collect();
        list.sort_by_key(|offender| std::cmp::Reverse(offender.until));
        list
    }

    /// Forgets an address and its IPv6 network. Returns whether [`Offenders::list`] had it.
    pub fn clear(&self, address: IpAddr, now: Moment) -> bool {
        let key = AddressKey::new(address, self.prefix);
        self.records.decrees.push(Decree::Forgive(Some(key)));
        self.forget(key, now) > 0
    }

    /// Forgets all addresses. Returns how many [`Offenders::list`] had.
    pub fn clear_all(&self, now: Moment) -> usize {
        self.records.decrees.push(Decree::Forgive(None));
        self.forget_all(now)
    }

    fn forget(&self, key: AddressKey, now: Moment) -> usize {
        self.records.set(key).clear(|slot| slot == key.bits(), &self.rules, now)
    }

    fn forget_all(&self, now: Moment) -> usize {
        self.records.sets.iter().map(|set| set.clear(|_| true, &self.rules, now)).sum()
    }

    /// The memory of all records in bytes. It never changes.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.records.sets)
    }
}

struct Records {
    sets: Box<[OffenderSet]>,
    hasher: KeyHasher,
    /// The latest end of all bans, in nanoseconds.
    last_end: AtomicU64,
    decrees: Decrees,
}

impl Records {
    fn new(keys: usize, hasher: KeyHasher) -> Self {
        let sets = std::iter::repeat_with(OffenderSet::default).take(keys.div_ceil(WAYS).max(1)).collect();
        Self { sets, hasher, last_end: AtomicU64::new(0), decrees: Decrees::default() }
    }

    fn set(&self, key: AddressKey) -> &OffenderSet {
        &self.sets[self.hasher.address(key).place(self.sets.len())]
    }
}
