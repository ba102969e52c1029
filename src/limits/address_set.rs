//! Sets of addresses: sorted ranges that do not touch, with binary search.
//!
//! A lookup among a hundred thousand ranges takes sixteen steps. The first ten look at every 64th
//! address only, which stay in the processor's cache, so the cost hardly depends on the number of
//! ranges. Each range takes 8 bytes (IPv4) or 32 bytes (IPv6), plus 1 %. Comparison with tries:
//! `docs/develop/decisions/0009-address-ranges.md`.

use core::ops::ControlFlow;
use std::net::IpAddr;

use super::address_range::Bounds;
use super::{AddressRange, AddressRangeError};

/// An immutable set of addresses. Ranges that overlap or touch are merged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressSet {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

/// Sorted ranges (first and last address), and the first address of every block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ranges<A> {
    ranges: Box<[(A, A)]>,
    blocks: Box<[A]>,
}

/// The number of ranges in a block.
const BLOCK: usize = 64;

/// A line of a list that is not an address range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineFault {
    /// The number of the line, starting at 1.
    pub line: usize,
    /// The text without comment and blanks.
    pub text: Box<str>,
    /// The reason why the text is rejected.
    pub error: AddressRangeError,
}

/// Reads a list with one range in each line. `#` starts a comment; blanks and empty lines are ignored.
/// `fault` is called for each bad line and can stop the reading.
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
    /// Whether the set contains an address. IPv4 that is written as IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => self.v4.contains(address.to_bits()),
            IpAddr::V6(address) => self.v6.contains(address.to_bits()),
        }
    }

    /// Whether the set contains no address.
    pub fn is_empty(&self) -> bool {
        self.ranges() == 0
    }

    /// The number of ranges after merging.
    pub fn ranges(&self) -> usize {
        self.v4.ranges.len() + self.v6.ranges.len()
    }

    /// The memory of the ranges in bytes.
    pub fn bytes(&self) -> usize {
        self.v4.bytes() + self.v6.bytes()
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
        Self {
            v4: Ranges::new(v4, |last| last.checked_add(1)),
            v6: Ranges::new(v6, |last| last.checked_add(1)),
        }
    }
}

impl<A: Copy + Ord> Ranges<A> {
    /// Sorts and merges ranges. `next` returns the following address, or `None` after the last one.
    fn new(mut ranges: Vec<(A, A)>, next: impl Fn(A) -> Option<A>) -> Self {
        ranges.sort_unstable();
        let mut merged: Vec<(A, A)> = Vec::new();
        for (first, last) in ranges {
            match merged.last_mut() {
                Some((_, end)) if next(*end).is_none_or(|next| first <= next) => *end = last.max(*end),
                _ => merged.push((first, last)),
            }
        }
        let blocks = merged.chunks(BLOCK).filter_map(|block| Some(block.first()?.0)).collect();
        Self { ranges: merged.into(), blocks }
    }

    fn contains(&self, address: A) -> bool {
        let behind = self.blocks.partition_point(|first| *first <= address);
        // Take the last block that begins at or before the address, then the last such range in it.
        let Some(block) = behind.checked_sub(1) else { return false };
        let block = &self.ranges[block * BLOCK..self.ranges.len().min(behind * BLOCK)];
        let behind = block.partition_point(|(first, _)| *first <= address);
        behind.checked_sub(1).is_some_and(|index| address <= block[index].1)
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.ranges) + size_of_val(&*self.blocks)
    }
}
