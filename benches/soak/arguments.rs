//! The command line.

use std::time::Duration;

use clap::{Parser, ValueEnum};

/// Attack the gateway and see what becomes of its honest clients.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo bench --bench soak --")]
pub struct Arguments {
    /// What is done
    #[arg(value_enum, default_value_t)]
    pub scenario: Scenario,
    /// How long, in minutes. Default: 10 for everything at once, else 40 seconds
    #[arg(long, conflicts_with = "seconds")]
    minutes: Option<u32>,
    /// How long, in seconds
    #[arg(long)]
    seconds: Option<u32>,
    /// Honest requests a second. Default: 300 for everything at once, 1000 for `flood` and `slow`
    #[arg(long)]
    rate: Option<u32>,
    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
    /// See only that everything runs, and judge no figures.
    #[arg(skip)]
    pub is_brief: bool,
}

/// What is done, and what has to come of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// All kinds of attack at once: nothing honest lost, memory and descriptors come back
    #[default]
    Soak,
    /// Wrongly signed tokens at ten times the honest rate: p99 at most twice that without
    Flood,
    /// 5000 slow connections: p99 at most 1.2 times that without
    Slow,
    /// A connection from a banned address costs at most half of one with a refused request
    Banned,
    /// A million addresses, one request each: memory grows by no more than the tables' bound
    Keys,
}

impl Arguments {
    /// What `cargo test --benches` does.
    pub fn brief() -> Self {
        let scenario = Scenario::Soak;
        Self { scenario, minutes: None, seconds: Some(2), rate: Some(50), bench: false, is_brief: true }
    }

    /// How long it is to take.
    pub fn duration(&self) -> Duration {
        let default = if self.scenario == Scenario::Soak { 600 } else { 40 };
        let seconds = self.minutes.map(|minutes| minutes.saturating_mul(60)).or(self.seconds);
        Duration::from_secs(seconds.unwrap_or(default).max(1).into())
    }

    /// Honest requests a second.
    pub fn rate(&self) -> u32 {
        self.rate.unwrap_or(if self.scenario == Scenario::Soak { 300 } else { 1000 }).max(1)
    }
}
