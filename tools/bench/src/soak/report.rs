//! Tables on standard output, and the verdict.

use super::hostile::Tally;
use crate::load::{Phase, Seen};
use crate::rig::Result;
use crate::rig::figures::{percentile, show};

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
    println!("\n{:>12}  attacks: outcome", "times");
    for (outcome, count) in tally {
        println!("{count:>12}  {outcome}");
    }
}
