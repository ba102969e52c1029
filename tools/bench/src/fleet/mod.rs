//! `fleet`: three gateways behind HAProxy with one Redis, through everything that can fail.
//!
//! Apps ask within their rate, through the balancer, during the whole run. In turn:
//!
//! 1. one device sends ten times its rate through all nodes;
//! 2. an address is banned at one node and forgiven at another;
//! 3. the store is killed, restored, frozen and thawed;
//! 4. a node is killed, another is cut off, and all three are upgraded;
//! 5. a gateway without the store and one with it take turns.
//!
//! A request is lost if its answer is missing or not the origin's. A killed or cut-off node may take
//! those along that it was answering: at most one of each worker.

mod bans;
mod network;
mod site;

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::load::{Apps, Load, Pace, Phase, Wire};
use crate::rig::figures::{median, ratio, show};
use crate::rig::token::{Kind, token};
use crate::rig::{Result, Verdict, prepare};
use site::{BURST, NODES, RATE, SYNC, Site};

/// Try three gateways behind a balancer with one store
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Honest requests a second
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// Seconds of ten times the rate of a device
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Rounds of the comparison of a gateway with the store to one without
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

/// Requests at a time.
const WORKERS: usize = 16;

/// Devices that share the honest requests, each far below its rate, and the one that sends too much.
const DEVICES: u64 = 400;
const GREEDY: u64 = 1 << 40;

/// The time that a failure lasts, and that the balancer gets to notice its end.
const FAILURE: Duration = Duration::from_secs(3);
const SETTLED: Duration = Duration::from_secs(1);

/// Requests a second of the comparison of p99.
const PACED: f64 = 4000.0;

/// The length of an interval of the comparison.
const INTERVAL: Duration = Duration::from_secs(2);

/// The failures, in order: name, and the requests that each may lose.
const TRIALS: [(&str, u64); 8] = [
    ("nothing fails", 0),
    ("a device at ten times its rate", 0),
    ("a ban, and forgiveness", 0),
    ("the store is killed", 0),
    ("the store is frozen", 0),
    ("a node is killed", WORKERS as u64),
    ("a node is cut off", WORKERS as u64),
    ("all nodes are upgraded", 0),
];

pub fn run(arguments: &Arguments) -> Result<()> {
    let mut site = Site::start(prepare()?)?;
    let observer = bans::Observer::start(site.store())?;
    let mut verdict = Verdict::default();
    let load = start(0..DEVICES, site.balancer(), Pace::Open(arguments.rate))?;
    thread::sleep(FAILURE);

    load.enter(1);
    flood(&site, arguments.seconds, &mut verdict)?;

    load.enter(2);
    for (what, took) in ["ban", "forgiveness"].into_iter().zip(bans::ban_and_forgive(&site)?) {
        let what = format!("{what} reached all nodes after {}", show(took));
        verdict.expect(took < Duration::from_secs(1), what);
    }

    load.enter(3);
    site.signal_store(Signal::KILL)?;
    site.await_agreement(false)?;
    let (bytes, shown) = observer.finish()?;
    verdict.expect(
        shown.is_empty() && bytes > 0,
        format!("{bytes} bytes of MONITOR show nothing in clear {shown:?}"),
    );
    site.start_store()?;
    agree_again(&site, "restored", &mut verdict)?;

    load.enter(4);
    site.signal_store(Signal::STOP)?;
    site.await_agreement(false)?;
    thread::sleep(FAILURE);
    site.signal_store(Signal::CONT)?;
    agree_again(&site, "thawed", &mut verdict)?;

    load.enter(5);
    site.kill(0)?;
    thread::sleep(FAILURE);
    site.nodes[0] = site.start_node(0)?;
    site.await_agreement(true)?;
    thread::sleep(SETTLED);

    load.enter(6);
    site.cut(1, true)?;
    thread::sleep(FAILURE);
    site.cut(1, false)?;
    site.await_agreement(true)?;
    thread::sleep(SETTLED);

    load.enter(7);
    for node in 0..NODES {
        site.replace(node)?;
        thread::sleep(SETTLED);
    }
    site.await_agreement(true)?;
    let seen = load.finish()?;
    println!("\n{:34}{:>10}{:>8}{:>12}{:>12}", "honest clients", "requests", "lost", "p50", "p99");
    for (number, (name, may_lose)) in TRIALS.into_iter().enumerate() {
        expect_served(name, &seen.together(&[number]), may_lose, &mut verdict);
    }
    verdict.expect(seen.unanswered == 0, format!("{} requests are without an answer", seen.unanswered));
    compare(&mut site, arguments.rounds, &mut verdict)?;
    verdict.judge()
}

