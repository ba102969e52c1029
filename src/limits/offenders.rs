//! Addresses whose requests keep failing verification, and for how long they are banned.
//!
//! Failures are counted in a sliding window of eight slices. An address is banned only if it failed
//! so often within the window, and at the latest when it failed so often within seven eighths of
//! it. An accepted request takes one failure back: behind an address that many phones share, a
//! single tampered one does not lock the others out. Each ban is twice as long as the one before, up
//! to a maximum; for every such maximum that passes in peace, one ban is forgotten.
//!
//! Memory is fixed: sets of seven places, as in a rate limit's table. Who is banned keeps its place
//! until the ban ends; of the others, the one with the fewest bans, the fewest failures and the
//! longest silence makes room. So many addresses that fail once displace one another, and neither a
//! banned address nor one on its way there.
//!
//! Asking whether an address is banned takes no lock: that is what every new connection does.

use core::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::moment::nanoseconds;
use super::{AddressKey, AddressRange, AddressSet, Ipv6Prefix, KeyHasher, Moment};

const WAYS: usize = 7;
const SLICES: usize = 8;

/// When to ban an address, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffenderRules {
    /// This many failed verifications …
    pub failures: u16,
    /// … in this time lead to a ban.
    pub within: Duration,
    /// How long the first ban lasts.
    pub ban: Duration,
    /// How long a ban lasts at most, and how long it takes to forget one.
    pub max_ban: Duration,
    /// For how many addresses there is memory: about 55 bytes for each.
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
    /// How long the ban with this number lasts, counted from 1.
    fn length(&self, strikes: u8) -> Duration {
        let doubled = 1_u32.checked_shl(u32::from(strikes.saturating_sub(1))).unwrap_or(u32::MAX);
        self.ban.saturating_mul(doubled).min(self.max_ban)
    }
}

/// The offenders, shared by all workers.
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
    /// When the ban ends or ended.
    pub until: Moment,
    /// How many bans are not yet forgotten.
    pub strikes: u8,
}

impl Offenders {
    /// Bans by these rules, but never an address of `exempt`. With the bans and failures of
    /// `previous`, if those came about by the same rules.
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

    /// Until when an address is banned; `None` if it is not.
    pub fn banned(&self, address: IpAddr, now: Moment) -> Option<Moment> {
        // Nobody at all, most of the time.
        if self.records.last_end.load(Ordering::Relaxed) <= now.nanoseconds() {
            return None;
        }
        let key = AddressKey::new(address, self.prefix);
        let until = self.records.set(key).banned(key, now)?;
        // Others of its network may have failed, or the range was allowed only now.
        (!self.exempt.contains(address)).then_some(until)
    }

    /// Counts a failed verification. Says until when the address is banned, if this failure is
    /// why.
    pub fn failed(&self, address: IpAddr, now: Moment) -> Option<Moment> {
        if self.exempt.contains(address) {
            return None;
        }
        let key = AddressKey::new(address, self.prefix);
        let until = self.records.set(key).failed(key, &self.rules, now)?;
        self.records.last_end.fetch_max(until.nanoseconds(), Ordering::Relaxed);
        Some(until)
    }

    /// Takes one failure back, if there is any.
    pub fn accepted(&self, address: IpAddr, now: Moment) {
        let key = AddressKey::new(address, self.prefix);
        self.records.set(key).accepted(key, &self.rules, now);
    }

    /// The addresses that are banned, and those whose bans are not forgotten; the ban that ends
    /// last comes first.
    pub fn list(&self, now: Moment) -> Vec<Offender> {
        let mut list = Vec::new();
        for set in &self.records.sets {
            let records = set.records.lock();
            for (door, record) in set.doors.iter().zip(&*records) {
                let until = door.until();
                let strikes = record.strikes_left(until, &self.rules, now);
                if strikes > 0 {
                    let range = AddressKey::from_bits(door.key.load(Ordering::Relaxed)).range(self.prefix);
                    list.push(Offender { range, until, strikes });
                }
            }
        }
        list.sort_by_key(|offender| std::cmp::Reverse(offender.until));
        list
    }

    /// Forgets all about an address, and with it its IPv6 network. Says whether it was listed.
    pub fn clear(&self, address: IpAddr, now: Moment) -> bool {
        let key = AddressKey::new(address, self.prefix);
        self.records.set(key).clear(|door| door == key.bits(), &self.rules, now) > 0
    }

    /// Forgets all addresses. Says how many were listed.
    pub fn clear_all(&self, now: Moment) -> usize {
        self.records.sets.iter().map(|set| set.clear(|_| true, &self.rules, now)).sum()
    }

    /// The memory that it takes, in bytes, whatever arrives.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.records.sets)
    }
}

struct Records {
    sets: Box<[Set]>,
    hasher: KeyHasher,
    /// When the last of all bans ends.
    last_end: AtomicU64,
}

impl Records {
    fn new(keys: usize, hasher: KeyHasher) -> Self {
        let sets = std::iter::repeat_with(Set::default).take(keys.div_ceil(WAYS).max(1)).collect();
        Self { sets, hasher, last_end: AtomicU64::new(0) }
    }

