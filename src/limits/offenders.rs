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

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::decree::Decrees;
use super::moment::nanoseconds;
use super::{AddressKey, AddressRange, AddressSet, Decree, Ipv6Prefix, KeyHasher, Moment};

const WAYS: usize = 7;
const SLICES: usize = 8;

/// When an address is banned, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffenderRules {
    /// The number of failed verifications that leads to a ban.
    pub failures: u16,
    /// The length of the window in which they are counted.
    pub within: Duration,
    /// The length of the first ban.
    pub ban: Duration,
    /// The greatest length of a ban, and the time after which one ban is forgotten.
    pub max_ban: Duration,
    /// The number of addresses in memory: about 55 bytes for each.
    pub keys: usize,
}

impl Default for OffenderRules {
    fn default() -> Self {
        Self {
            failures: 120,
            within: Duration::from_secs(60),
            ban: Duration::from_secs(60),
            max_ban: Duration::from_secs(60 * 60),
            keys: 65_536,
        }
    }
}

impl OffenderRules {
    /// The length of the ban with this number; the first one is 1.
    fn length(&self, strikes: u8) -> Duration {
        let doubled = 1_u32.checked_shl(u32::from(strikes.saturating_sub(1))).unwrap_or(u32::MAX);
        self.ban.saturating_mul(doubled).min(self.max_ban)
    }
}

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
        let mut list = Vec::new();
        for set in &self.records.sets {
            let records = set.records.lock();
            for (slot, record) in set.slots.iter().zip(&*records) {
                let until = slot.until();
                let strikes = record.strikes_left(until, &self.rules, now);
                if strikes > 0 {
                    let range = AddressKey::from_bits(slot.key.load(Ordering::Relaxed)).range(self.prefix);
                    list.push(Offender { range, until, strikes });
                }
            }
        }
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

/// The slots are written under the lock and read without it.
#[derive(Default)]
#[repr(align(64))]
struct OffenderSet {
    slots: [Slot; WAYS],
    records: Mutex<[Record; WAYS]>,
}

/// An address and the end of its ban. An unused slot has zeros and stands for an address that was
/// never banned.
#[derive(Default)]
struct Slot {
    key: AtomicU64,
    until: AtomicU64,
}

impl Slot {
    fn until(&self) -> Moment {
        Moment::from_nanoseconds(self.until.load(Ordering::Acquire))
    }

    /// Assigns the slot to another address. A concurrent reader sees no ban, or a ban with the address
    /// that it belongs to, because each store becomes visible before the next one.
    fn assign(&self, key: u64) {
        self.until.store(0, Ordering::Release);
        self.key.store(key, Ordering::Release);
    }
}

impl OffenderSet {
    fn banned(&self, key: AddressKey, now: Moment) -> Option<Moment> {
        let is_of = |slot: &&Slot| slot.key.load(Ordering::Acquire) == key.bits();
        let slot = self.slots.iter().find(is_of)?;
        let until = slot.until();
        // The slot may have been assigned to another address between the two loads.
        (until > now && is_of(&slot)).then_some(until)
    }

    /// Counts a failure. Returns the end and the number of the ban if it caused one.
    fn failed(&self, key: AddressKey, rules: &OffenderRules, now: Moment) -> Option<(Moment, u8)> {
        let mut records = self.records.lock();
        let index = self.place(key).or_else(|| self.make_room(key, &mut records, rules, now))?;
        let (slot, record) = (&self.slots[index], &mut records[index]);
        if slot.until() > now {
            return None;
        }
        if record.count(rules, now) < u32::from(rules.failures) {
            return None;
        }
        let strikes = record.strikes_left(slot.until(), rules, now).saturating_add(1);
        *record = Record { strikes, ..Record::default() };
        let until = now.after(rules.length(strikes));
        slot.until.store(until.nanoseconds(), Ordering::Release);
        Some((until, strikes))
    }

