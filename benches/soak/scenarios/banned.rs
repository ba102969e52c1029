//! What a connection from a banned address costs, beside the same connection with one refused request.
//!
//! Connections arrive while the gateway is stopped, and are then dealt with in one go, as under a flood
//! that it cannot keep up with: that is when their cost matters. One that arrives while it has nothing
//! to do costs both kinds some ten microseconds more, for waking up.

use std::net::Ipv4Addr;

use super::super::Result;
use super::super::arguments::Arguments;
use super::super::hostile::{Outcome, Rounds, address};
use super::super::report::Verdict;
use super::Stage;

/// Connections that wait at once: fewer than a listener has room for.
const WAITING: usize = 500;

/// That many times in a round.
const TIMES: usize = 8;

const ROUNDS: usize = 9;

/// A ban takes 120 failures.
const A_BAN: usize = 120;

const BANNED: Ipv4Addr = Ipv4Addr::new(127, 3, 0, 1);

pub fn run(_: &Arguments) -> Result<()> {
    // A ban of a minute would end in the middle of a round.
    let stage = Stage::set("", "offenders: { ban: 1h }")?;
    let clients = Rounds::new(stage.gateway.address())?;
    clients.connections(&stage.gateway, &[BANNED; A_BAN])?;
    let (mut ratios, mut costs) = (Vec::new(), [Vec::new(), Vec::new()]);
    let mut next = 0;
    for round in 0..=ROUNDS {
        let banned = cost(&stage, &clients, || BANNED, Outcome::Reset)?;
        // Each address once, so that none is banned.
        let new = || {
            next += 1;
            address(next)
        };
        let refused = cost(&stage, &clients, new, Outcome::Status(401))?;
        let ratio = banned / refused;
        println!("round {round}: banned {banned:.1} µs of CPU, refused {refused:.1} µs, {ratio:.2}");
        // The first one warms up.
        if round > 0 {
            ratios.push(ratio);
            costs[0].push(banned);
            costs[1].push(refused);
        }
    }
    let [banned, refused] = costs.map(median);
    let ratio = median(ratios);
    println!("\nCPU of the gateway for a connection, medians of {ROUNDS} rounds of {}", WAITING * TIMES);
    println!("  from a banned address        {banned:6.1} µs");
    println!("  with one refused request     {refused:6.1} µs\n");
    let mut verdict = Verdict::default();
    stage.expect_peace(&mut verdict);
    verdict
        .expect(ratio <= 0.5, format!("a banned connection costs {ratio:.2} of a refused one, at most 0.5"));
    verdict.judge()
}

/// Microseconds of the gateway's CPU for each connection of a round, all of which end as wanted.
fn cost(stage: &Stage, clients: &Rounds, mut from: impl FnMut() -> Ipv4Addr, wanted: Outcome) -> Result<f64> {
    let before = stage.gateway.cpu();
    for _ in 0..TIMES {
        let addresses: Vec<_> = std::iter::repeat_with(&mut from).take(WAITING).collect();
        let seen = clients.connections(&stage.gateway, &addresses)?;
        if seen.get(&wanted) != Some(&WAITING) {
            return Err(format!("all {WAITING} were to end with {wanted}, and it was {seen:?}").into());
        }
    }
    Ok((stage.gateway.cpu() - before).as_secs_f64() * 1e6 / (WAITING * TIMES) as f64)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
