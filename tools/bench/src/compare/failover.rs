//! One of three addresses of the origin fails under a load of idempotent requests: how many of them do
//! not get their answer.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde::Serialize;

use super::measure::Bench;
use super::modes::{Fault, Mode, Shape};
use super::peers::Peer;
use crate::load::{Load, Pace};
use crate::rig::Result;
use crate::rig::figures::median;
use crate::rig::process::Process;

/// A request without an answer within this time is lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// The rounds of one peer.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    pub mode: Mode,
    pub peer: Peer,
    pub rounds: Vec<Round>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Round {
    requests: u64,
    /// What came in place of the answer, and how often.
    failures: BTreeMap<String, u64>,
    p99: f64,
    slowest: f64,
}

impl Outcome {
    pub fn requests(&self) -> u64 {
        self.rounds.iter().map(|round| round.requests).sum()
    }

    pub fn lost(&self) -> u64 {
        self.rounds.iter().flat_map(|round| round.failures.values()).sum()
    }

    /// What came in place of the answer, and how often.
    pub fn losses(&self) -> String {
        let mut losses = BTreeMap::<&str, u64>::new();
        for (what, count) in self.rounds.iter().flat_map(|round| &round.failures) {
            *losses.entry(what).or_default() += count;
        }
        losses.iter().map(|(what, count)| format!("{what}: {count}")).collect::<Vec<_>>().join(", ")
    }

    pub fn p99(&self) -> f64 {
        median(self.rounds.iter().map(|round| round.p99))
    }

    pub fn slowest(&self) -> f64 {
        self.rounds.iter().map(|round| round.slowest).fold(0.0, f64::max)
    }
}

/// In every round each peer loses an address. A round begins with a new process and with all three
/// addresses, because a peer remembers failures.
pub fn measure(mode: Mode, fault: Fault, peers: &[Peer], bench: &Bench) -> Result<Vec<Outcome>> {
    let shape = mode.shape();
    let concerned = peers.iter().filter(|peer| peer.has(shape.setup));
    let mut outcomes: Vec<Outcome> =
        concerned.map(|peer| Outcome { mode, peer: peer.clone(), rounds: Vec::new() }).collect();
    for number in 1..=bench.effort.rounds {
        for outcome in &mut outcomes {
            let name = outcome.peer.name();
            let round = round(&outcome.peer, &shape, fault, bench)
                .map_err(|error| format!("{name}, {}: {error}", shape.title))?;
            let lost: u64 = round.failures.values().sum();
            eprintln!("{} round {number} {name:13} {lost} of {} lost", mode.name(), round.requests);
            outcome.rounds.push(round);
        }
    }
    Ok(outcomes)
}

fn round(peer: &Peer, shape: &Shape, fault: Fault, bench: &Bench) -> Result<Round> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("origin");
    let start = |_| Process::start("the origin", &command);
    let origins = (0..shape.setup.addresses).map(start).collect::<Result<Vec<_>>>()?;
    let address = |origin: &Process| Ok(origin.await_line("listening on http://")?.parse()?);
    let addresses = origins.iter().map(address).collect::<Result<Vec<SocketAddr>>>()?;
    let running = bench.start(peer, shape.setup, &addresses)?;

    let mut script = bench.script(&running, shape)?;
    script.patience = Some(PATIENCE);
    let load = Load::start(shape.connections, Pace::Closed, 2 * PATIENCE, move || Ok(script))?;
    let length = Duration::from_secs_f64(bench.effort.seconds);
    thread::sleep(length / 3);
    let failing = origins.last().ok_or("the origin has no address")?;
    failing.signal(match fault {
        Fault::Killed => Signal::KILL,
        Fault::Stopped => Signal::STOP,
    })?;
    thread::sleep(length * 2 / 3);
    let seen = load.finish()?.whole();
    let at = |percent| seen.latency(percent).as_secs_f64();
    Ok(Round { requests: seen.requests(), p99: at(99.0), slowest: at(100.0), failures: seen.failures })
}
