//! What a connection from a banned address costs, beside the same connection with one refused request.
//!
//! Connections arrive while the gateway is stopped, and are then dealt with in one go, as under a flood
//! that it cannot keep up with: that is when their cost matters. One that arrives while there is nothing
//! to do costs both kinds some ten microseconds more, for waking up; that is shown beside it.

use std::net::Ipv4Addr;

use super::super::Result;
use super::super::arguments::Arguments;
use super::super::hostile::{Outcome, Outcomes, Rounds, new_address};
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
    clients.one_by_one(&[BANNED; A_BAN])?;
    println!("µs of CPU for a connection from a banned address, and for one with a refused request");
    let at_once = compare(&stage, "in floods", |from| clients.at_once(&stage.gateway, from))?;
    compare(&stage, "one by one", |from| clients.one_by_one(from))?;
    println!();
    let mut verdict = Verdict::default();
    stage.expect_peace(&mut verdict);
    verdict.expect(
        at_once <= 0.5,
        format!("in floods, a banned connection costs {at_once:.2} of a refused one, at most 0.5"),
    );
    verdict.judge()
}

/// By turns; the median of the ratios.
fn compare(stage: &Stage, name: &str, connect: impl Fn(&[Ipv4Addr]) -> Result<Outcomes>) -> Result<f64> {
    let (mut banned, mut refused, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let one = cost(stage, &connect, || BANNED, Outcome::Reset)?;
        let other = cost(stage, &connect, new_address, Outcome::Status(401))?;
        // The first one warms up.
        if round > 0 {
            banned.push(one);
            refused.push(other);
            ratios.push(one / other);
        }
    }
    let [banned, refused, ratio] = [banned, refused, ratios].map(median);
    println!("{name:12} {banned:8.1} {refused:8.1} {ratio:8.2}   medians of {ROUNDS} rounds");
    Ok(ratio)
}

/// Microseconds of the gateway's CPU for each connection of a round, all of which end as wanted.
fn cost(
    stage: &Stage,
    connect: impl Fn(&[Ipv4Addr]) -> Result<Outcomes>,
    from: impl Fn() -> Ipv4Addr,
    wanted: Outcome,
) -> Result<f64> {
    let before = stage.gateway.cpu();
    for _ in 0..TIMES {
        let addresses: Vec<_> = std::iter::repeat_with(&from).take(WAITING).collect();
        let seen = connect(&addresses)?;
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
