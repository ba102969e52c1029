//! `compare`: the gateway next to its peers, with the same requests in one run.
//!
//! The peers are pinned to the first core, the origin and the load to the others. A peer is checked
//! before it is measured. The peers take turns within each round, so that a machine that changes its
//! speed changes it for all, and ratios are taken round by round.

mod checks;
mod failover;
mod handshakes;
mod measure;
mod memory;
mod modes;
mod peers;
mod programs;
mod table;
mod targets;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser};
use serde_json::json;

use crate::origin;
use crate::rig::certificate::{Certificate, KeyKind};
use crate::rig::folder::results;
use crate::rig::{Cores, Folder, Result, machine};
use measure::Bench;
use modes::{ACCEPTED, MODES, Measure, Mode};
use peers::Peer;
use programs::PROGRAMS;
use table::Table;
use targets::{COST, Preset, TARGETS};

/// Compare the gateway with its peers
///
/// Nothing is installed. Missing peers are named with the command that installs them.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The modes and peers that have target values, and whether the gateway reaches them
    #[arg(long, conflicts_with = "modes")]
    targets: bool,
    /// What the access log, request ids and tracing cost of a request
    #[arg(long, conflicts_with_all = ["modes", "peers", "targets"])]
    cost: bool,
    /// Only these: gateway, bare, haproxy, nginx-njs, nginx, envoy, workerd, and the names given
    /// with --build; openssl, rustls, rustls-ring and tcp for handshakes. A build has the variants NAME:direct,
    /// NAME:pingora, NAME:quiet and NAME:traced. Default: all that are installed, except variants
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    peers: Vec<String>,
    /// Only these. `latency-80` needs the rate of `accepted` and adds it. Default: all except `growth` and
    /// `handshake-…`
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', value_parser = modes())]
    modes: Vec<String>,
    /// Another build of the gateway, measured under this name. That of `tools/bench/pgo` is gateway-pgo
    #[arg(long = "build", value_name = "NAME=PATH", value_parser = parse_build)]
    builds: Vec<(String, PathBuf)>,
    /// Number of rounds
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds of one round of one peer
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
}

impl Arguments {
    fn preset(&self) -> Option<&'static Preset> {
        if self.targets { Some(&TARGETS) } else { self.cost.then_some(&COST) }
    }

    fn peers(&self) -> Result<Vec<Peer>> {
        let preset = self.preset().map_or(&[][..], |preset| preset.peers);
        let mut names: Vec<&str> =
            preset.iter().copied().chain(self.peers.iter().map(String::as_str)).collect();
        if names.is_empty() {
            names.push("gateway");
            names.extend(self.builds.iter().map(|(name, _)| name.as_str()));
            peers::installed().for_each(|name| names.push(name));
        }
        names.into_iter().map(|name| Peer::named(name, &self.builds)).collect()
    }

    /// The modes to measure, in their own order.
    fn modes(&self) -> Vec<&'static Mode> {
        let names: Vec<&str> = match self.preset() {
            Some(preset) => preset.modes().collect(),
            None => self.modes.iter().map(String::as_str).collect(),
        };
        let is_named = |mode: &&Mode| match names.is_empty() {
            // These take minutes, or have peers of their own.
            true => !matches!(mode.measure, Measure::Growth | Measure::Handshakes),
            false => names.contains(&mode.name),
        };
        let needs_rate = MODES.iter().filter(is_named).any(|mode| matches!(mode.measure, Measure::Open(_)));
        MODES.iter().filter(|mode| is_named(mode) || (needs_rate && mode.name == ACCEPTED.name)).collect()
    }
}

fn modes() -> PossibleValuesParser {
    MODES.iter().map(|mode| PossibleValue::new(mode.name).help(mode.title)).collect::<Vec<_>>().into()
}

fn parse_build(text: &str) -> std::result::Result<(String, PathBuf), &'static str> {
    let (name, path) = text.split_once('=').ok_or("write NAME=PATH")?;
    Ok((name.into(), path.into()))
}

pub fn run(arguments: &Arguments) -> Result<()> {
    programs::print();
    let peers = arguments.peers()?;
    machine::announce();
    machine::raise_descriptor_limit()?;
    let machine = machine::describe();
    let cores = Cores::assign()?;
    let folder = Folder::new()?;
    let (_process, origin) = origin::start_process()?;
    let mut bench = Bench {
        rounds: arguments.rounds,
        seconds: arguments.seconds,
        ecdsa: Certificate::new(&folder, KeyKind::Ecdsa)?,
        rsa: Certificate::new(&folder, KeyKind::Rsa)?,
        folder,
        cores,
        origin,
        highest_rate: None,
    };
    let mut tables = Vec::new();
    for mode in arguments.modes() {
        let table = bench.measure(mode, &peers)?;
        table.print();
        tables.push(table);
    }
    let programs = PROGRAMS.map(|program| (program.name, program.version()));
    let all = json!({
        "machine": machine,
        "rounds": arguments.rounds,
        "seconds": arguments.seconds,
        "programs": BTreeMap::from(programs),
        "results": tables.iter().map(Table::json).collect::<Vec<_>>(),
    });
    std::fs::create_dir_all(results())?;
    let place = results().join("compare.json");
    std::fs::write(&place, serde_json::to_string_pretty(&all)?)?;
    println!("\nall figures, round by round: {}", place.display());
    arguments.preset().map_or(Ok(()), |preset| preset.judge(&tables, &peers))
}
