//! Offenders: banned exactly when the rules say so, and not forgotten.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use approov_gateway::limits::{AddressSet, Ipv6Prefix, Moment, OffenderRules, Offenders, read_ranges};
use proptest::prelude::*;

use super::{at, cases, hasher};

const RULES: OffenderRules = OffenderRules {
    failures: 5,
    within: Duration::from_secs(8),
    ban: Duration::from_secs(10),
    max_ban: Duration::from_secs(60),
    keys: 65_536,
};

fn offenders(rules: OffenderRules, exempt: &str) -> Offenders {
    let exempt: AddressSet = read_ranges(exempt, |fault| panic!("{fault:?}")).into_iter().collect();
    Offenders::new(rules, Ipv6Prefix::default(), exempt.into(), hasher(), None)
}

fn address(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0000 + number).into()
}

/// Fails until the address is banned. Returns the end of the ban and the number of failures.
fn ban(offenders: &Offenders, address: IpAddr, now: Moment) -> (Moment, u32) {
    let mut failures = 1;
    loop {
        if let Some(until) = offenders.failed(address, now) {
            return (until, failures);
        }
        failures += 1;
        assert!(failures < 100, "{address} is never banned");
    }
}

#[test]
fn the_configured_number_of_failures_bans_for_the_configured_time() {
    let offenders = offenders(RULES, "");
    let client = address(1);
    assert_eq!(offenders.banned(client, at(1000)), None);
    assert_eq!(ban(&offenders, client, at(1000)), (at(11_000), 5));
    assert_eq!(offenders.failed(client, at(1001)), None, "a failure during a ban changes nothing");
    assert_eq!(offenders.banned(client, at(10_999)), Some(at(11_000)));
    assert_eq!(offenders.banned(address(2), at(10_999)), None);
    assert_eq!(offenders.banned(client, at(11_000)), None);
}

#[test]
fn each_ban_doubles_up_to_the_maximum_and_good_behaviour_resets_it() {
    let offenders = offenders(RULES, "");
    let client = address(1);
    let mut now = at(0);
    let mut lengths = Vec::new();
    for _ in 0..6 {
        let (until, failures) = ban(&offenders, client, now);
        assert_eq!(failures, 5, "the count starts again");
        lengths.push(now.until(until).as_secs());
        now = until;
    }
    assert_eq!(lengths, [10, 20, 40, 60, 60, 60]);
    assert_eq!(offenders.list(now)[0].strikes, 6);
    // After four times the maximum without failures two bans are left. The next ban is the third.
    now = now.after(Duration::from_secs(4 * 60 + 59));
    assert_eq!(offenders.list(now)[0].strikes, 2);
    let (until, _) = ban(&offenders, client, now);
    assert_eq!(now.until(until).as_secs(), 40);
    now = until.after(Duration::from_secs(3 * 60));
    assert_eq!(offenders.list(now), []);
    let (until, _) = ban(&offenders, client, now);
    assert_eq!(now.until(until).as_secs(), 10);
}

#[test]
fn an_accepted_request_cancels_one_failure() {
    let offenders = offenders(RULES, "");
    let shared = address(1);
    for second in 0..100 {
        assert_eq!(offenders.failed(shared, at(second * 100)), None, "{second}");
        offenders.accepted(shared, at(second * 100));
    }
    offenders.accepted(address(2), at(10_000));
    assert_eq!(ban(&offenders, address(2), at(10_000)).1, 5, "accepted requests do not add up");
    assert_eq!(ban(&offenders, shared, at(10_000)).1, 5);
    offenders.accepted(shared, at(10_001));
    assert!(offenders.banned(shared, at(10_002)).is_some(), "a ban stays");
}

#[test]
fn an_ipv6_network_is_one_offender() {
    let offenders = offenders(RULES, "");
    let addresses: Vec<IpAddr> =
        (1..=5).map(|host| format!("2001:db8:1:2::{host}").parse().expect("an address")).collect();
    let bans: Vec<_> = addresses.iter().map(|address| offenders.failed(*address, at(1)).is_some()).collect();
    assert_eq!(bans, [false, false, false, false, true]);
    assert!(offenders.banned("2001:db8:1:2:ffff::".parse().expect("an address"), at(2)).is_some());
    assert!(offenders.banned("2001:db8:1:3::1".parse().expect("an address"), at(2)).is_none());
    assert_eq!(offenders.list(at(2))[0].range.to_string(), "2001:db8:1:2::/64");
}

#[test]
fn an_exempt_range_is_never_banned() {
    let offenders = offenders(RULES, "10.0.0.0/30\n2001:db8:1:2::9");
    for _ in 0..1000 {
        assert_eq!(offenders.failed(address(1), at(1)), None);
    }
    assert_eq!(offenders.list(at(1)), []);
    // An exempt address in a banned network is not banned.
    ban(&offenders, "2001:db8:1:2::1".parse().expect("an address"), at(1));
    assert_eq!(offenders.banned("2001:db8:1:2::9".parse().expect("an address"), at(2)), None);
    assert!(offenders.banned("2001:db8:1:2::8".parse().expect("an address"), at(2)).is_some());
}

