//! `compare`: the gateway next to its peers, with the same requests in one run.
//!
//! The peers are pinned to the first core, the origin and the load to the others. A peer is checked
//! before it is measured. The peers take turns within each round, so that a machine that changes its
//! speed changes it for all, and ratios are taken round by round.

mod checks;
mod failover;
mod measure;
mod memory;
pub mod modes;
pub mod peers;
pub mod programs;
mod report;
mod templates;

use std::path::PathBuf;
use std::process::Command;

use clap::ValueEnum as _;

use crate::rig::certificate::{Certificate, KeyKind};
use crate::rig::cores::Cores;
use crate::rig::folder::{Folder, results, shown, target};
use crate::rig::process::Process;
use crate::rig::{Result, gateway, machine};
use measure::{Bench, Effort};
use modes::{Measure, Mode};
use peers::{Peer, Running};
use report::Results;

/// Compare the gateway with its peers
///
/// Nothing is installed. Missing peers are named with the command that installs them.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Fewer and shorter rounds: rough figures
    #[arg(long)]
    quick: bool,
    /// Only these: gateway, gateway-pgo, bare, haproxy, haproxy-nolog, nginx-njs, nginx, envoy, workerd,
    /// and the names given with --build. Default: all that are installed, except haproxy-nolog
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    peers: Vec<String>,
    /// Only these. `latency-…` needs the rate of `accepted` and adds it. Default: all except `growth`
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    modes: Vec<Mode>,
    /// Another build of the gateway, measured under this name
    #[arg(long = "build", value_name = "NAME=PATH", value_parser = parse_build)]
    builds: Vec<(String, PathBuf)>,
    /// Number of rounds
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds of one round of one peer
    #[arg(long)]
    seconds: Option<f64>,
}

impl Arguments {
    /// The peers to measure, in the order of the tables.
    fn peers(&self) -> Result<Vec<Peer>> {
        let is_wanted = |name: &str| self.peers.is_empty() || self.peers.iter().any(|peer| peer == name);
        let mut builds = self.builds.clone();
        let optimised = target()?.join("pgo/approov-gateway");
        if optimised.is_file() && builds.iter().all(|(name, _)| name != "gateway-pgo") {
            builds.insert(0, ("gateway-pgo".into(), optimised));
        }
        if is_wanted("gateway") {
            builds.insert(0, ("gateway".into(), gateway::build()?));
        }
        let builds = builds.into_iter().map(|(name, path)| Peer::Gateway { name, path });
        let known: Vec<Peer> = builds.chain(Peer::OTHERS).collect();
        if self.peers.is_empty() {
            let is_default = |peer: &Peer| peer.is_missing().is_none() && *peer != Peer::HaproxyNoLog;
            return Ok(known.into_iter().filter(is_default).collect());
        }
        let choose = |name: &String| {
            let peer = known.iter().find(|peer| peer.name() == name);
            let peer = peer.ok_or_else(|| format!("there is no peer {name:?}"))?;
            match peer.is_missing() {
                None => Ok(peer.clone()),
                Some(missing) => Err(format!("{name} cannot run: {missing}").into()),
            }
        };
        self.peers.iter().map(choose).collect()
    }

    /// The modes to measure, in their own order.
    fn modes(&self) -> Vec<Mode> {
        let mut modes = self.modes.clone();
        if modes.is_empty() {
            modes.extend(Mode::value_variants().iter().filter(|mode| **mode != Mode::Growth));
        }
        if modes.iter().any(|mode| matches!(mode.shape().measure, Measure::Open(_))) {
            modes.push(Mode::Accepted);
        }
        modes.sort_unstable();
        modes.dedup();
        modes
    }

    fn effort(&self) -> Effort {
        let (rounds, seconds) = if self.quick { (3, 1.0) } else { (7, 3.0) };
        Effort { rounds: self.rounds.unwrap_or(rounds).max(1), seconds: self.seconds.unwrap_or(seconds) }
    }
}

fn parse_build(text: &str) -> std::result::Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && PathBuf::from(path).is_file() => {
            Ok((name.into(), path.into()))
        }
        _ => Err("write NAME=PATH with the path of a program".into()),
    }
}

pub fn run(arguments: &Arguments) -> Result<()> {
    programs::print();
    let peers = arguments.peers()?;
    machine::announce();
    machine::raise_descriptor_limit()?;
    let cores = Cores::assign()?;
    let folder = Folder::new()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("origin");
    let origin = Process::start("the origin", &command)?;
    let mut bench = Bench {
        effort: arguments.effort(),
        certificate: Certificate::new(&folder, KeyKind::Ecdsa)?,
        folder,
        cores,
        origin: origin.await_line("listening on http://")?.parse()?,
        highest_rate: None,
    };
    let mut results = Results::default();
    let mut fleet: Option<(modes::Setup, Vec<Running>)> = None;
    for mode in arguments.modes() {
        let shape = mode.shape();
        match shape.measure {
            Measure::Held(held) => {
                fleet = None;
                let footprints = memory::measure(mode, held, &peers, &bench)?;
                report::print_memory(&footprints);
                results.memory.extend(footprints);
            }
            Measure::Growth => {
                fleet = None;
                let growth = memory::growth(&peers, &bench)?;
                report::print_growth(&growth);
                results.growth.extend(growth);
            }
            Measure::Failover(fault) => {
                fleet = None;
                let outcomes = failover::measure(mode, fault, &peers, &bench)?;
                report::print_failover(&outcomes);
                results.failover.extend(outcomes);
            }
            Measure::Closed | Measure::Open(_) => {
                if fleet.as_ref().is_none_or(|(setup, _)| *setup != shape.setup || shape.is_in_flight) {
                    // The peers of the last setup end before those of the next one start.
                    drop(fleet.take());
                    let concerned = peers.iter().filter(|peer| peer.has(shape.setup));
                    let start = |peer| bench.start(peer, shape.setup, &[bench.origin]);
                    fleet = Some((shape.setup, concerned.map(start).collect::<Result<_>>()?));
                }
                let (_, running) = fleet.as_ref().ok_or("no peer runs")?;
                let series = bench.measure(mode, running)?;
                report::print(&series);
                results.series.push(series);
            }
        }
    }
    let json = report::json(&peers, &bench, &results);
    std::fs::create_dir_all(self::results())?;
    let place = self::results().join("compare.json");
    std::fs::write(&place, serde_json::to_string_pretty(&json)?)?;
    println!("\nall figures, round by round: {}", shown(&place));
    Ok(())
}
