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
mod table;
mod targets;
mod templates;

use std::path::PathBuf;
use std::process::Command;

use clap::ValueEnum as _;
use serde_json::{Map, Value, json};

use crate::rig::certificate::{Certificate, KeyKind};
use crate::rig::cores::Cores;
use crate::rig::folder::{Folder, results, shown, target};
use crate::rig::process::Process;
use crate::rig::{Result, gateway, machine};
use measure::{Bench, Effort};
use modes::{Measure, Mode};
use peers::{Build, Peer};
use programs::Program;
use table::Table;

/// Compare the gateway with its peers
///
/// Nothing is installed. Missing peers are named with the command that installs them.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Fewer and shorter rounds: rough figures
    #[arg(long)]
    quick: bool,
    /// The modes and peers that have target values, and whether the gateway reaches them
    #[arg(long, conflicts_with = "modes")]
    targets: bool,
    /// Only these: gateway, gateway-pgo, bare, haproxy, haproxy-nolog, nginx-njs, nginx, envoy, workerd,
    /// and the names given with --build. A build has the variants NAME:direct, NAME:pingora and
    /// NAME:small-pages. Default: all that are installed, except variants and haproxy-nolog
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
        let mut builds = self.builds.clone();
        let optimised = target()?.join("pgo/approov-gateway");
        if optimised.is_file() && builds.iter().all(|(name, _)| name != "gateway-pgo") {
            builds.insert(0, ("gateway-pgo".into(), optimised));
        }
        if self.peers.is_empty() || self.peers.iter().any(|name| name.split(':').next() == Some("gateway")) {
            builds.insert(0, ("gateway".into(), gateway::build()?));
        }
        let builds: Vec<Build> = builds.iter().map(|(name, path)| Build::new(name, path.clone())).collect();
        if !self.peers.is_empty() {
            return self.peers.iter().map(|name| choose(name, &builds)).collect();
        }
        let mut peers = Vec::new();
        for build in builds {
            if self.targets && build.has_exchanges() {
                for exchange in ["direct", "pingora"] {
                    peers.push(Peer::Gateway(build.clone().variant(exchange)?));
                }
            } else {
                peers.push(Peer::Gateway(build));
            }
        }
        let others = if self.targets { &[Peer::Haproxy, Peer::Nginx][..] } else { &Peer::OTHERS };
        for peer in others.iter().filter(|peer| **peer != Peer::HaproxyNoLog) {
            match peer.is_missing() {
                Some(missing) if self.targets => return Err(missing.into()),
                Some(_) => {}
                None => peers.push(peer.clone()),
            }
        }
        Ok(peers)
    }

    /// The modes to measure, in their own order.
    fn modes(&self) -> Vec<Mode> {
        let mut modes = if self.targets { targets::modes() } else { self.modes.clone() };
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
        let (rounds, seconds) = match (self.quick, self.targets) {
            (true, _) => (3, 1.0),
            (false, true) => (5, 2.0),
            (false, false) => (7, 3.0),
        };
        Effort { rounds: self.rounds.unwrap_or(rounds).max(1), seconds: self.seconds.unwrap_or(seconds) }
    }
}

/// The peer with this name, or a variant of a build.
fn choose(name: &str, builds: &[Build]) -> Result<Peer> {
    if let Some(peer) = Peer::OTHERS.into_iter().find(|peer| peer.name() == name) {
        return match peer.is_missing() {
            None => Ok(peer),
            Some(missing) => Err(format!("{name} cannot run: {missing}").into()),
        };
    }
    let mut parts = name.split(':');
    let build = parts.next().and_then(|name| builds.iter().find(|build| build.name == name));
    let build = build.ok_or_else(|| format!("there is no peer {name:?}"))?.clone();
    Ok(Peer::Gateway(parts.try_fold(build, Build::variant)?))
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
        fleet: None,
        highest_rate: None,
    };
    let mut tables = Vec::new();
    for mode in arguments.modes() {
        let table = bench.measure(mode, &peers)?;
        table.print();
        tables.push(table);
    }
    if arguments.targets {
        targets::print(&tables, &peers);
    }
    std::fs::create_dir_all(results())?;
    let place = results().join("compare.json");
    std::fs::write(&place, serde_json::to_string_pretty(&json(&peers, bench.effort, &tables))?)?;
    println!("\nall figures, round by round: {}", shown(&place));
    Ok(())
}

/// All figures, with the machine and the versions that they belong to.
fn json(peers: &[Peer], effort: Effort, tables: &[Table]) -> Value {
    let programs = Program::ALL.map(|program| (program.name().to_owned(), program.version().into()));
    json!({
        "machine": machine::describe(),
        "rounds": effort.rounds,
        "seconds": effort.seconds,
        "programs": Map::from_iter(programs),
        "peers": Map::from_iter(peers.iter().map(|peer| (peer.name().to_owned(), peer.describe().into()))),
        "results": tables.iter().map(Table::json).collect::<Vec<_>>(),
    })
}
