//! What a connection from a banned address costs, beside the same connection with one refused request.

use std::net::Ipv4Addr;

use super::super::Result;
use super::super::arguments::Arguments;
use super::super::hostile::{Outcome, Rounds, address};
use super::super::report::Verdict;
use super::Stage;

/// Connections of a round.
const ROUND: usize = 4000;

const ROUNDS: usize = 7;

/// A ban takes 120 failures.
const BELOW_A_BAN: usize = 100;

const BANNED: Ipv4Addr = Ipv4Addr::new(127, 3, 0, 1);

pub fn run(_: &Arguments) -> Result<()> {
    // A ban of a minute would end in the middle of a round.
    let stage = Stage::set("", "offenders: { ban: 1h }")?;
    let gateway = &stage.gateway;
    let clients = Rounds::new(gateway.address())?;
    // Until it is banned, and then once more.
    while clients.connections(1, |_| BANNED)? != [(Outcome::Reset, 1)].into() {}
    let mut next = 0;
    let (mut ratios, mut costs) = (Vec::new(), [Vec::new(), Vec::new()]);
    for round in 0..=ROUNDS {
        let banned = cost(&stage, &clients, |_| BANNED, Outcome::Reset)?;
        let first = next;
        let others = move |number| address((first + number / BELOW_A_BAN) as u32);
        let refused = cost(&stage, &clients, others, Outcome::Status(401))?;
        next += ROUND.div_ceil(BELOW_A_BAN);
        println!(
            "round {round}: banned {banned:.1} µs of CPU, refused {refused:.1} µs, {:.2}",
            banned / refused
        );
        // The first one warms up.
        if round > 0 {
            ratios.push(banned / refused);
            costs[0].push(banned);
            costs[1].push(refused);
        }
    }
    let [banned, refused] = costs.map(median);
    let ratio = median(ratios);
    println!("\nCPU of the gateway for a connection, medians of {ROUNDS} rounds of {ROUND}");
    println!("  from a banned address        {banned:6.1} µs");
    println!("  with one refused request     {refused:6.1} µs\n");
    let mut verdict = Verdict::default();
    stage.expect_peace(&mut verdict);
    verdict
        .expect(ratio <= 0.5, format!("a banned connection costs {ratio:.2} of a refused one, at most 0.5"));
    verdict.judge()
}

/// Microseconds of the gateway's CPU for each connection of a round, all of which end as wanted.
fn cost(
    stage: &Stage,
    clients: &Rounds,
    from: impl Fn(usize) -> Ipv4Addr + 'static,
    wanted: Outcome,
) -> Result<f64> {
    let before = stage.gateway.cpu();
    let seen = clients.connections(ROUND, from)?;
    let took = stage.gateway.cpu() - before;
    match seen.get(&wanted) {
        Some(&ROUND) => Ok(took.as_secs_f64() * 1e6 / ROUND as f64),
        _ => Err(format!("all {ROUND} were to end with {wanted}, and it was {seen:?}").into()),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
