//! Property: in any list of address ranges, each line is read or reported, and an address is in the set
//! exactly if it is in one of the ranges.
//!
//! The first line of an input has the addresses to look for, separated by spaces. The rest is the list.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::ControlFlow;

use approov_gateway::limits::{AddressRange, AddressRangeError, AddressSet, read_ranges};

use super::ranges::{Number, is_in, number};

/// A network and its prefix length.
type Range = (IpAddr, usize);

/// Ranges that are added to every input, so that the set is large.
const CROWD: u8 = 80;

/// Checks the property of this module.
///
/// # Panics
/// If the property does not hold.
pub fn holds(data: &[u8]) {
    let Ok(input) = std::str::from_utf8(data) else { return };
    let (wanted, list) = input.split_once('\n').unwrap_or((input, ""));
    let mut bad = Vec::new();
    let ranges = read_ranges(list, |fault| {
        bad.push(fault);
        ControlFlow::Continue(())
    });
    let lines: Vec<(usize, &str)> =
        (1..).zip(list.lines().map(content)).filter(|(_, text)| !text.is_empty()).collect();
    let good: Vec<Range> = lines.iter().filter_map(|(_, text)| range(text)).collect();
    assert_eq!(ranges, good.iter().map(made).collect::<Vec<_>>());
    let no_ranges = lines.iter().filter(|(_, text)| range(text).is_none());
    let no_ranges: Vec<(usize, &str)> = no_ranges.copied().collect();
    assert_eq!(bad.iter().map(|fault| (fault.line, &*fault.text)).collect::<Vec<_>>(), no_ranges);
    for fault in bad {
        if let AddressRangeError::HostBits(meant) = fault.error {
            let (address, _) = fault.text.split_once('/').expect("a length");
            let address: IpAddr = address.parse().expect("an address");
            // An IPv6 network contains no IPv4 address, in any notation.
            let is_mapped = address != address.to_canonical();
            assert!(is_mapped || AddressSet::from_iter([meant]).contains(address));
        }
    }
    for range in &ranges {
        assert_eq!(range.to_string().parse(), Ok(*range));
    }

    let ends = good.iter().flat_map(|(network, length)| around(number(*network), *length));
    let wanted: Vec<IpAddr> = wanted.split(' ').filter_map(|text| text.parse().ok()).chain(ends).collect();
    let crowd = || (0..CROWD).map(|third| (IpAddr::from([198, 18, third, 0]), 25));
    for all in [good.clone(), good.iter().copied().chain(crowd()).collect()] {
        let set: AddressSet = all.iter().map(made).collect();
        let numbers: Vec<(Number, usize)> =
            all.iter().map(|(network, length)| (number(*network), *length)).collect();
        for address in &wanted {
            let is_one = is_in_one(number(*address), &numbers);
            assert_eq!(set.contains(*address), is_one, "{address}");
        }
        assert_eq!(set.is_empty(), all.is_empty());
        assert_eq!(set.ranges(), stretches(&numbers));
    }
}

fn is_in_one(address: Number, ranges: &[(Number, usize)]) -> bool {
    ranges.iter().any(|(network, length)| is_in(address, *network, *length))
}

/// Number of ranges after merging: a merged range begins where the address before it is in no range.
fn stretches(ranges: &[(Number, usize)]) -> usize {
    let firsts: BTreeSet<Number> = ranges.iter().map(|(network, _)| *network).collect();
    let follows_one = |(width, first): Number| {
        first.checked_sub(1).is_some_and(|before| is_in_one((width, before), ranges))
    };
    firsts.into_iter().filter(|first| !follows_one(*first)).count()
}

fn made((network, length): &Range) -> AddressRange {
    AddressRange::around(*network, u8::try_from(*length).expect("128 at most"))
}

/// A line without its comment.
fn content(line: &str) -> &str {
    line.find('#').map_or(line, |at| &line[..at]).trim()
}

fn range(text: &str) -> Option<Range> {
    let Some((address, digits)) = text.split_once('/') else {
        let address: IpAddr = text.parse().ok()?;
        return Some((address.to_canonical(), number(address).0));
    };
    let address: IpAddr = address.parse().ok()?;
    let length: usize = digits.parse().ok()?;
    let is_plain = digits.len() <= 3 && format!("{length:0width$}", width = digits.len()) == digits;
    if !is_plain || length > if address.is_ipv4() { 32 } else { 128 } {
        return None;
    }
    // In IPv6 notation the first 96 bits of every IPv4 address are equal.
    let length = match (address, address.to_canonical()) {
        (IpAddr::V6(_), IpAddr::V4(_)) => length.checked_sub(96)?,
        _ => length,
    };
    let (width, bits) = number(address);
    (bits.trailing_zeros() as usize >= width - length).then_some((address.to_canonical(), length))
}

/// The first and the last address of a range, and the addresses next to them.
fn around((width, first): Number, length: usize) -> Vec<IpAddr> {
    let size = u32::try_from(width - length).ok().and_then(|bits| 1u128.checked_shl(bits)).unwrap_or(0);
    let last = first.wrapping_add(size).wrapping_sub(1);
    let ends = [Some(first), Some(last), first.checked_sub(1), last.checked_add(1)];
    ends.into_iter().flatten().filter_map(|number| address(width, number)).collect()
}

fn address(width: usize, number: u128) -> Option<IpAddr> {
    match width {
        32 => Some(IpAddr::V4(u32::try_from(number).ok()?.into())),
        _ => Some(IpAddr::V6(number.into())),
    }
}
