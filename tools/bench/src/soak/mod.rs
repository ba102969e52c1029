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
mod stage;

use std::time::Duration;
use std::{process, thread};

use clap::ValueEnum;

use crate::rig::{Result, prepare};
use hostile::{Attack, Kind};
use plan::Plan;

/// The time that a run may take beyond its plan.
const PATIENCE: Duration = Duration::from_secs(120);

/// Attack the gateway and count what honest clients lose
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[arg(value_enum, default_value_t)]
    scenario: Scenario,
    /// Length of the run; `banned` and `keys` do a fixed amount of work. Default: 600 for `all`, 40 for the others
    #[arg(long)]
    seconds: Option<u32>,
    /// Honest requests a second, except for `banned` and `keys`. Default: 300 for `all`, 1000 for the others
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
    pub fn duration(&self) -> Duration {
        let default = if self.scenario == Scenario::All { 600 } else { 40 };
        Duration::from_secs(self.seconds.unwrap_or(default).max(1).into())
    }

    pub fn rate(&self) -> u32 {
        self.rate.unwrap_or(if self.scenario == Scenario::All { 300 } else { 1000 }).max(1)
    }
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let gateway = prepare()?;
    let is_fixed = matches!(arguments.scenario, Scenario::Banned | Scenario::Keys);
    let most = if is_fixed { 10 * PATIENCE } else { arguments.duration() + PATIENCE };
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

/// The attacks and limits of a scenario. This program has all other ends, and usually 20 000 descriptors.
fn plan(arguments: &Arguments) -> Plan {
    use Scenario::{Admin, All, Banned, Flood, Keys, Log, Origins, Slow};
    let rate = arguments.rate();
    let at_rate = |kind, share: u32| Attack::at_rate(kind, rate.div_ceil(share));
    let flood = Attack::at_rate(Kind::WrongSignatures, 10 * rate);
    let held = rate.min(500);
    // Seldom, so that no request is sent while a late answer to the last one is on its way: a client cannot
    // tell such an answer from that to its own request.
    let hostile_origin = Attack::at_rate(Kind::HostileOrigin, 10);
    match arguments.scenario {
        All | Banned | Keys => Plan {
            rounds: 1,
            shares: [1, 3, 1],
            stalls_log: true,
            is_step_by_step: false,
            ..Plan::of(vec![
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
            ])
        },
        Flood => Plan { limit: Some(2.0), ..Plan::of(vec![flood]) },
        // One round: memory that so many connections leave behind is returned during the next round
        // without them, and would slow that round down.
        Slow => Plan {
            limit: Some(1.2),
            rounds: 1,
            ..Plan::of(vec![
                Attack::held(Kind::SlowHead, 1700),
                Attack::held(Kind::SlowBody, 1700),
                Attack::held(Kind::SlowReader, 1600),
            ])
        },
        Origins => Plan::of(vec![hostile_origin]),
        Admin => Plan::of(vec![Attack::held(Kind::SilentAdmin, 3000), at_rate(Kind::Admin, 5)]),
        Log => Plan { stalls_log: true, rounds: 1, ..Plan::of(Vec::new()) },
    }
}