#[test]
fn bans_are_listed_and_cleared() {
    let offenders = offenders(RULES, "");
    for client in 1..=3 {
        ban(&offenders, address(client), at(u64::from(client) * 1000));
    }
    offenders.failed(address(4), at(3000));
    let listed = |now| -> Vec<_> {
        let list = offenders.list(now).into_iter();
        list.map(|offender| (offender.range.to_string(), offender.until, offender.strikes)).collect()
    };
    let entry = |client: u32| (address(client).to_string(), at(10_000 + u64::from(client) * 1000), 1);
    assert_eq!(listed(at(5000)), [entry(3), entry(2), entry(1)]);
    assert!(offenders.clear(address(2), at(5000)));
    assert!(!offenders.clear(address(2), at(5000)) && !offenders.clear(address(99), at(5000)));
    assert_eq!(listed(at(5000)), [entry(3), entry(1)]);
    assert_eq!(offenders.banned(address(2), at(5000)), None);
    assert_eq!(ban(&offenders, address(2), at(5000)), (at(15_000), 5), "like the first ban");
    assert_eq!(offenders.clear_all(at(5000)), 3);
    assert_eq!(listed(at(5000)), []);
    assert!((1..=3).all(|client| offenders.banned(address(client), at(5000)).is_none()));
}

/// A thousand sets of seven places. Fifty addresses a set fail once, one keeps failing, and twenty are
/// banned. The hash is random: the offender has no chance if at least seven of the twenty share its set,
/// which happens with a probability of 8·10⁻¹⁷.
#[test]
fn other_failing_addresses_do_not_save_an_offender() {
    let offenders = offenders(OffenderRules { keys: 7000, failures: 50, ..RULES }, "");
    for client in 0..20 {
        ban(&offenders, address(client), at(1));
    }
    let persistent = address(1000);
    let mut banned = None;
    for noise in 0..50_000_u32 {
        let now = Moment::since_start(Duration::from_micros(1000 + u64::from(noise) * 100));
        offenders.failed(address(100_000 + noise), now);
        if noise % 400 == 0 {
            banned = banned.or(offenders.failed(persistent, now).map(|_| noise));
        }
    }
    assert!(banned.is_some_and(|noise| noise < 30_000), "{banned:?}");
    assert!((0..20).all(|client| offenders.banned(address(client), at(5000)).is_some()));
}

#[test]
fn a_full_table_keeps_all_bans() {
    let offenders = offenders(OffenderRules { keys: 7, failures: 1, ..RULES }, "");
    for client in 0..7 {
        assert!(offenders.failed(address(client), at(1)).is_some());
    }
    for client in 7..1000 {
        assert_eq!(offenders.failed(address(client), at(2)), None);
    }
    assert!((0..7).all(|client| offenders.banned(address(client), at(3)).is_some()));
    assert_eq!(offenders.list(at(3)).len(), 7);
    // The end of the bans frees places.
    assert!(offenders.failed(address(8), at(20_000)).is_some());
}

#[test]
fn a_reload_keeps_bans_if_the_rules_are_unchanged() {
    let first = offenders(RULES, "");
    ban(&first, address(1), at(1));
    let renewed = |rules, exempt: &str| {
        let exempt: AddressSet = read_ranges(exempt, |fault| panic!("{fault:?}")).into_iter().collect();
        Offenders::new(rules, Ipv6Prefix::default(), exempt.into(), hasher(), Some(&first))
    };
    assert!(renewed(RULES, "").banned(address(1), at(2)).is_some());
    assert!(renewed(RULES, "10.0.0.0/8").banned(address(1), at(2)).is_none(), "allowed now");
    assert!(renewed(OffenderRules { failures: 6, ..RULES }, "").banned(address(1), at(2)).is_none());
}

#[test]
fn memory_is_as_documented() {
    for keys in [1, 7, 1000, 65_536] {
        let bytes = offenders(OffenderRules { keys, ..RULES }, "").bytes();
        assert!(bytes <= keys * 55 + 384, "{keys} keys take {bytes} bytes");
    }
}

/// Places of the table are reused while other threads read them: no address is taken for another.
#[test]
fn an_address_that_never_fails_is_never_banned() {
    let offenders = Arc::new(offenders(
        OffenderRules { keys: 7, failures: 1, ban: Duration::from_millis(1), ..RULES },
        "",
    ));
    thread::scope(|scope| {
        for half in [0, 1] {
            let offenders = &offenders;
            scope.spawn(move || {
                for step in 0..20_000_u32 {
                    offenders.failed(address(step * 2 + half), at(u64::from(step) * 2));
                }
            });
        }
        for number in [200_000, 300_000] {
            let offenders = &offenders;
            scope.spawn(move || {
                for step in 0..40_000_u32 {
                    assert_eq!(offenders.banned(address(number), at(u64::from(step))), None);
                }
            });
        }
    });
}

proptest! {
    #![proptest_config(cases(300))]

    /// Compared with a list of the times of all failures since the last ban.
    #[test]
    fn bans_follow_the_failures_within_the_window(
        steps in prop::collection::vec((0..5_u32, prop_oneof![3 => 0..200_u64, 1 => 200..3000_u64]), 1..300),
    ) {
        let offenders = offenders(RULES, "");
        let window = RULES.within.as_millis() as u64;
        let mut failures: HashMap<u32, Vec<u64>> = HashMap::new();
        let mut bans: HashMap<u32, Moment> = HashMap::new();
        let mut now = 0;
        for (client, pause) in steps {
            now += pause;
            let banned = bans.get(&client).copied().filter(|until| *until > at(now));
            prop_assert_eq!(offenders.banned(address(client), at(now)), banned);
            let until = offenders.failed(address(client), at(now));
            if banned.is_some() {
                prop_assert_eq!(until, None);
                continue;
            }
            let times = failures.entry(client).or_default();
            times.push(now);
            let within = |length: u64| times.iter().filter(|time| *time + length > now).count();
            match until {
                Some(until) => {
                    prop_assert!(within(window) >= usize::from(RULES.failures), "banned after too few failures");
                    times.clear();
                    bans.insert(client, until);
                }
                None => {
                    let most = within(window * 7 / 8);
                    prop_assert!(most < usize::from(RULES.failures), "{} failures and no ban", most);
                }
            }
        }
    }
}
