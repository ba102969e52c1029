//! Nodes that agree on rates, next to an exact limiter that sees every admitted request at once: they admit
//! at most the stated number more, and they refuse nothing that the exact limiter admits.

mod simulation;

use proptest::collection::vec;
use proptest::prelude::*;

use super::cases;
use simulation::{Fault, Fleet, MILLISECOND, Plan, SECOND, SYNC, Seen};

/// Requests of one key at one node.
#[derive(Clone, Copy, Debug)]
struct Salvo {
    at: u64,
    node: usize,
    key: u32,
    requests: u64,
    /// The time over which they are spread.
    over: u64,
}

const LENGTH: u64 = 12 * SECOND;

const HOUR: i64 = 3600 * SECOND as i64;

fn salvos(nodes: usize, keys: u32) -> impl Strategy<Value = Vec<Salvo>> {
    let over = prop_oneof![Just(0), Just(MILLISECOND), 0..SYNC, 0..6 * SECOND];
    let salvo = (0..LENGTH, 0..nodes, 0..keys, 1..60_u64, over);
    vec(salvo.prop_map(|(at, node, key, requests, over)| Salvo { at, node, key, requests, over }), 1..60)
}

/// The same requests at every node, at the rate of one node: no node sees more than its limit admits.
fn steady(nodes: usize, rate: u32) -> Vec<Salvo> {
    let requests = u64::from(rate) * LENGTH / SECOND;
    (0..nodes).map(|node| Salvo { at: node as u64, node, key: 0, requests, over: LENGTH }).collect()
}

fn plans(nodes: std::ops::Range<usize>) -> impl Strategy<Value = (Plan, Vec<Salvo>)> {
    let rates = prop_oneof![Just(1_u32), Just(5), Just(20), Just(100), Just(1000)];
    let bursts = prop_oneof![Just(1_u32), Just(3), Just(10), Just(50)];
    let trips = prop_oneof![Just(MILLISECOND), Just(40 * MILLISECOND), Just(SYNC / 2)];
    (nodes, rates, bursts, trips, any::<u64>()).prop_flat_map(|(nodes, rate, burst, trip, seed)| {
        let plan = Plan { nodes, rate, burst, trip, seed, faults: Vec::new() };
        let salvos = prop_oneof![4 => salvos(nodes, 3), 1 => Just(steady(nodes, rate))];
        (Just(plan), salvos)
    })
}

/// A clock that goes back makes limits stricter for a moment, one that goes forward never does.
fn faults(earliest_clock: i64) -> impl Strategy<Value = Vec<(u64, Fault)>> {
    let fault = prop_oneof![
        Just(Fault::Flush),
        (0..2 * SECOND).prop_map(Fault::Refuse),
        (0..2 * SECOND).prop_map(Fault::LoseAnswers),
        (earliest_clock..HOUR).prop_map(Fault::MoveClock),
        cut_off(),
    ];
    vec((0..LENGTH, fault), 0..3)
}

/// Times for which nodes are cut off from the store, one after the other or at once.
fn cuts() -> impl Strategy<Value = Vec<(u64, Fault)>> {
    vec((0..LENGTH, cut_off()), 1..4)
}

fn cut_off() -> impl Strategy<Value = Fault> {
    (0..8_usize, 0..LENGTH).prop_map(|(node, time)| Fault::CutOff(node, time))
}

fn run(plan: &Plan, salvos: &[Salvo], agree: bool) -> Seen {
    let mut fleet = Fleet::new(plan, agree);
    for Salvo { at, node, key, requests, over } in salvos {
        for number in 0..*requests {
            fleet.send(at + over * number / requests, *node, *key);
        }
    }
    fleet.run()
}

