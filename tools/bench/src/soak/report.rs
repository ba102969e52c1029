//! Tables on standard output, and the verdict.

use std::collections::BTreeMap;

use super::hostile::Tally;
use super::watch::Watch;
use crate::load::{Phase, Seen};
use crate::rig::Result;
use crate::rig::figures::{mebibytes, percentile, show};
use crate::rig::gateway::Gateway;

/// The expectations that did not hold.
#[derive(Debug, Default)]
pub struct Verdict {
    failures: Vec<String>,
}

impl Verdict {
    /// Prints whether an expectation holds.
    pub fn expect(&mut self, holds: bool, what: impl Into<String>) {
        let what = what.into();
        println!("{} {what}", if holds { "ok    " } else { "FAILED" });
        if !holds {
            self.failures.push(what);
        }
    }

    /// # Errors
    /// All expectations that did not hold.
    pub fn judge(self) -> Result<()> {
        if self.failures.is_empty() {
            println!("\nPASSED: every expectation holds");
            return Ok(());
        }
        println!("\nFAILED: {} expectations do not hold", self.failures.len());
        Err(self.failures.join("; ").into())
    }
}

/// Honest clients, a column for each group of phases.
pub fn print_honest(seen: &Seen, columns: &[(&str, Vec<usize>)]) {
    let columns: Vec<_> = columns.iter().map(|(name, phases)| (name, seen.together(phases))).collect();
    let row = |name: &str, value: &dyn Fn(&Phase) -> String| {
        let values: String = columns.iter().map(|(_, phase)| format!("{:>14}", value(phase))).collect();
        println!("{name:24}{values}");
    };
    println!();
    let names: String = columns.iter().map(|(name, _)| format!("{name:>14}")).collect();
    println!("{:24}{names}", "honest clients");
    row("requests answered", &|phase| phase.latencies.len().to_string());
    row("lost", &|phase| phase.lost().to_string());
    for percent in [50.0, 99.0, 99.9] {
        row(&format!("p{percent}"), &|phase| show(phase.latency(percent)));
    }
    row("sent late, p99", &|phase| show(percentile(&phase.lateness, 99.0)));
    for (lost, count) in seen.whole().failures.iter().take(10) {
        println!("lost: {count} times {lost}");
    }
}

/// Outcomes of the attacks, by kind.
pub fn print_attacks(tally: &Tally) {
    let mut kinds: BTreeMap<&str, (u64, Vec<String>)> = BTreeMap::new();
    for ((kind, outcome), count) in tally.counts() {
        let (all, outcomes) = kinds.entry(kind).or_default();
        *all += count;
        outcomes.push(format!("{outcome}: {count}"));
    }
    println!("\n{:24}{:>14}  outcomes", "attacks", "times");
    for (kind, (all, outcomes)) in kinds {
        println!("{kind:24}{all:>14}  {}", outcomes.join(", "));
    }
}

/// The counters of the gateway itself.
pub fn print_counters(gateway: &Gateway) -> Result<()> {
    println!("\ncounters of the gateway");
    for (name, labels) in [
        ("approov_gateway_requests_total", ["verdict", "reason"]),
        ("approov_gateway_limited_total", ["cause", "outcome"]),
        ("approov_gateway_upstream_errors_total", ["origin", "kind"]),
        ("approov_gateway_access_log_dropped_lines_total", ["", ""]),
    ] {
        let mut sums: BTreeMap<String, u64> = BTreeMap::new();
        for (series, value) in gateway.metric(name)? {
            let label = |wanted: &str| {
                let (_, rest) = series.split_once(&format!("{wanted}=\""))?;
                Some(rest.split('"').next().unwrap_or_default().to_owned())
            };
            let key: Vec<String> = labels.iter().filter_map(|wanted| label(wanted)).collect();
            *sums.entry(if key.is_empty() { name.into() } else { key.join(" ") }).or_default() += value;
        }
        for (key, sum) in sums {
            println!("  {key:48}{sum:>10}");
        }
    }
    Ok(())
}

pub fn print_watch(watch: &Watch) {
    println!("\n{:>8} {:16}{:>12}{:>14}{:>12}", "after", "part", "memory", "descriptors", "CPU");
    for slice in &watch.slices {
        println!(
            "{:>6} s {:16}{:>12}{:>14}{:>10.0} %",
            slice.at.as_secs(),
            slice.part,
            mebibytes(slice.memory_kib),
            slice.descriptors,
            100.0 * slice.busy
        );
    }
}
