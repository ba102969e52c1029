//! Sets of addresses: sorted ranges that do not touch, found by halving.
//!
//! A hundred thousand ranges take seventeen steps, so that what a lookup costs hardly depends on
//! their number; `docs/limits.md` has the figures, beside those of a trie. Each range takes 8 bytes
//! (IPv4) or 32 bytes (IPv6) of memory.

use core::net::IpAddr;
use core::ops::ControlFlow;

use super::address_range::Bounds;
use super::{AddressRange, AddressRangeError};

/// A set of addresses. It never changes; ranges that overlap or touch are one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressSet {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

/// What is wrong with a line of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineFault {
    /// Counted from 1.
    pub line: usize,
    /// The text that is no range.
    pub text: Box<str>,
    /// What is wrong with it.
    pub error: AddressRangeError,
}

/// The ranges of a list: one in each line, `#` begins a comment, blanks and empty lines count for
/// nothing. `fault` hears of each bad line and may stop the reading.
pub fn read_ranges(text: &str, mut fault: impl FnMut(LineFault) -> ControlFlow<()>) -> Vec<AddressRange> {
    let mut ranges = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let range = line.split('#').next().unwrap_or_default().trim();
        if range.is_empty() {
            continue;
        }
        match range.parse() {
            Ok(range) => ranges.push(range),
            Err(error) => {
                if fault(LineFault { line: index + 1, text: range.into(), error }).is_break() {
                    break;
                }
            }
        }
    }
    ranges
}

impl AddressSet {
    /// Whether an address is in the set. An IPv4 address written as IPv6 is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => holds(&self.v4, address.to_bits()),
            IpAddr::V6(address) => holds(&self.v6, address.to_bits()),
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// How many ranges are left after merging.
    pub fn ranges(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// The memory that it takes, in bytes.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.v4) + size_of_val(&*self.v6)
    }
}

impl FromIterator<AddressRange> for AddressSet {
    fn from_iter<I: IntoIterator<Item = AddressRange>>(ranges: I) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for range in ranges {
            match range.bounds() {
                Bounds::V4(first, last) => v4.push((first, last)),
                Bounds::V6(first, last) => v6.push((first, last)),
            }
        }
        Self { v4: merged(v4, |last| last.checked_add(1)), v6: merged(v6, |last| last.checked_add(1)) }
    }
}

/// Sorted and without overlaps. `next` is the address behind one, if there is any.
fn merged<A: Copy + Ord>(mut ranges: Vec<(A, A)>, next: impl Fn(A) -> Option<A>) -> Box<[(A, A)]> {
    ranges.sort_unstable();
    let mut merged: Vec<(A, A)> = Vec::new();
    for (first, last) in ranges {
        match merged.last_mut() {
            Some((_, end)) if next(*end).is_none_or(|next| first <= next) => *end = last.max(*end),
            _ => merged.push((first, last)),
        }
    }
    merged.into()
}

fn holds<A: Copy + Ord>(ranges: &[(A, A)], address: A) -> bool {
    let behind = ranges.partition_point(|(first, _)| *first <= address);
    behind.checked_sub(1).is_some_and(|index| address <= ranges[index].1)
}