    fn set(&self, key: AddressKey) -> &Set {
        &self.sets[self.hasher.address(key).place(self.sets.len())]
    }
}

/// Doors are read without the lock and written under it.
#[derive(Default)]
#[repr(align(64))]
struct Set {
    doors: [Door; WAYS],
    records: Mutex<[Record; WAYS]>,
}

/// Who is meant, and until when the door is shut. An unused one has zeros, which is an address
/// like any other that was never banned.
#[derive(Default)]
struct Door {
    key: AtomicU64,
    until: AtomicU64,
}

impl Door {
    fn until(&self) -> Moment {
        Moment::from_nanoseconds(self.until.load(Ordering::Acquire))
    }

    /// Gives the door to another address. Who reads at the same time sees the ban of the one or of
    /// the other under its own key, or none: each store is seen before the next.
    fn give(&self, key: u64) {
        self.until.store(0, Ordering::Release);
        self.key.store(key, Ordering::Release);
    }
}

impl Set {
    fn banned(&self, key: AddressKey, now: Moment) -> Option<Moment> {
        let is_of = |door: &&Door| door.key.load(Ordering::Acquire) == key.bits();
        let door = self.doors.iter().find(is_of)?;
        let until = door.until();
        // The door may have been given away between the two loads.
        (until > now && is_of(&door)).then_some(until)
    }

    fn failed(&self, key: AddressKey, rules: &OffenderRules, now: Moment) -> Option<Moment> {
        let mut records = self.records.lock();
        let index = self.place(key).or_else(|| self.make_room(key, &mut records, rules, now))?;
        let (door, record) = (&self.doors[index], &mut records[index]);
        if door.until() > now {
            return None;
        }
        if record.count(rules, now) < u32::from(rules.failures) {
            return None;
        }
        let strikes = record.strikes_left(door.until(), rules, now).saturating_add(1);
        *record = Record { strikes, ..Record::default() };
        let until = now.after(rules.length(strikes));
        door.until.store(until.nanoseconds(), Ordering::Release);
        Some(until)
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
        for (door, record) in self.doors.iter().zip(&mut *records) {
            if is_meant(door.key.load(Ordering::Relaxed)) {
                listed += usize::from(record.strikes_left(door.until(), rules, now) > 0);
                door.give(0);
                *record = Record::default();
            }
        }
        listed
    }

    fn place(&self, key: AddressKey) -> Option<usize> {
        self.doors.iter().position(|door| door.key.load(Ordering::Acquire) == key.bits())
    }

    /// Gives the least important place away; `None` if all are banned.
    fn make_room(
        &self,
        key: AddressKey,
        records: &mut [Record; WAYS],
        rules: &OffenderRules,
        now: Moment,
    ) -> Option<usize> {
        let worth = |index: &usize| {
            let (record, until) = (&records[*index], self.doors[*index].until());
            (until > now, record.strikes_left(until, rules, now), record.total(rules, now), record.newest)
        };
        let index = (0..WAYS).min_by_key(worth)?;
        if self.doors[index].until() > now {
            return None;
        }
        self.doors[index].give(key.bits());
        records[index] = Record::default();
        Some(index)
    }
}

/// The failures of an address.
#[derive(Clone, Copy, Default)]
struct Record {
    /// The number of the slice with the newest failure; that of a moment is its time divided by a
    /// slice's length.
    newest: u64,
    /// Failures in the newest slice and the seven before it, by slice number modulo eight.
    slices: [u16; SLICES],
    /// Bans, of which some may be forgotten by now.
    strikes: u8,
}

impl Record {
    /// Counts a failure; returns how many the window has.
    fn count(&mut self, rules: &OffenderRules, now: Moment) -> u32 {
        self.advance(slice(rules, now));
        let newest = &mut self.slices[self.newest as usize % SLICES];
        *newest = newest.saturating_add(1);
        self.slices.iter().copied().map(u32::from).sum()
    }

    /// Takes the newest failure back.
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

    /// How many failures the window has.
    fn total(mut self, rules: &OffenderRules, now: Moment) -> u32 {
        self.advance(slice(rules, now));
        self.slices.iter().copied().map(u32::from).sum()
    }

    /// Forgets what is older than the window that ends with the slice `number`.
    fn advance(&mut self, number: u64) {
        for passed in 1..=number.saturating_sub(self.newest).min(SLICES as u64) {
            self.slices[self.newest.wrapping_add(passed) as usize % SLICES] = 0;
        }
        self.newest = self.newest.max(number);
    }

    /// The bans that are not forgotten, when the last one ends or ended at `until`.
    fn strikes_left(&self, until: Moment, rules: &OffenderRules, now: Moment) -> u8 {
        let peace = until.until(now).as_nanos() / rules.max_ban.as_nanos().max(1);
        self.strikes.saturating_sub(u8::try_from(peace).unwrap_or(u8::MAX))
    }
}

fn slice(rules: &OffenderRules, now: Moment) -> u64 {
    now.nanoseconds() / (nanoseconds(rules.within) / SLICES as u64).max(1)
}