/// Starts apps on these devices.
fn start(devices: Range<u64>, to: SocketAddr, pace: Pace) -> Result<Load> {
    Load::start(WORKERS, pace, site::PATIENCE, move || {
        let mut apps =
            Apps::new(to, Ipv4Addr::UNSPECIFIED, |number| format!("/fleet/{number}"), &[Wire::Kept]);
        apps.tokens = devices.map(|device| token(Kind::Valid, device)).collect();
        Ok(apps)
    })
}

/// One device at ten times its rate, through all nodes.
fn flood(site: &Site, seconds: u64, verdict: &mut Verdict) -> Result<()> {
    let load = start(GREEDY..GREEDY + 1, site.balancer(), Pace::Open(10.0 * f64::from(RATE)))?;
    thread::sleep(Duration::from_secs(seconds));
    let seen = load.finish()?;
    let (took, phase) = (seen.elapsed.as_secs_f64(), seen.whole());
    let limited = phase.failures.iter().filter(|(failure, _)| failure.starts_with("answered 429"));
    let (admitted, limited) = (phase.latencies.len(), limited.map(|(_, count)| count).sum::<u64>());
    let (rate, burst, nodes) = (f64::from(RATE), f64::from(BURST), NODES as f64);
    let due = burst + rate * took;
    // Each node has a burst of its own, and spends for a sync and a time limit before it learns.
    let more = (nodes - 1.0) * burst + rate * (nodes + 1.0) * 2.0 * SYNC.as_secs_f64();
    let what = format!(
        "{admitted} of {} requests were admitted: {due:.0} are due, at most {more:.0} more",
        seen.asked
    );
    let is_exact = (0.9 * due..=due + more).contains(&(admitted as f64));
    verdict.expect(is_exact && seen.lost() == limited, what);
    Ok(())
}

fn agree_again(site: &Site, how: &str, verdict: &mut Verdict) -> Result<()> {
    let took = site.await_agreement(true)?;
    let what = format!("{} after the store was {how}, all nodes agree again", show(took));
    verdict.expect(took < 4 * SYNC, what);
    Ok(())
}

fn expect_served(name: &str, phase: &Phase, may_lose: u64, verdict: &mut Verdict) {
    let (lost, [p50, p99]) = (phase.lost(), [50.0, 99.0].map(|percent| show(phase.latency(percent))));
    let line = format!("{name:27}{:>10}{lost:>8}{p50:>12}{p99:>12}", phase.requests());
    verdict.expect(lost <= may_lose && phase.requests() > 0, line);
    for (failure, count) in &phase.failures {
        println!("       lost: {count} times {failure}");
    }
}

/// CPU time and p99 of a gateway with the store and of one without, in turns: CPU time at the limit of the gateway,
/// p99 at a rate that leaves time for the rest. The store is on another machine as a rule, so for the p99 it runs only
/// when nothing else does.
fn compare(site: &mut Site, rounds: usize, verdict: &mut Verdict) -> Result<()> {
    site.forget_store(0)?;
    let before = site.nodes[1].metric("approov_gateway_fleet_failures_total")?;
    let mut lost = 0;
    println!("\nwith the store, divided by without, medians of {rounds} rounds");
    for (what, pace) in [("CPU time of a request", Pace::Closed), ("p99", Pace::Open(PACED))] {
        if pace != Pace::Closed {
            site.store_runs_last()?;
        }
        let mut ratios = Vec::new();
        for _ in 0..rounds {
            let [mut without, mut with] = [Duration::ZERO; 2];
            for (node, figure) in [(0, &mut without), (1, &mut with)] {
                let cpu = site.nodes[node].process.cpu();
                let load = start(0..10 * DEVICES, site.nodes[node].address, pace)?;
                thread::sleep(INTERVAL);
                let seen = load.finish()?;
                let (cpu, phase) = (site.nodes[node].process.cpu() - cpu, seen.whole());
                lost += seen.lost();
                *figure = match pace {
                    Pace::Closed => cpu.div_f64(phase.requests() as f64),
                    Pace::Open(_) => phase.latency(99.0),
                };
            }
            ratios.push(ratio(with, without));
        }
        println!("{what:34}{:>10.3}", median(ratios));
    }
    // A refused or failed request costs something else than a served one.
    verdict.expect(lost == 0, format!("{lost} requests of the comparison were lost"));
    let failures = site.nodes[1].metric("approov_gateway_fleet_failures_total")?;
    verdict
        .expect(failures == before, format!("exchanges with the store that failed meanwhile: {failures:?}"));
    Ok(())
}
