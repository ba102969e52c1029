//! `compare`: the gateway next to its peers, with the same requests in one run.
//!
//! The peers are pinned to the first core, the origin and the load to the others. A peer is checked
//! before it is measured. The peers take turns within each round, so that a machine that changes its
//! speed changes it for all, and ratios are taken round by round.

mod build;
mod checks;
mod cost;
mod failover;
mod handshakes;
mod measure;
mod memory;
mod modes;
mod peers;
mod programs;
mod table;
mod targets;

use std::path::PathBuf;
use std::process::Command;

use clap::builder::{PossibleValue, PossibleValuesParser};
use serde_json::{Map, Value, json};

use crate::rig::certificate::{Certificate, KeyKind};
use crate::rig::cores::Cores;
use crate::rig::folder::{Folder, results, shown, target};
use crate::rig::process::Process;
use crate::rig::{Result, gateway, machine};
use build::Build;
use measure::{Bench, Effort};
use modes::{ACCEPTED, MODES, Measure, Mode};
use peers::Peer;
use programs::PROGRAMS;
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
    /// What the access log, request ids and tracing cost of a request
    #[arg(long, conflicts_with_all = ["modes", "peers", "targets"])]
    cost: bool,
    /// Only these: gateway, gateway-pgo, bare, haproxy, nginx-njs, nginx, envoy, workerd, and the names given
    /// with --build; openssl, rustls, rustls-ring and tcp for handshakes. A build has
    /// the variants NAME:direct, NAME:pingora, NAME:small-pages, NAME:quiet and NAME:traced. Default: all
    /// that are installed, except variants
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    peers: Vec<String>,
    /// Only these. `latency-…` needs the rate of `accepted` and adds it. Default: all except `growth` and
    /// `handshake-…`
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', value_parser = modes())]
    modes: Vec<String>,
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
    /// The builds of the gateway that can be measured.
    fn builds(&self) -> Result<Vec<Build>> {
        let build = |(name, path): &(String, PathBuf)| Build::new(name, path.clone());
        let mut builds: Vec<Build> = self.builds.iter().map(build).collect();
        let optimised = target()?.join("pgo/approov-gateway");
        if optimised.is_file() && builds.iter().all(|build| build.name != "gateway-pgo") {
            builds.push(Build::new("gateway-pgo", optimised));
        }
        let is_named = |name: &String| name.split(':').next() == Some("gateway");
        if self.targets || self.peers.is_empty() || self.peers.iter().any(is_named) {
            builds.insert(0, Build::new("gateway", gateway::build()?));
        }
        Ok(builds)
    }

    /// The peers to measure, in the order of the tables.
    fn peers(&self) -> Result<Vec<Peer>> {
        let builds = self.builds()?;
        let preset = match (self.targets, self.cost) {
            (true, _) => &targets::PEERS[..],
            (_, true) => &cost::PEERS,
            _ => &[],
        };
        if preset.is_empty() && self.peers.is_empty() {
            let others = Peer::others().filter(|peer| peer.is_missing().is_none());
            return Ok(builds.into_iter().map(Peer::gateway).chain(others).collect());
        }
        let names = preset.iter().copied().chain(self.peers.iter().map(String::as_str));
        names.map(|name| choose(name, &builds)).collect()
    }

    /// The modes to measure, in their own order.
    fn modes(&self) -> Vec<&'static Mode> {
        let names = match (self.targets, self.cost) {
            (true, _) => targets::modes(),
            (_, true) => cost::MODES.map(str::to_owned).to_vec(),
            _ => self.modes.clone(),
        };
        let is_named = |mode: &&Mode| match names.is_empty() {
            true => !mode.is_on_demand(),
            false => names.iter().any(|name| name == mode.name),
        };
        let needs_rate = MODES.iter().filter(is_named).any(|mode| matches!(mode.measure, Measure::Open(_)));
        MODES.iter().filter(|mode| is_named(mode) || (needs_rate && mode.name == ACCEPTED.name)).collect()
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
    if let Some(peer) = Peer::others().find(|peer| peer.name == name) {
        return match peer.is_missing() {
            None => Ok(peer),
            Some(missing) => Err(format!("{name} cannot run: {missing}").into()),
        };
    }
    let mut parts = name.split(':');
    let build = parts.next().and_then(|name| builds.iter().find(|build| build.name == name));
    let build = build.ok_or_else(|| format!("there is no peer {name:?}"))?.clone();
    Ok(Peer::gateway(parts.try_fold(build, Build::variant)?))
}

/// The names of the modes, as a parser.
fn modes() -> PossibleValuesParser {
    MODES.iter().map(|mode| PossibleValue::new(mode.name).help(mode.title)).collect::<Vec<_>>().into()
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
        ecdsa: Certificate::new(&folder, KeyKind::Ecdsa)?,
        rsa: Certificate::new(&folder, KeyKind::Rsa)?,
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
    if arguments.cost {
        cost::print(&tables);
    }
    std::fs::create_dir_all(results())?;
    let place = results().join("compare.json");
    std::fs::write(&place, serde_json::to_string_pretty(&json(&peers, bench.effort, &tables))?)?;
    println!("\nall figures, round by round: {}", shown(&place));
    Ok(())
}

/// All figures, with the machine and the versions that they belong to.
fn json(peers: &[Peer], effort: Effort, tables: &[Table]) -> Value {
    let programs = PROGRAMS.map(|program| (program.name.to_owned(), program.version().into()));
    json!({
        "machine": machine::describe(),
        "rounds": effort.rounds,
        "seconds": effort.seconds,
        "programs": Map::from_iter(programs),
        "peers": Map::from_iter(peers.iter().map(|peer| (peer.name.clone(), peer.about().into()))),
        "results": tables.iter().map(Table::json).collect::<Vec<_>>(),
    })
}
