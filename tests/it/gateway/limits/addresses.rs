//! Address sets: they answer like a search through every range.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::ControlFlow;

use approov_gateway::limits::{AddressRange, AddressRangeError, AddressSet, read_ranges};
use proptest::prelude::*;

use super::cases;

fn set(text: &str) -> AddressSet {
    let bad = |fault| panic!("{fault:?}");
    read_ranges(text, bad).into_iter().collect()
}

/// Addresses close to each other, so that ranges overlap and touch.
fn addresses() -> impl Strategy<Value = IpAddr> {
    let bits = prop_oneof![0..64_u32, Just(u32::MAX), (u32::MAX - 40)..=u32::MAX, any::<u32>()];
    prop_oneof![
        bits.clone().prop_map(|bits| Ipv4Addr::from_bits(bits).into()),
        bits.clone().prop_map(|bits| Ipv4Addr::from_bits(bits).to_ipv6_mapped().into()),
        bits.prop_map(|bits| Ipv6Addr::from_bits(u128::from(bits) << 96 | u128::from(bits)).into()),
    ]
}

fn ranges() -> impl Strategy<Value = AddressRange> {
    let length = prop_oneof![0..=128_u8, 24..=32_u8, 118..=128_u8];
    (addresses(), length).prop_map(|(address, length)| AddressRange::around(address, length))
}

/// Whether a range contains an address, compared bit by bit.
fn has(range: &AddressRange, address: IpAddr) -> bool {
    let text = range.to_string();
    let (network, length) = text.split_once('/').unwrap_or((&text, "128"));
    let bits = |address: IpAddr| match address.to_canonical() {
        IpAddr::V4(address) => (4, address.octets().to_vec()),
        IpAddr::V6(address) => (6, address.octets().to_vec()),
    };
    let ((one, network), (other, address)) = (bits(network.parse().expect("an address")), bits(address));
    let length: usize = length.parse().expect("a length");
    let bit = |octets: &[u8], index: usize| octets[index / 8] >> (7 - index % 8) & 1;
    one == other
        && (0..length.min(network.len() * 8)).all(|index| bit(&network, index) == bit(&address, index))
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn a_set_contains_exactly_the_addresses_of_its_ranges(
        ranges in prop::collection::vec(ranges(), 0..30),
        many in 0..300_u32,
        addresses in prop::collection::vec(addresses(), 1..40),
    ) {
        // Many single addresses, so that the set has several blocks.
        let single = |index: u32| AddressRange::around(Ipv4Addr::from_bits(index * 2 + 1).into(), 32);
        let ranges: Vec<_> = ranges.into_iter().chain((0..many).map(single)).collect();
        let set: AddressSet = ranges.iter().copied().collect();
        for address in addresses {
            let expected = ranges.iter().any(|range| has(range, address));
            prop_assert_eq!(set.contains(address), expected, "{} in {:?}", address, ranges);
        }
        prop_assert!(set.ranges() <= ranges.len());
    }

    #[test]
    fn a_range_is_read_as_it_is_printed(range in ranges()) {
        prop_assert_eq!(range.to_string().parse::<AddressRange>(), Ok(range));
    }

    #[test]
    fn reading_a_list_never_panics(text in "[0-9a-f.:/# \n\r\t-]{0,200}") {
        let mut faults = 0;
        let ranges = read_ranges(&text, |_| { faults += 1; ControlFlow::Continue(()) });
        prop_assert!(faults + ranges.len() <= text.lines().count());
    }
}

#[test]
fn ranges_that_overlap_or_touch_are_one() {
    let set = set("10.0.0.0/25\n10.0.0.128/25\n10.0.0.7\n10.0.1.0/24\n10.0.3.0/24\n255.255.255.255\n\
                   2001:db8::/33\n2001:db8:8000::/33\n::ffff:10.0.2.0/120\n");
    assert_eq!(set.ranges(), 3, "{set:?}");
    assert_eq!(set.bytes(), 2 * 8 + 32 + 4 + 16);
    for (address, expected) in [
        ("10.0.0.0", true),
        ("10.0.3.255", true),
        ("9.255.255.255", false),
        ("10.0.4.0", false),
        ("255.255.255.255", true),
        ("255.255.255.254", false),
        ("::ffff:10.0.3.1", true),
        ("2001:db8:ffff::", true),
        ("2001:db9::", false),
        ("::", false),
    ] {
        assert_eq!(set.contains(address.parse().expect(address)), expected, "{address}");
    }
    assert!(AddressSet::default().is_empty() && !set.is_empty());
}

#[test]
fn a_list_may_have_comments_and_a_problem_names_its_line() {
    let text = "# office\r\n192.0.2.0/24 # all of it\r\n\r\n  2001:db8::/32\t\n#\n192.0.2.300\n10.1.2.3/8\n10.0.0.0/40\n";
    let mut faults = Vec::new();
    let ranges = read_ranges(text, |fault| {
        faults.push((fault.line, fault.text.to_string(), fault.error));
        ControlFlow::Continue(())
    });
    let shown: Vec<_> = ranges.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["192.0.2.0/24", "2001:db8::/32"]);
    let meant = "10.0.0.0/8".parse().expect("a network");
    let expected = [
        (6, "192.0.2.300".to_owned(), AddressRangeError::NotAnAddress),
        (7, "10.1.2.3/8".to_owned(), AddressRangeError::HostBits(meant)),
        (8, "10.0.0.0/40".to_owned(), AddressRangeError::BadLength),
    ];
    assert_eq!(faults, expected);
    let mut heard = 0;
    read_ranges(text, |_| {
        heard += 1;
        ControlFlow::Break(())
    });
    assert_eq!(heard, 1, "reading stops after ControlFlow::Break");
}

#[test]
fn a_hundred_thousand_ranges_use_the_documented_memory() {
    let v4 = (0..50_000_u32).map(|index| AddressRange::around(Ipv4Addr::from_bits(index << 12).into(), 24));
    let v6 = (0..50_000_u128)
        .map(|index| AddressRange::around(Ipv6Addr::from_bits(0x2001 << 112 | index << 64).into(), 80));
    let set: AddressSet = v4.chain(v6).collect();
    assert_eq!(set.ranges(), 100_000);
    let blocks = 50_000_usize.div_ceil(64);
    assert_eq!(set.bytes(), 50_000 * 8 + 50_000 * 32 + blocks * 4 + blocks * 16);
    let (inside, outside) = (Ipv4Addr::from_bits(7777 << 12 | 255), Ipv4Addr::from_bits(7777 << 12 | 256));
    assert!(set.contains(inside.into()) && !set.contains(outside.into()));
}