/// What all nodes together may admit above burst and rate: each its own burst, and its rate until all others have
/// learned of it. The store counts tokens as early as they can have been spent.
fn bound(plan: &Plan, blind: u64) -> f64 {
    let nodes = plan.nodes as f64;
    let unknown = 2 * (SYNC + 2 * plan.trip) + blind;
    let [unknown, early] = [unknown, SYNC + plan.patience()].map(|time| time as f64 / SECOND as f64);
    (nodes - 1.0) * f64::from(plan.burst) + f64::from(plan.rate) * (nodes * unknown + early)
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn nodes_admit_at_most_the_bound_more_than_an_exact_limiter((plan, salvos) in plans(1..9)) {
        let seen = run(&plan, &salvos, true);
        prop_assert!(seen.most_above <= bound(&plan, 0), "{} above, at most {}", seen.most_above, bound(&plan, 0));
    }

    #[test]
    fn nodes_refuse_nothing_that_an_exact_limiter_admits((plan, salvos) in plans(1..9), faults in faults(0)) {
        let seen = run(&Plan { faults, ..plan }, &salvos, true);
        prop_assert_eq!(seen.wrongly_refused, 0);
    }

    #[test]
    fn a_failing_store_adds_what_the_nodes_admit_until_they_agree_again(
        (plan, salvos) in plans(1..9),
        faults in faults(-HOUR),
    ) {
        let blind = |fault: &Fault| match fault {
            Fault::Flush | Fault::MoveClock(_) => 0,
            Fault::Refuse(time) | Fault::LoseAnswers(time) | Fault::CutOff(_, time) => time + 2 * SYNC,
        };
        let blind: u64 = faults.iter().map(|(_, fault)| blind(fault)).sum();
        // After a loss of the store's memory every node can be as far from the others as at the start.
        let starts = faults.len() as f64 + 1.0;
        let most = starts * (bound(&plan, blind) + f64::from(plan.burst));
        let seen = run(&Plan { faults, ..plan }, &salvos, true);
        prop_assert!(seen.most_above <= most, "{} above, at most {most}", seen.most_above);
    }

    #[test]
    fn a_node_that_is_cut_off_adds_its_own_burst_and_what_it_admits_until_it_is_back(
        (plan, salvos) in plans(1..9),
        cuts in cuts(),
    ) {
        let alone = |fault: &Fault| match fault {
            Fault::CutOff(_, time) => {
                f64::from(plan.burst) + f64::from(plan.rate) * (*time + SYNC) as f64 / SECOND as f64
            }
            _ => 0.0,
        };
        let most = bound(&plan, 0) + cuts.iter().map(|(_, fault)| alone(fault)).sum::<f64>();
        let seen = run(&Plan { faults: cuts, ..plan }, &salvos, true);
        prop_assert!(seen.most_above <= most, "{} above, at most {most}", seen.most_above);
        prop_assert_eq!(seen.wrongly_refused, 0);
    }

    #[test]
    fn one_node_answers_the_same_with_and_without_a_store((plan, salvos) in plans(1..2), faults in faults(0)) {
        let plan = Plan { faults, ..plan };
        prop_assert_eq!(run(&plan, &salvos, true).answers, run(&plan, &salvos, false).answers);
    }
}

#[test]
fn the_rate_of_one_node_at_every_node_is_the_rate_of_all() {
    for (rate, burst) in [(10, 20), (20, 20), (100, 10)] {
        let plan = Plan { nodes: 3, rate, burst, trip: MILLISECOND, seed: 1, faults: Vec::new() };
        let seen = run(&plan, &steady(3, rate), true);
        let due = u64::from(burst) + u64::from(rate) * LENGTH / SECOND;
        let admitted = seen.answers.iter().filter(|admitted| **admitted).count() as u64;
        let most = due + bound(&plan, 0).ceil() as u64;
        assert!((due * 9 / 10..=most).contains(&admitted), "{admitted} of at most {most}, {due} are due");
    }
}

#[test]
fn tokens_that_fill_again_before_a_sync_count_all_the_same() {
    // Half a burst after every sync fills again until the next one, at each of three nodes.
    let plan = Plan { nodes: 3, rate: 20, burst: 20, trip: MILLISECOND, seed: 1, faults: Vec::new() };
    let halves = (0..24).flat_map(|sync| {
        (0..3).map(move |node| Salvo { at: sync * SYNC, node, key: 0, requests: 10, over: 0 })
    });
    let seen = run(&plan, &halves.collect::<Vec<_>>(), true);
    assert!(seen.most_above <= bound(&plan, 0), "{} above", seen.most_above);
}

#[test]
fn buckets_of_other_keys_and_rates_stay_apart() {
    let plan = Plan { nodes: 2, rate: 5, burst: 5, trip: MILLISECOND, seed: 1, faults: Vec::new() };
    let loud = Salvo { at: 0, node: 0, key: 0, requests: 2000, over: LENGTH };
    let quiet = Salvo { at: 0, node: 1, key: 1, requests: 60, over: LENGTH };
    let together = run(&plan, &[loud, quiet], true);
    let alone = run(&plan, &[quiet], true);
    assert_eq!(alone.answers.iter().filter(|admitted| !**admitted).count(), 0);
    assert_eq!(together.of_key(1), alone.answers);
}

#[test]
fn the_load_of_the_store_follows_from_requests_and_nodes() {
    // The formula of docs/develop/decisions/0017-fleet.md.
    for (nodes, requests) in [(3_usize, 1_u64), (3, 4), (10, 4), (10, 20)] {
        let plan = Plan { nodes, rate: 1000, burst: 50, trip: MILLISECOND, seed: 1, faults: Vec::new() };
        // Each key sends at one moment, each request to another node, as a balancer that spreads evenly by chance.
        let mut chance = 1_u32;
        let mut node = || {
            chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (chance >> 16) as usize % nodes
        };
        let salvos: Vec<Salvo> = (0..4000 * requests)
            .map(|number| {
                let key = (number / requests) as u32;
                Salvo { at: u64::from(key) * MILLISECOND, node: node(), key, requests: 1, over: 0 }
            })
            .collect();
        let lines = run(&plan, &salvos, true).lines as f64 / 4000.0;
        let n = nodes as f64;
        let due = n * (1.0 - (1.0 - 1.0 / n).powi(requests as i32));
        // The last keys are not told before the end.
        assert!((0.8 * due..=1.03 * due).contains(&lines), "{lines} lines of a key, {due} are due");
    }
}
