//! `soak`: honest clients next to hostile ones, over whole processes on loopback.
//!
//! The gateway has the first core, the clients and the origin share the others. Honest clients ask in
//! open loop. Hostile clients come from other addresses of 127.0.0.0/8, so that limits by address work
//! as on the internet, and they have a lower priority than the honest clients on a shared core.
//!
//! A request is lost if it is refused, answered wrongly, or not answered within ten seconds. The command
//! fails on one lost request, on one refused request at the origin, on memory or descriptors that do not
//! come back, and on a figure beyond its limit.

mod banned;
mod hostile;
mod keys;
mod plan;
mod report;
mod stage;

use std::time::Duration;
use std::{process, thread};

use clap::ValueEnum;

use crate::rig::{Result, gateway, machine};
use hostile::{Attack, Kind};
use plan::Plan;
pub use report::Verdict;

/// The time that a run may take beyond its plan.
const PATIENCE: Duration = Duration::from_secs(120);

/// Attack the gateway and count what honest clients lose
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[arg(value_enum, default_value_t)]
    scenario: Scenario,
    /// Length of the run in minutes. Default: 10 for `all`, 40 seconds for the others
    #[arg(long, conflicts_with = "seconds")]
    minutes: Option<u32>,
    #[arg(long)]
    seconds: Option<u32>,
    /// Honest requests a second. Default: 300 for `all`, 1000 for the others
    #[arg(long)]
    rate: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// All attacks at once: no honest request is lost, memory and descriptors come back
    #[default]
    All,
    /// Wrongly signed tokens at ten times the honest rate: p99 at most twice that without
    Flood,
    /// 5 000 slow connections: p99 at most 1.2 times that without
    Slow,
    /// A connection from a banned address costs at most half of one with a refused request
    Banned,
    /// A million addresses with one request each: memory grows by no more than the tables take
    Keys,
    /// Answers of a hostile origin: none reaches another client, none that is malformed is passed on
    Origins,
    /// A flood of the admin listener: no honest request is lost
    Admin,
    /// A reader of the access log that stops: no honest request is lost, and the gateway ends on TERM
    Log,
}

impl Arguments {
    /// The length of the run.
    pub fn duration(&self) -> Duration {
        let default = if self.scenario == Scenario::All { 600 } else { 40 };
        let seconds = self.minutes.map(|minutes| minutes.saturating_mul(60)).or(self.seconds);
        Duration::from_secs(seconds.unwrap_or(default).max(1).into())
    }

    /// Honest requests a second.
    pub fn rate(&self) -> u32 {
        self.rate.unwrap_or(if self.scenario == Scenario::All { 300 } else { 1000 }).max(1)
    }
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let gateway = gateway::build()?;
    machine::announce();
    machine::raise_descriptor_limit()?;
    let most = arguments.duration() + PATIENCE;
    thread::spawn(move || {
        thread::sleep(most);
        eprintln!("not done after {} s", most.as_secs());
        process::exit(2);
    });
    match arguments.scenario {
        Scenario::Banned => banned::run(&gateway),
        Scenario::Keys => keys::run(&gateway),
        _ => plan(arguments).run(arguments, &gateway),
    }
}

/// The attacks of a scenario, and the limits of its figures. This program has the other end of each
/// connection, and usually 20 000 descriptors.
fn plan(arguments: &Arguments) -> Plan {
    let rate = arguments.rate();
    let at_rate = |kind, share: u32| Attack::at_rate(kind, rate.div_ceil(share));
    let flood = Attack::at_rate(Kind::WrongSignatures, 10 * rate);
    let held = rate.min(500);
    // The next request must come after a late answer, which nothing else tells from its own answer.
    let hostile_origin = Attack::at_rate(Kind::HostileOrigin, 10);
    let usual = Plan {
        attacks: Vec::new(),
        rounds: 4,
        shares: [1, 1, 0],
        limit: None,
        stalls_log: false,
        is_step_by_step: true,
    };
    match arguments.scenario {
        Scenario::All | Scenario::Banned | Scenario::Keys => Plan {
            attacks: vec![
                flood,
                at_rate(Kind::RapidResets, 100),
                at_rate(Kind::NewKey, 5),
                at_rate(Kind::Offender, 5),
                at_rate(Kind::Admin, 20),
                at_rate(Kind::Oversize, 20),
                at_rate(Kind::Garbage, 10),
                hostile_origin,
                Attack::held(Kind::SlowHead, held),
                Attack::held(Kind::SlowBody, held),
                Attack::held(Kind::SlowReader, held),
                Attack::held(Kind::Silent, 2 * held),
                Attack::held(Kind::SilentAdmin, 2 * held),
            ],
            rounds: 1,
            shares: [1, 3, 1],
            stalls_log: true,
            is_step_by_step: false,
            ..usual
        },
        Scenario::Flood => Plan { attacks: vec![flood], limit: Some(2.0), ..usual },
        // One round: memory that so many connections leave behind is returned during the next round
        // without them, and would slow that round down.
        Scenario::Slow => Plan {
            attacks: vec![
                Attack::held(Kind::SlowHead, 1700),
                Attack::held(Kind::SlowBody, 1700),
                Attack::held(Kind::SlowReader, 1600),
            ],
            limit: Some(1.2),
            rounds: 1,
            ..usual
        },
        Scenario::Origins => Plan { attacks: vec![hostile_origin], ..usual },
        Scenario::Admin => {
            let attacks = vec![Attack::held(Kind::SilentAdmin, 3000), at_rate(Kind::Admin, 5)];
            Plan { attacks, ..usual }
        }
        Scenario::Log => Plan { stalls_log: true, rounds: 1, ..usual },
    }
}
