//! Any text as a list of address ranges: each line is read or reported, and an address is in the set
//! exactly if it is in one of the ranges.
//!
//! The first line of an input has addresses to look for, with blanks between them; the rest is the list.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::ControlFlow;

use approov_gateway::limits::{AddressRange, AddressRangeError, AddressSet, read_ranges};

use super::ranges::{bits, is_in};

/// A network and the length of its prefix.
type Range = (IpAddr, usize);

/// Ranges that stand beside those of every input, so that there are many.
const CROWD: u8 = 150;

/// See the module.
///
/// # Panics
/// When it does not hold.
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
            // No IPv6 network has IPv4 addresses, however they are written.
            let is_mapped = address != address.to_canonical();
            assert!(is_mapped || AddressSet::from_iter([meant]).contains(address));
        }
    }
    for range in &ranges {
        assert_eq!(range.to_string().parse(), Ok(*range));
    }

    let ends = good.iter().flat_map(|(network, length)| around(*network, *length));
    let wanted: Vec<IpAddr> = wanted.split(' ').filter_map(|text| text.parse().ok()).chain(ends).collect();
    let crowd = || (0..CROWD).map(|third| (IpAddr::from([198, 18, third, 0]), 25));
    for all in [good.clone(), good.iter().copied().chain(crowd()).collect()] {
        let set: AddressSet = all.iter().map(made).collect();
        let is_one = |address: IpAddr| all.iter().any(|(network, length)| is_in(address, *network, *length));
        for address in &wanted {
            assert_eq!(set.contains(*address), is_one(*address), "{address}");
        }
        assert_eq!(set.is_empty(), all.is_empty());
        assert_eq!(set.ranges(), stretches(&all));
    }
}

/// How many there are without a gap: each begins where a range begins behind an address of none.
fn stretches(ranges: &[Range]) -> usize {
    let is_one = |number: &str| {
        ranges.iter().any(|(network, length)| {
            let network = bits(*network);
            network.len() == number.len() && network[..*length] == number[..*length]
        })
    };
    let firsts: BTreeSet<String> = ranges.iter().map(|(network, _)| bits(*network)).collect();
    firsts.iter().filter(|first| !number_before(first).is_some_and(|before| is_one(&before))).count()
}

/// The number before, in as many bits; none before zero.
fn number_before(bits: &str) -> Option<String> {
    let at = bits.rfind('1')?;
    Some(format!("{}0{}", &bits[..at], "1".repeat(bits.len() - at - 1)))
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
        return Some((address.to_canonical(), bits(address).len()));
    };
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length =
        (0..=most).find(|length| [1, 2, 3].into_iter().any(|width| format!("{length:0width$}") == digits))?;
    // In its IPv6 form, the first 96 bits of an IPv4 address are always the same.
    match (address, address.to_canonical()) {
        (IpAddr::V6(_), IpAddr::V4(canonical)) if length >= 96 => has_no_more(canonical.into(), length - 96),
        (IpAddr::V6(_), IpAddr::V4(_)) => None,
        (address, _) => has_no_more(address, length),
    }
}

/// The range, if no bit behind its length is set.
fn has_no_more(network: IpAddr, length: usize) -> Option<Range> {
    (!bits(network)[length..].contains('1')).then_some((network, length))
}

/// The first and the last address of a range, and those beyond.
fn around(network: IpAddr, length: usize) -> Vec<IpAddr> {
    let first = bits(network);
    let last = format!("{}{}", &first[..length], "1".repeat(first.len() - length));
    let last = address(&last);
    [Some(network), Some(last), before(network), after(last)].into_iter().flatten().collect()
}

fn address(bits: &str) -> IpAddr {
    match bits.len() {
        32 => IpAddr::V4(u32::from_str_radix(bits, 2).expect("32 bits").into()),
        _ => IpAddr::V6(u128::from_str_radix(bits, 2).expect("128 bits").into()),
    }
}

fn before(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => Some(IpAddr::V4(address.to_bits().checked_sub(1)?.into())),
        IpAddr::V6(address) => Some(IpAddr::V6(address.to_bits().checked_sub(1)?.into())),
    }
}

fn after(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => Some(IpAddr::V4(address.to_bits().checked_add(1)?.into())),
        IpAddr::V6(address) => Some(IpAddr::V6(address.to_bits().checked_add(1)?.into())),
    }
}
