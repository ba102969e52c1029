//! Tables for people, JSON for programs.

use serde_json::{Value, json};

use super::failover::{Outcome, Round};
use super::measure::{Bench, Row, Sample, Series};
use super::memory::Idle;
use super::peers::Peer;
use super::programs::Programs;

/// What a run has come to.
#[derive(Debug, Default)]
pub struct Results {
    pub series: Vec<Series>,
    pub memory: Vec<Idle>,
    pub failover: Vec<Outcome>,
}

/// Prints the table of one mode.
pub fn print(series: &Series) {
    let title = series.mode.shape().title;
    let rate = series.rate.map_or_else(String::new, |rate| format!(": {rate:.0} requests/s"));
    println!("\n{}: {title}{rate}", series.mode.name());
    // Of the cores that a peer has; well below all of them, the load or the origin was the limit.
    let threads = series.mode.shape().setup.threads as f64;
    let busy = |row: &Row| row.median(Sample::busy) / threads;
    let Some(reference) = series.reference() else { return };
    println!(
        "{:14} {:>10} {:>6} {:>14} {:>6} {:>6} {:>9} {:>9} {:>9} {:>10}",
        "", "requests/s", "ratio", "CPU/request", "ratio", "busy", "p50", "p99", "p99.9", "memory"
    );
    for row in &series.rows {
        println!(
            "{:14} {:>10.0} {:>6.2} {:>11.1} µs {:>6.2} {:>4.0} % {:>9} {:>9} {:>9} {:>6.1} MiB",
            row.peer.name(),
            row.median(Sample::rate),
            row.ratio(reference, Sample::rate),
            row.median(Sample::cpu_micros),
            row.ratio(reference, Sample::cpu_micros),
            100.0 * busy(row),
            time(row.median(|sample| sample.latencies.p50)),
            time(row.median(|sample| sample.latencies.p99)),
            time(row.median(|sample| sample.latencies.p999)),
            row.median(|sample| sample.memory_kib as f64) / 1024.0,
        );
    }
    for peer in &series.beyond {
        println!("{:14} cannot take that rate", peer.name());
    }
    if series.rate.is_none() && busy(reference) < 0.9 {
        println!("{} was not at its limit: the load or the origin was", reference.peer.name());
    }
    println!("medians of {} rounds; ratios to {}, round by round", rounds(reference), reference.peer.name());
}

/// Prints the table of memory.
pub fn print_memory(peers: &[Idle]) {
    let Some(first) = peers.first() else { return };
    let title = first.mode.shape().title;
    println!(
        "\n{}: {title}; shared pages counted once; idle connections have each had one request",
        first.mode.name()
    );
    println!(
        "{:14} {:>12} {:>12} {:>12} {:>12} {:>16}",
        "", "fresh", "after load", "connections", "with idle", "idle connection"
    );
    for idle in peers {
        let mib = |kib: u64| format!("{:.1} MiB", kib as f64 / 1024.0);
        println!(
            "{:14} {:>12} {:>12} {:>12} {:>12} {:>12.2} KiB",
            idle.peer.name(),
            mib(idle.fresh),
            mib(idle.after_load),
            idle.connections,
            mib(idle.with_idle),
            idle.per_connection()
        );
    }
}

/// Prints the table of a lost address.
pub fn print_failover(outcomes: &[Outcome]) {
    let Some(first) = outcomes.first() else { return };
    println!("\n{}: {}", first.mode.name(), first.mode.shape().title);
    println!("{:14} {:>10} {:>8} {:>9} {:>9}  what was lost", "", "requests", "lost", "p99", "slowest");
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
    println!("sums of {} rounds; p99 of the median round, the slowest of all", first.rounds.len());
}

/// Everything, down to each round.
pub fn json(peers: &[Peer], programs: &Programs, bench: &Bench<'_>, results: &Results) -> Value {
    json!({
        "machine": machine(),
        "load": format!("{:?}", bench.generator).to_lowercase(),
        "rounds": bench.effort.rounds,
        "seconds": bench.effort.seconds,
        "programs": programs.versions().map(|(name, version)| (name.into(), version.into()))
            .collect::<serde_json::Map<String, Value>>(),
        "peers": peers.iter().map(|peer| (peer.name().into(), peer.describe().into()))
            .collect::<serde_json::Map<String, Value>>(),
        "modes": results.series.iter().map(series).collect::<Vec<_>>(),
        "memory": results.memory.iter().map(idle).collect::<Vec<_>>(),
        "failover": results.failover.iter().map(outcome).collect::<Vec<_>>(),
    })
}

fn series(series: &Series) -> Value {
    let reference = series.reference();
    json!({
        "mode": series.mode.name(),
        "title": series.mode.shape().title,
        "connections": series.mode.shape().connections,
        "rate": series.rate,
        "reference": reference.map(|row| row.peer.name()),
        "peers": series.rows.iter().map(|row| peer(row, reference.unwrap_or(row))).collect::<Vec<_>>(),
        "beyond": series.beyond.iter().map(Peer::name).collect::<Vec<_>>(),
    })
}

fn peer(row: &Row, reference: &Row) -> Value {
    json!({
        "peer": row.peer.name(),
        "requests_per_second": row.median(Sample::rate),
        "requests_per_second_ratio": row.ratio(reference, Sample::rate),
        "cpu_micros_per_request": row.median(Sample::cpu_micros),
        "cpu_ratio": row.ratio(reference, Sample::cpu_micros),
        "busy": row.median(Sample::busy),
        "p50_seconds": row.median(|sample| sample.latencies.p50),
        "p99_seconds": row.median(|sample| sample.latencies.p99),
        "p99_9_seconds": row.median(|sample| sample.latencies.p999),
        "memory_kib": row.median(|sample| sample.memory_kib as f64),
        "rounds": row.samples.iter().map(round).collect::<Vec<_>>(),
    })
}

fn round(sample: &Sample) -> Value {
    json!({
        "requests": sample.requests,
        "seconds": sample.seconds,
        "cpu_seconds": sample.cpu,
        "p50_seconds": sample.latencies.p50,
        "p99_seconds": sample.latencies.p99,
        "p99_9_seconds": sample.latencies.p999,
        "memory_kib": sample.memory_kib,
    })
}

fn outcome(outcome: &Outcome) -> Value {
    let round = |round: &Round| {
        json!({
            "requests": round.requests(),
            "answers": round.statuses,
            "errors": round.errors,
            "p99_seconds": round.p99,
            "slowest_seconds": round.slowest,
        })
    };
    json!({
        "mode": outcome.mode.name(),
        "title": outcome.mode.shape().title,
        "peer": outcome.peer.name(),
        "requests": outcome.requests(),
        "lost": outcome.lost(),
        "rounds": outcome.rounds.iter().map(round).collect::<Vec<_>>(),
    })
}

fn idle(idle: &Idle) -> Value {
    json!({
        "mode": idle.mode.name(),
        "peer": idle.peer.name(),
        "fresh_kib": idle.fresh,
        "after_load_kib": idle.after_load,
        "with_idle_kib": idle.with_idle,
        "idle_connections": idle.connections,
        "kib_per_idle_connection": idle.per_connection(),
    })
}

/// The processor and the kernel.
fn machine() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    json!({
        "processor": model.map(|(_, name)| name),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
    })
}

fn rounds(row: &Row) -> usize {
    row.samples.len()
}

fn time(seconds: f64) -> String {
    if seconds < 1e-3 { format!("{:.0} µs", seconds * 1e6) } else { format!("{:.2} ms", seconds * 1e3) }
}
