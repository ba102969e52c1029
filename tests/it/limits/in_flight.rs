//! Caps on what is under way: never exceeded, never lost.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread;

use approov_gateway::limits::{Full, InFlight, Key, KeyHasher, Permit, Work};
use proptest::prelude::*;

use super::{cases, hasher};

fn address(number: u8) -> Option<Key> {
    static HASHER: LazyLock<KeyHasher> = LazyLock::new(hasher);
    Some(HASHER.bytes(&[number]))
}

#[test]
fn unverified_work_is_shed_first() {
    let requests = Arc::new(InFlight::new(3, 1));
    let enter = |work| requests.enter(work, None, None);
    let first = enter(Work::Unverified).expect("room");
    let _second = enter(Work::Unverified).expect("room");
    assert_eq!(enter(Work::Unverified).err(), Some(Full::Reserve));
    assert!(!requests.is_full());
    let _third = enter(Work::Verified).expect("the reserve");
    assert!(requests.is_full());
    assert_eq!(enter(Work::Verified).err(), Some(Full::Total));
    assert_eq!(enter(Work::Unverified).err(), Some(Full::Total));
    drop(first);
    assert_eq!(enter(Work::Unverified).err(), Some(Full::Reserve));
    assert!(enter(Work::Verified).is_ok());
    assert_eq!(requests.count(), 2);
}

#[test]
fn one_address_or_lane_cannot_take_it_all() {
    let requests = InFlight::new(10, 0).with_cap_per_address(2).with_lanes([3, 1]);
    let requests = Arc::new(requests);
    let enter = |client, lane| requests.enter(Work::Verified, client, Some(lane));
    let mut held = vec![enter(address(1), 0).expect("room"), enter(address(1), 1).expect("room")];
    assert_eq!(enter(address(1), 0).err(), Some(Full::Address));
    assert_eq!(enter(address(2), 1).err(), Some(Full::Lane));
    held.push(enter(address(2), 0).expect("what was refused has left nothing behind"));
    held.push(enter(None, 0).expect("an address that is not limited"));
    assert_eq!(enter(None, 0).err(), Some(Full::Lane));
    assert_eq!(requests.count(), 4);
    held.clear();
    assert_eq!(requests.count(), 0);
    let again: Vec<_> = (1..=3).map(|client| enter(address(client), 0)).collect();
    assert!(again.iter().all(Result::is_ok));
}

#[test]
fn threads_never_exceed_a_cap_and_lose_no_permit() {
    let requests = Arc::new(InFlight::new(5, 0).with_cap_per_address(3).with_lanes([4]));
    let (most, entered) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for client in 0..4 {
            let (requests, most, entered) = (&requests, &most, &entered);
            scope.spawn(move || {
                for _ in 0..5000 {
                    let permits: Vec<_> = (0..3)
                        .filter_map(|_| requests.enter(Work::Verified, address(client % 2), Some(0)).ok())
                        .collect();
                    most.fetch_max(requests.count(), Ordering::Relaxed);
                    entered.fetch_add(permits.len(), Ordering::Relaxed);
                }
            });
        }
    });
    assert!(entered.into_inner() > 0);
    assert!(most.into_inner() <= 5);
    assert_eq!(requests.count(), 0);
    let whole: Vec<_> =
        [0, 0, 0, 1].map(|client| requests.enter(Work::Verified, address(client), Some(0))).into();
    assert!(whole.iter().all(Result::is_ok), "no permit is lost");
}

proptest! {
    #![proptest_config(cases(300))]

    /// Beside a list of the permits that are out.
    #[test]
    fn a_permit_is_given_exactly_while_all_caps_allow(
        steps in prop::collection::vec((any::<bool>(), 0..4_u8, 0..2_usize, any::<bool>(), any::<prop::sample::Index>()), 1..200),
    ) {
        let (total, reserve, per_address, lanes) = (8, 2, 3, [5, 4]);
        let requests = InFlight::new(total, reserve).with_cap_per_address(per_address).with_lanes(lanes);
        let requests = Arc::new(requests);
        let mut out: Vec<(u8, usize, Permit)> = Vec::new();
        for (enters, client, lane, verified, index) in steps {
            if !enters {
                if !out.is_empty() {
                    out.swap_remove(index.index(out.len()));
                }
                continue;
            }
            let cap = if verified { total } else { total - reserve };
            let of_client = out.iter().filter(|(other, _, _)| *other == client).count();
            let in_lane = out.iter().filter(|(_, other, _)| *other == lane).count();
            let expected = match () {
                () if out.len() >= total => Some(Full::Total),
                () if out.len() >= cap => Some(Full::Reserve),
                () if of_client >= per_address => Some(Full::Address),
                () if in_lane >= lanes[lane] => Some(Full::Lane),
                () => None,
            };
            let work = if verified { Work::Verified } else { Work::Unverified };
            match requests.enter(work, address(client), Some(lane)) {
                Ok(permit) => {
                    prop_assert_eq!(expected, None);
                    out.push((client, lane, permit));
                }
                Err(full) => prop_assert_eq!(Some(full), expected),
            }
            prop_assert_eq!(requests.count(), out.len());
        }
    }
}
