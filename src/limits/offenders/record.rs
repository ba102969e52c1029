//! The failures and bans of one address.

use super::rules::OffenderRules;
use crate::limits::Moment;
use crate::limits::moment::nanoseconds;

/// The slices of the window in which failures are counted.
const SLICES: usize = 8;

/// The failures and bans of an address.
#[derive(Clone, Copy, Default)]
pub(super) struct Record {
    /// The number of the newest slice with a failure. The number is the time divided by the length of a
    /// slice.
    pub newest: u64,
    /// The failures of the newest slice and the seven before it, by slice number modulo eight.
    slices: [u16; SLICES],
    /// The number of bans, including those that are forgotten by now.
    strikes: u8,
}

impl Record {
    /// An address that was just banned, as its ban number `strikes`. It has no failures yet.
    pub fn banned(strikes: u8) -> Self {
        Self { strikes, ..Self::default() }
    }

    /// Counts a failure and returns the failures in the window.
    pub fn count(&mut self, rules: &OffenderRules, now: Moment) -> u32 {
        self.advance(slice(rules, now));
        let newest = &mut self.slices[self.newest as usize % SLICES];
        *newest = newest.saturating_add(1);
        self.slices.iter().copied().map(u32::from).sum()
    }

    /// Removes the newest failure in the window.
    pub fn take_back(&mut self, rules: &OffenderRules, now: Moment) {
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
    pub fn total(mut self, rules: &OffenderRules, now: Moment) -> u32 {
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
    pub fn strikes_left(&self, until: Moment, rules: &OffenderRules, now: Moment) -> u8 {
        let peace = until.until(now).as_nanos() / rules.max_ban.as_nanos().max(1);
        self.strikes.saturating_sub(u8::try_from(peace).unwrap_or(u8::MAX))
    }
}

fn slice(rules: &OffenderRules, now: Moment) -> u64 {
    now.nanoseconds() / (nanoseconds(rules.within) / SLICES as u64).max(1)
}
