//! `lifecycle`: upgrades and reloads in a row under load, and what they cost.
//!
//! Clients ask without a pause, over kept connections and over a new one for each request; each request
//! has a path of its own. A request has failed if its connection is refused or reset, if its answer is
//! missing or wrong, or if it did not arrive at the origin exactly once. A download, an upload and a
//! WebSocket are in progress during each upgrade.
//!
//! Intervals without and with reloads take turns, so that a machine that changes its speed changes it
//! for both.

mod clients;
mod pair;
mod slow;

use std::time::{Duration, Instant};
use std::{fs, thread};

use rustix::process::Signal;

use crate::load::{Load, Pace};
use crate::origin::Origin;
use crate::rig::figures::{median_duration, ratio, show};
use crate::rig::{Result, machine};
use clients::{CLIENTS, Clients};
use pair::{Gateway, Place};
use slow::Slow;

/// The time that any step may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Measure upgrades and reloads under load
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[arg(long, default_value_t = 20)]
    upgrades: usize,
    /// Rounds of intervals without reloads, with ten a second, and with reloads back to back
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The least number of requests in total
    #[arg(long, default_value_t = 500_000)]
    requests: u64,
    /// Routes of the large configuration
    #[arg(long, default_value_t = 10_000)]
    routes: usize,
}

/// Reloads of an interval, and the length of an interval.
const RELOADS: u32 = 20;
const INTERVAL: Duration = Duration::from_secs(2);

/// Phases of the load.
const OTHER: usize = 0;
const QUIET: usize = 1;
const PACED: usize = 2;
const BACK_TO_BACK: usize = 3;
const LARGE: usize = 4;

/// Durations of the steps.
#[derive(Default)]
struct Steps {
    small_reloads: Vec<Duration>,
    large_reloads: Vec<Duration>,
    /// From the start of the new process until it serves.
    upgrades: Vec<Duration>,
    /// From the start of the new process until the old one has ended.
    ends: Vec<Duration>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let place = Place::new()?;
    machine::announce();
    let origin = Origin::start()?;
    let mut gateway = Gateway::start(&place, origin.address(), false)?;
    let address = gateway.address;
    let load = Load::start(CLIENTS, Pace::Closed, PATIENCE, move || Ok(Clients::new(address)))?;
    // The first requests meet cold code and memory.
    load.await_answers(arguments.requests / 100, PATIENCE)?;

    let mut steps = Steps::default();
    reloads(arguments, &place, &mut gateway, &load, &mut steps)?;
    for number in 0..arguments.upgrades {
        let slow = Slow::begin(address, number)?;
        let start = Instant::now();
        let next = Gateway::start(&place, origin.address(), true)?;
        gateway.process.signal(Signal::QUIT)?;
        next.process.await_line("admin on http://")?;
        steps.upgrades.push(start.elapsed());
        let mut old = std::mem::replace(&mut gateway, next);
        load.await_answers(load.answered() + arguments.requests / 200, PATIENCE)?;
        slow.end(&origin.log, number)?;
        old.await_good_end()?;
        steps.ends.push(start.elapsed());
    }
    load.await_answers(arguments.requests, 10 * PATIENCE)?;
    let answered = load.answered();
    let seen = load.finish()?;
    let start = Instant::now();
    gateway.process.signal(Signal::TERM)?;
    gateway.await_good_end()?;
    let stopped = start.elapsed();
    let idle = idle_upgrade(&place, &origin)?;

    let mut failures: Vec<String> =
        seen.whole().failures.iter().map(|(failure, count)| format!("{count} times {failure}")).collect();
    failures.extend(clients::not_exactly_once(&seen, &origin.log));
    line("requests answered", answered);
    line("requests failed, lost or doubled", failures.len());
    let p99 = |phase| seen.together(&[phase]).latency(99.0);
    for (name, phase) in
        [("paced reloads", PACED), ("reloads back to back", BACK_TO_BACK), ("large reloads", LARGE)]
    {
        let (without, with) = (p99(QUIET), p99(phase));
        let value = format!("{} {} ({:.2})", show(without), show(with), ratio(with, without));
        line(&format!("p99 without, and during {name}"), value);
    }
    let median = |durations: &[Duration]| show(median_duration(durations));
    line("reload with 1 route, median", median(&steps.small_reloads));
    line(&format!("reload with {} routes, median", arguments.routes), median(&steps.large_reloads));
    line("upgrade until the new process serves, median", median(&steps.upgrades));
    line(
        "upgrade until the new process serves, slowest",
        show(steps.upgrades.iter().copied().max().unwrap_or_default()),
    );
    line("upgrade until the old process has ended, median", median(&steps.ends));
    line("the same without load", show(idle));
    line("TERM until an idle process has ended", show(stopped));
    for failure in failures.iter().take(10) {
        println!("failed: {failure}");
    }
    if failures.is_empty() { Ok(()) } else { Err("requests were lost".into()) }
}

fn reloads(
    arguments: &Arguments,
    place: &Place,
    gateway: &mut Gateway,
    load: &Load,
    steps: &mut Steps,
) -> Result<()> {
    for _ in 0..arguments.rounds {
        load.enter(QUIET);
        thread::sleep(INTERVAL);
        load.enter(PACED);
        let start = Instant::now();
        for number in 1..=RELOADS {
            steps.small_reloads.push(gateway.reload()?);
            thread::sleep((INTERVAL * number / RELOADS).saturating_sub(start.elapsed()));
        }
        load.enter(BACK_TO_BACK);
        for _ in 0..RELOADS {
            gateway.reload()?;
        }
    }
    load.enter(OTHER);
    let small = fs::read_to_string(place.file())?;
    place.add_routes(arguments.routes)?;
    load.enter(LARGE);
    for _ in 0..arguments.rounds {
        steps.large_reloads.push(gateway.reload()?);
    }
    load.enter(OTHER);
    fs::write(place.file(), small)?;
    gateway.reload()?;
    Ok(())
}

/// From the start of the new process to the end of the old one, without any client.
fn idle_upgrade(place: &Place, origin: &Origin) -> Result<Duration> {
    let mut old = Gateway::start(place, origin.address(), false)?;
    let start = Instant::now();
    let mut new = Gateway::start(place, origin.address(), true)?;
    old.process.signal(Signal::QUIT)?;
    old.await_good_end()?;
    let took = start.elapsed();
    new.process.signal(Signal::TERM)?;
    new.await_good_end()?;
    Ok(took)
}

fn line(what: &str, value: impl std::fmt::Display) {
    println!("{what:<48} {value}");
}