    /// Bans an address until then. `None` if it is banned for longer, or if there is no room.
    fn impose(
        &self,
        key: AddressKey,
        until: Moment,
        strikes: u8,
        rules: &OffenderRules,
        now: Moment,
    ) -> Option<()> {
        let mut records = self.records.lock();
        let index = self.place(key).or_else(|| self.make_room(key, &mut records, rules, now))?;
        let (slot, record) = (&self.slots[index], &mut records[index]);
        if slot.until() >= until {
            return None;
        }
        let strikes = record.strikes_left(slot.until(), rules, now).max(strikes);
        *record = Record { strikes, ..Record::default() };
        slot.until.store(until.nanoseconds(), Ordering::Release);
        Some(())
    }

    fn accepted(&self, key: AddressKey, rules: &OffenderRules, now: Moment) {
        if self.place(key).is_some() {
            let mut records = self.records.lock();
            if let Some(index) = self.place(key) {
                records[index].take_back(rules, now);
            }
        }
    }

    fn clear(&self, is_meant: impl Fn(u64) -> bool, rules: &OffenderRules, now: Moment) -> usize {
        let mut records = self.records.lock();
        let mut listed = 0;
        for (slot, record) in self.slots.iter().zip(&mut *records) {
            if is_meant(slot.key.load(Ordering::Relaxed)) {
                listed += usize::from(record.strikes_left(slot.until(), rules, now) > 0);
                slot.assign(0);
                *record = Record::default();
            }
        }
        listed
    }

    fn place(&self, key: AddressKey) -> Option<usize> {
        self.slots.iter().position(|slot| slot.key.load(Ordering::Acquire) == key.bits())
    }

    /// Frees the least important place; `None` if all addresses of the set are banned.
    fn make_room(
        &self,
        key: AddressKey,
        records: &mut [Record; WAYS],
        rules: &OffenderRules,
        now: Moment,
    ) -> Option<usize> {
        let worth = |index: &usize| {
            let (record, until) = (&records[*index], self.slots[*index].until());
            (until > now, record.strikes_left(until, rules, now), record.total(rules, now), record.newest)
        };
        let index = (0..WAYS).min_by_key(worth)?;
        if self.slots[index].until() > now {
            return None;
        }
        self.slots[index].assign(key.bits());
        records[index] = Record::default();
        Some(index)
    }
}

/// The failures and bans of an address.
#[derive(Clone, Copy, Default)]
struct Record {
    /// The number of the newest slice with a failure. The number is the time divided by the length of a
    /// slice.
    newest: u64,
    /// The failures of the newest slice and the seven before it, by slice number modulo eight.
    slices: [u16; SLICES],
    /// The number of bans, including those that are forgotten by now.
    strikes: u8,
}

impl Record {
    /// Counts a failure and returns the failures in the window.
    fn count(&mut self, rules: &OffenderRules, now: Moment) -> u32 {
        self.advance(slice(rules, now));
        let newest = &mut self.slices[self.newest as usize % SLICES];
        *newest = newest.saturating_add(1);
        self.slices.iter().copied().map(u32::from).sum()
    }

    /// Removes the newest failure in the window.
    fn take_back(&mut self, rules: &OffenderRules, now: Moment) {
        self.advance(slice(rules, now));
        for age in 0..SLICES {
            let slice = &mut self.slices[(self.newest as usize).wrapping_sub(age) % SLICES];
            if *slice > 0 {
                *slice -= 1;
                return;
            }
        }
    }

    /// The number of failures in the window.
    fn total(mut self, rules: &OffenderRules, now: Moment) -> u32 {
        self.advance(slice(rules, now));
        self.slices.iter().copied().map(u32::from).sum()
    }

    /// Removes failures that are older than the window ending with slice `number`.
    fn advance(&mut self, number: u64) {
        for passed in 1..=number.saturating_sub(self.newest).min(SLICES as u64) {
            self.slices[self.newest.wrapping_add(passed) as usize % SLICES] = 0;
        }
        self.newest = self.newest.max(number);
    }

    /// The number of bans that are not forgotten, if the last one ends at `until`.
    fn strikes_left(&self, until: Moment, rules: &OffenderRules, now: Moment) -> u8 {
        let peace = until.until(now).as_nanos() / rules.max_ban.as_nanos().max(1);
        self.strikes.saturating_sub(u8::try_from(peace).unwrap_or(u8::MAX))
    }
}

fn slice(rules: &OffenderRules, now: Moment) -> u64 {
    now.nanoseconds() / (nanoseconds(rules.within) / SLICES as u64).max(1)
}
