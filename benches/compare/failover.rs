//! One of three addresses goes in the middle of a load of idempotent requests: how many of these
//! get something else than their answer.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use super::Result;
use super::load::oha::{self, Report};
use super::measure::{Bench, request};
use super::modes::{Fault, Mode, Shape};
use super::origin::Origin;
use super::peers::{Fleet, Peer};
use super::programs::Program;

/// An answer that is not there by then is lost.
const PATIENCE: [&str; 2] = ["-t", "10s"];

/// The statuses of a round, and what else came of requests.
#[derive(Clone, Debug)]
pub struct Round {
    pub statuses: BTreeMap<String, u64>,
    pub errors: BTreeMap<String, u64>,
    pub p99: f64,
    pub slowest: f64,
}

impl Round {
    pub fn requests(&self) -> u64 {
        self.statuses.values().chain(self.errors.values()).sum()
    }

    /// What was not the answer.
    fn lost(&self) -> impl Iterator<Item = (&String, &u64)> {
        self.statuses.iter().filter(|(status, _)| *status != "200").chain(&self.errors)
    }
}

/// The rounds of one peer.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub mode: Mode,
    pub peer: Peer,
    pub rounds: Vec<Round>,
}

impl Outcome {
    pub fn requests(&self) -> u64 {
        self.rounds.iter().map(Round::requests).sum()
    }

    pub fn lost(&self) -> u64 {
        self.rounds.iter().flat_map(Round::lost).map(|(_, count)| count).sum()
    }

    /// What was lost, and how often.
    pub fn losses(&self) -> String {
        let mut losses = BTreeMap::<&str, u64>::new();
        for (what, count) in self.rounds.iter().flat_map(Round::lost) {
            *losses.entry(what).or_default() += count;
        }
        losses.iter().map(|(what, count)| format!("{what}: {count}")).collect::<Vec<_>>().join(", ")
    }

    pub fn p99(&self) -> f64 {
        let mut all: Vec<f64> = self.rounds.iter().map(|round| round.p99).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
    }

    pub fn slowest(&self) -> f64 {
        self.rounds.iter().map(|round| round.slowest).fold(0.0, f64::max)
    }
}

/// Lets each peer lose an address in every round. Whatever a peer has learnt of its addresses ends
/// with the round, so each begins with a new process, and all three addresses anew.
pub fn measure(mode: Mode, fault: Fault, peers: &[Peer], bench: &Bench<'_>) -> Result<Vec<Outcome>> {
    let shape = mode.shape();
    let mut outcomes: Vec<Outcome> = Fleet::of(peers, shape.setup)
        .map(|peer| Outcome { mode, peer: peer.clone(), rounds: Vec::new() })
        .collect();
    for number in 1..=bench.effort.rounds {
        for outcome in &mut outcomes {
            let name = outcome.peer.name();
            let round = round(&outcome.peer, &shape, fault, bench)
                .map_err(|error| format!("{name}, {}: {error}", shape.title))?;
            let lost: u64 = round.lost().map(|(_, count)| count).sum();
            eprintln!("{} round {number} {name:13} {lost} of {} lost", mode.name(), round.requests());
            outcome.rounds.push(round);
        }
    }
    Ok(outcomes)
}

fn round(peer: &Peer, shape: &Shape, fault: Fault, bench: &Bench<'_>) -> Result<Round> {
    let start = |number| Origin::start(&format!("origin-{number}"), bench.programs, bench.folder);
    let origins = (1..=shape.setup.addresses).map(start).collect::<Result<Vec<_>>>()?;
    let addresses: Vec<SocketAddr> = origins.iter().map(Origin::address).collect();
    let running = bench.start_before(&addresses, peer, shape.setup)?;
    let goes = origins.last().ok_or("an origin without an address")?;

    let length = oha::for_seconds(bench.effort.seconds).into_iter().chain(PATIENCE.map(str::to_owned));
    let (oha, target) = (bench.programs.path(Program::Oha)?, bench.target(&running, shape));
    let load = oha::start(oha, target, &request(shape)?, &length.collect::<Vec<_>>())?;
    thread::sleep(Duration::from_secs_f64(bench.effort.seconds / 3.0));
    goes.process.signal(match fault {
        Fault::Killed => Signal::KILL,
        Fault::Stopped => Signal::STOP,
    });
    let Report { statuses, errors, latencies, slowest, .. } = oha::read(load)?;
    Ok(Round { statuses, errors, p99: latencies.p99, slowest })
}
