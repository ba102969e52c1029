//! A set of places in memory for addresses with failures or bans.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::record::Record;
use super::rules::OffenderRules;
use crate::limits::{AddressKey, Moment};

/// The places of a set.
pub(super) const WAYS: usize = 7;

/// The slots are written under the lock and read without it.
#[derive(Default)]
#[repr(align(64))]
pub(super) struct OffenderSet {
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
    /// The end of the ban of an address, if it is banned.
    pub fn banned(&self, key: AddressKey, now: Moment) -> Option<Moment> {
        let is_of = |slot: &&Slot| slot.key.load(Ordering::Acquire) == key.bits();
        let slot = self.slots.iter().find(is_of)?;
        let until = slot.until();
        // The slot may have been assigned to another address between the two loads.
        (until > now && is_of(&slot)).then_some(until)
    }

    /// Counts a failure. Returns the end and the number of the ban if it caused one.
    pub fn failed(&self, key: AddressKey, rules: &OffenderRules, now: Moment) -> Option<(Moment, u8)> {
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
        *record = Record::banned(strikes);
        let until = now.after(rules.length(strikes));
        slot.until.store(until.nanoseconds(), Ordering::Release);
        Some((until, strikes))
    }

    /// Bans an address until then. `None` if it is banned for longer, or if there is no room.
    pub fn impose(
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
        *record = Record::banned(strikes);
        slot.until.store(until.nanoseconds(), Ordering::Release);
        Some(())
    }

    /// Removes one failure of the address.
    pub fn accepted(&self, key: AddressKey, rules: &OffenderRules, now: Moment) {
        if self.place(key).is_some() {
            let mut records = self.records.lock();
            if let Some(index) = self.place(key) {
                records[index].take_back(rules, now);
            }
        }
    }

    /// Forgets the addresses that are meant. Returns how many of them were listed.
    pub fn clear(&self, is_meant: impl Fn(u64) -> bool, rules: &OffenderRules, now: Moment) -> usize {
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

    /// The addresses with bans that are not forgotten: the address, the end of its last ban, and the number of
    /// its bans.
    pub fn list(&self, rules: &OffenderRules, now: Moment) -> Vec<(AddressKey, Moment, u8)> {
        let records = self.records.lock();
        let slots = self.slots.iter().zip(&*records).map(|(slot, record)| {
            let until = slot.until();
            let key = AddressKey::from_bits(slot.key.load(Ordering::Relaxed));
            (key, until, record.strikes_left(until, rules, now))
        });
        slots.filter(|(_, _, strikes)| *strikes > 0).collect()
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
