//! Limits on requests in progress: never exceeded, and no permit is lost.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use approov_gateway::limits::{Caps, Full, InFlight, KeyHasher, Permit, TableKey, Work};
use proptest::prelude::*;

use super::{cases, hasher};

fn address(number: u8) -> Option<TableKey> {
    static HASHER: LazyLock<KeyHasher> = LazyLock::new(hasher);
    Some(HASHER.bytes(&[number]))
}

/// A limit on the total only.
fn caps(total: usize) -> Caps {
    Caps { total, reserve: 0, per_address: total, per_listener: total }
}

#[test]
fn unverified_work_is_shed_first() {
    let requests = InFlight::new(Caps { reserve: 1, ..caps(3) }, 0, None);
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
fn one_address_or_lane_cannot_use_the_whole_limit() {
    let requests = InFlight::new(Caps { per_address: 2, per_listener: 2, ..caps(10) }, 2, None);
    let enter = |client, listener| requests.enter(Work::Verified, client, Some(listener));
    let mut held = vec![enter(address(1), 0).expect("room"), enter(address(1), 1).expect("room")];
    assert_eq!(enter(address(1), 0).err(), Some(Full::Address));
    held.push(enter(address(2), 0).expect("a refused request holds no permit"));
    assert_eq!(enter(address(2), 0).err(), Some(Full::Listener));
    held.push(enter(None, 1).expect("an address that is not limited"));
    assert_eq!(enter(None, 1).err(), Some(Full::Listener));
    assert_eq!(requests.count(), 4);
    assert_eq!([0, 1].map(|listener| requests.count_of_listener(listener)), [2, 2]);
    held.clear();
    assert_eq!(requests.count(), 0);
    let again: Vec<_> = (1..=2).map(|client| enter(address(client), 0)).collect();
    assert!(again.iter().all(Result::is_ok));
}

#[test]
fn an_address_may_become_known_later() {
    let connections = InFlight::new(Caps { per_address: 1, ..caps(3) }, 1, None);
    let enter = || connections.enter(Work::Unverified, None, Some(0)).expect("room");
    let (mut one, mut other) = (enter(), enter());
    assert_eq!(connections.enter_address(&mut one, address(1).expect("a key")), Ok(()));
    assert_eq!(connections.enter_address(&mut other, address(1).expect("a key")), Err(Full::Address));
    assert_eq!(connections.count(), 2);
    drop(one);
    assert_eq!(connections.enter_address(&mut other, address(1).expect("a key")), Ok(()));
}

#[test]
fn changed_limits_count_requests_already_in_progress() {
    let before = InFlight::new(caps(3), 1, None);
    let held = [1, 1].map(|client| before.enter(Work::Verified, address(client), Some(0)).expect("room"));
    let after = InFlight::new(Caps { per_address: 2, ..caps(4) }, 1, Some(&before));
    assert_eq!(after.count(), 2);
    assert_eq!(after.enter(Work::Verified, address(1), Some(0)).err(), Some(Full::Address));
    drop(held);
    assert_eq!(after.count(), 0);
    assert!(after.enter(Work::Verified, address(1), Some(0)).is_ok());
}

#[test]
fn threads_never_exceed_a_limit_and_lose_no_permit() {
    let requests = InFlight::new(Caps { per_address: 3, per_listener: 4, ..caps(5) }, 1, None);
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

    /// Compared with a list of the permits in use.
    #[test]
    fn a_permit_is_given_exactly_if_all_limits_allow_it(
        steps in prop::collection::vec((any::<bool>(), 0..4_u8, 0..2_usize, any::<bool>(), any::<prop::sample::Index>()), 1..200),
    ) {
        let (total, reserve, per_address, per_listener) = (8, 2, 3, 5);
        let requests = InFlight::new(Caps { total, reserve, per_address, per_listener }, 2, None);
        let mut out: Vec<(u8, usize, Permit)> = Vec::new();
        for (enters, client, listener, verified, index) in steps {
            if !enters {
                if !out.is_empty() {
                    out.swap_remove(index.index(out.len()));
                }
                continue;
            }
            let cap = if verified { total } else { total - reserve };
            let of_client = out.iter().filter(|(other, _, _)| *other == client).count();
            let in_listener = out.iter().filter(|(_, other, _)| *other == listener).count();
            let expected = match () {
                () if out.len() >= total => Some(Full::Total),
                () if out.len() >= cap => Some(Full::Reserve),
                () if of_client >= per_address => Some(Full::Address),
                () if in_listener >= per_listener => Some(Full::Listener),
                () => None,
            };
            let work = if verified { Work::Verified } else { Work::Unverified };
            match requests.enter(work, address(client), Some(listener)) {
                Ok(permit) => {
                    prop_assert_eq!(expected, None);
                    out.push((client, listener, permit));
                }
                Err(full) => prop_assert_eq!(Some(full), expected),
            }
            prop_assert_eq!(requests.count(), out.len());
        }
    }
}
