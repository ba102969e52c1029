//! CPU time of a connection from a banned address, next to the same connection with a refused request.
//!
//! Connections arrive while the gateway is stopped, and it then works through them, as in a flood that
//! it cannot keep up with. A connection that arrives while the gateway is idle costs both kinds some ten
//! microseconds more, for waking up; that figure is printed too.

use std::net::Ipv4Addr;
use std::path::Path;

use super::super::hostile::{Outcome, Outcomes, Rounds};
use super::super::report::Verdict;
use super::super::stage::Stage;
use crate::rig::Result;
use crate::rig::figures::median;

/// Connections that wait at once: fewer than the backlog of a listener.
const WAITING: usize = 500;

/// Repetitions in a round.
const TIMES: usize = 8;

const ROUNDS: usize = 9;

/// The failures that lead to a ban.
const A_BAN: usize = 120;

const BANNED: Ipv4Addr = Ipv4Addr::new(127, 3, 0, 1);

pub fn run(gateway: &Path) -> Result<()> {
    // The default ban of a minute would end within the run.
    let stage = Stage::set(gateway, "", "offenders: { ban: 1h }")?;
    let clients = Rounds::new(&stage.gateway)?;
    clients.one_by_one(&[BANNED; A_BAN]);
    println!("CPU microseconds of a connection: banned address, refused request, ratio");
    let flood = compare(&stage, &clients, "in a flood", |from| clients.in_a_flood(&stage.gateway, from))?;
    compare(&stage, &clients, "one by one", |from| Ok(clients.one_by_one(from)))?;
    println!();
    let mut verdict = Verdict::default();
    stage.expect_peace(&mut verdict);
    verdict.expect(
        flood <= 0.5,
        format!("in a flood, a ban costs {flood:.2} of a refused request, at most 0.5"),
    );
    verdict.judge()
}

/// Both kinds in turns; returns the median of the ratios.
fn compare(
    stage: &Stage,
    clients: &Rounds,
    name: &str,
    connect: impl Fn(&[Ipv4Addr]) -> Result<Outcomes>,
) -> Result<f64> {
    let mut costs = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..=ROUNDS {
        let banned = cost(stage, &connect, || BANNED, Outcome::Reset)?;
        let refused = cost(stage, &connect, || clients.address(), Outcome::Status(401))?;
        // The first round warms up.
        if round > 0 {
            for (costs, cost) in costs.iter_mut().zip([banned, refused, banned / refused]) {
                costs.push(cost);
            }
        }
    }
    let [banned, refused, ratio] = costs.map(median);
    println!("{name:12} {banned:8.1} {refused:8.1} {ratio:8.2}   medians of {ROUNDS} rounds");
    Ok(ratio)
}

/// CPU microseconds of the gateway for each connection of a round. All connections end as expected.
fn cost(
    stage: &Stage,
    connect: impl Fn(&[Ipv4Addr]) -> Result<Outcomes>,
    from: impl Fn() -> Ipv4Addr,
    wanted: Outcome,
) -> Result<f64> {
    let before = stage.gateway.process.cpu();
    for _ in 0..TIMES {
        let addresses: Vec<_> = std::iter::repeat_with(&from).take(WAITING).collect();
        let seen = connect(&addresses)?;
        if seen.get(&wanted) != Some(&WAITING) {
            return Err(format!("{seen:?} instead of {WAITING} times {wanted}").into());
        }
    }
    Ok((stage.gateway.process.cpu() - before).as_secs_f64() * 1e6 / (WAITING * TIMES) as f64)
}
