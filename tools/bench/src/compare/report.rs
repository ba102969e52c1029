//! Tables on standard output, and all figures as JSON.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::failover::Outcome;
use super::measure::{Bench, Row, Sample, Series};
use super::memory::{Footprint, Growth};
use super::peers::Peer;
use super::programs::Program;
use crate::rig::figures::{mebibytes, time};
use crate::rig::machine;

/// All figures of a run.
#[derive(Debug, Default, Serialize)]
pub struct Results {
    pub series: Vec<Series>,
    pub memory: Vec<Footprint>,
    pub growth: Vec<Growth>,
    pub failover: Vec<Outcome>,
}

/// Prints the table of one mode.
pub fn print(series: &Series) {
    let shape = series.mode.shape();
    let rate = series.rate.map_or_else(String::new, |rate| format!(": {rate:.0} requests/s"));
    println!("\n{}: {}{rate}", series.mode.name(), shape.title);
    let Some(reference) = series.reference() else { return };
    // Well below 100 % the load or the origin was the limit, and not the peer.
    let busy = |row: &Row| 100.0 * row.median(Sample::busy) / shape.setup.threads as f64;
    let per_request = if shape.is_in_flight { "KiB/request" } else { "" };
    println!(
        "{:14} {:>10} {:>6} {:>14} {:>6} {:>6} {:>9} {:>9} {:>9} {:>10} {per_request:>11}",
        "", "requests/s", "ratio", "CPU/request", "ratio", "busy", "p50", "p99", "p99.9", "memory"
    );
    for row in &series.rows {
        let each = per_worker(series, row);
        println!(
            "{:14} {:>10.0} {:>6.2} {:>11.1} µs {:>6.2} {:>4.0} % {:>9} {:>9} {:>9} {:>10} {:>11}",
            row.peer.name(),
            row.median(Sample::rate),
            row.ratio(reference, Sample::rate),
            row.median(Sample::cpu_micros),
            row.ratio(reference, Sample::cpu_micros),
            busy(row),
            time(row.median(|sample| sample.p50)),
            time(row.median(|sample| sample.p99)),
            time(row.median(|sample| sample.p999)),
            mebibytes(row.median(Sample::memory) as u64),
            if shape.is_in_flight { format!("{each:.1}") } else { String::new() },
        );
    }
    for peer in &series.beyond {
        println!("{:14} cannot answer at that rate", peer.name());
    }
    if series.rate.is_none() && busy(reference) < 90.0 {
        println!("{} was not at its limit: the load or the origin was", reference.peer.name());
    }
    let (rounds, name) = (reference.samples.len(), reference.peer.name());
    println!(
        "medians of {rounds} rounds; ratios to {name}, round by round; {} requests at a time",
        series.workers
    );
}

/// KiB above idle for each request in flight, connections included.
fn per_worker(series: &Series, row: &Row) -> f64 {
    (row.median(Sample::memory) - row.idle_kib as f64).max(0.0) / series.workers as f64
}

pub fn print_memory(footprints: &[Footprint]) {
    let Some(first) = footprints.first() else { return };
    println!("\n{}: {}; shared pages count once", first.mode.name(), first.mode.shape().title);
    println!(
        "{:14} {:>11} {:>11} {:>12} {:>11} {:>11} {:>16}",
        "", "fresh", "after load", "connections", "with them", "afterwards", "each connection"
    );
    for of in footprints {
        println!(
            "{:14} {:>11} {:>11} {:>12} {:>11} {:>11} {:>12.2} KiB",
            of.peer.name(),
            mebibytes(of.fresh),
            mebibytes(of.after_load),
            of.connections,
            mebibytes(of.held),
            mebibytes(of.after),
            of.per_connection()
        );
    }
}

pub fn print_growth(growth: &[Growth]) {
    for Growth { peer, steps } in growth {
        let first = steps.first().map_or(f64::NAN, |(_, kib)| *kib as f64);
        for (requests, kib) in steps {
            println!(
                "{:14} {requests:>9} requests {:>11} {:.3}",
                peer.name(),
                mebibytes(*kib),
                *kib as f64 / first
            );
        }
    }
}

pub fn print_failover(outcomes: &[Outcome]) {
    let Some(first) = outcomes.first() else { return };
    println!("\n{}: {}", first.mode.name(), first.mode.shape().title);
    println!(
        "{:14} {:>10} {:>8} {:>9} {:>9}  instead of the answer",
        "", "requests", "lost", "p99", "slowest"
    );
    for outcome in outcomes {
        println!(
            "{:14} {:>10} {:>8} {:>9} {:>9}  {}",
            outcome.peer.name(),
            outcome.requests(),
            outcome.lost(),
            time(outcome.p99()),
            time(outcome.slowest()),
            outcome.losses()
        );
    }
    println!("sums of {} rounds; median p99 of the rounds, slowest of all rounds", first.rounds.len());
}

/// All figures, round by round.
pub fn json(peers: &[Peer], bench: &Bench, results: &Results) -> Value {
    let programs = Program::ALL.map(|program| (program.name().to_owned(), program.version().into()));
    json!({
        "machine": machine::describe(),
        "rounds": bench.effort.rounds,
        "seconds": bench.effort.seconds,
        "programs": Map::from_iter(programs),
        "peers": Map::from_iter(peers.iter().map(|peer| (peer.name().to_owned(), peer.describe().into()))),
        "results": results,
    })
}
