//! Tables on standard output.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Result;
use super::gateway::Gateway;
use super::honest::{Phase, Seen, percentile};
use super::hostile::Tally;
use super::watch::Watch;

/// What has to hold, and what of it does not.
#[derive(Debug, Default)]
pub struct Verdict {
    failures: Vec<String>,
}

impl Verdict {
    /// Says whether it holds.
    pub fn expect(&mut self, holds: bool, what: impl Into<String>) {
        let what = what.into();
        println!("{} {what}", if holds { "ok    " } else { "FAILED" });
        if !holds {
            self.failures.push(what);
        }
    }

    /// # Errors
    /// All that did not hold.
    pub fn judge(self) -> Result<()> {
        match self.failures.as_slice() {
            [] => Ok(()),
            failures => Err(format!("{} failed: {}", failures.len(), failures.join("; ")).into()),
        }
    }
}

/// Honest clients, a column for each kind of phase.
pub fn print_honest(seen: &Seen, columns: &[(&str, &[usize])]) {
    let columns: Vec<_> = columns.iter().map(|(name, phases)| (name, seen.together(phases))).collect();
    let row = |name: &str, value: &dyn Fn(&Phase) -> String| {
        let values: String = columns.iter().map(|(_, phase)| format!("{:>14}", value(phase))).collect();
        println!("{name:24}{values}");
    };
    println!();
    let names: String = columns.iter().map(|(name, _)| format!("{name:>14}")).collect();
    println!("{:24}{names}", "honest clients");
    row("requests answered", &|phase| phase.latencies.len().to_string());
    row("lost", &|phase| phase.lost.len().to_string());
    row("asked again (HTTP/2)", &|phase| phase.again.to_string());
    for percent in [50.0, 99.0, 99.9] {
        row(&format!("p{percent}"), &|phase| show(percentile(&phase.latencies, percent)));
    }
    row("sent late, p99", &|phase| show(percentile(&phase.lateness, 99.0)));
    for lost in seen.lost().take(10) {
        println!("lost: {lost}");
    }
}

/// What became of the attacks, by kind.
pub fn print_attacks(tally: &Tally) {
    let mut kinds: BTreeMap<&str, (u64, Vec<String>)> = BTreeMap::new();
    for ((kind, outcome), count) in tally.counts() {
        let (all, outcomes) = kinds.entry(kind).or_default();
        *all += count;
        outcomes.push(format!("{outcome}: {count}"));
    }
    println!("\n{:24}{:>14}  what came of it", "attacks", "times");
    for (kind, (all, outcomes)) in kinds {
        println!("{kind:24}{all:>14}  {}", outcomes.join(", "));
    }
}

/// What the gateway itself has counted.
pub fn print_counters(gateway: &Gateway) -> Result<()> {
    println!("\nthe gateway's own counters");
    for (name, labels) in [
        ("approov_gateway_requests_total", ["verdict", "reason"]),
        ("approov_gateway_limited_total", ["cause", "outcome"]),
    ] {
        let mut sums: BTreeMap<String, u64> = BTreeMap::new();
        for (series, value) in gateway.metric(name)? {
            let label = |wanted: &str| {
                let (_, rest) = series.split_once(&format!("{wanted}=\""))?;
                Some(rest.split('"').next().unwrap_or_default().to_owned())
            };
            let key: Vec<String> = labels.iter().filter_map(|wanted| label(wanted)).collect();
            *sums.entry(key.join(" ")).or_default() += value;
        }
        for (key, sum) in sums {
            println!("  {key:40}{sum:>10}");
        }
    }
    Ok(())
}

/// Memory, descriptors and CPU over time.
pub fn print_watch(watch: &Watch) {
    println!("\n{:>8} {:16}{:>12}{:>14}{:>12}", "after", "phase", "memory", "descriptors", "CPU");
    for pair in watch.samples.windows(2) {
        let (before, sample) = (&pair[0], &pair[1]);
        let load = (sample.cpu - before.cpu).as_secs_f64() / (sample.at - before.at).as_secs_f64();
        println!(
            "{:>6} s {:16}{:>12}{:>14}{:>10.0} %",
            sample.at.as_secs(),
            sample.phase,
            mebibytes(sample.resident_kib),
            sample.descriptors,
            100.0 * load
        );
    }
}

pub fn mebibytes(kib: u64) -> String {
    format!("{:.1} MiB", kib as f64 / 1024.0)
}

pub fn show(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1e3)
}

pub fn ratio(this: Duration, other: Duration) -> f64 {
    this.as_secs_f64() / other.as_secs_f64()
}
