//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use super::Result;
use super::load::Generator;
use super::measure::Effort;
use super::modes::Mode;
use super::peers::Peer;
use super::programs::{self, Program, Programs};

/// Compare the gateway with its peers.
///
/// Nothing is installed: peers that are not there are left out and named, with the command that
/// installs them.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo bench --bench compare --")]
pub struct Arguments {
    /// Fewer and shorter rounds: some eight minutes for everything, and rough figures
    #[arg(long)]
    quick: bool,
    /// Only these: gateway, gateway-pgo, bare, haproxy, haproxy-nolog, nginx-njs, nginx, envoy,
    /// workerd, and the names given with --build. Default: all that are there, but haproxy-nolog
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    peers: Vec<String>,
    /// Only these; the latencies need the rate of `accepted` and add it
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    modes: Vec<Mode>,
    /// Another build of the gateway to measure under a name of its own
    #[arg(long = "build", value_name = "NAME=PATH", value_parser = parse_build)]
    builds: Vec<(String, PathBuf)>,
    /// What sends the requests of the closed-loop modes
    #[arg(long, value_enum, default_value_t)]
    pub load: Generator,
    /// How many rounds
    #[arg(long)]
    rounds: Option<usize>,
    /// How long a round of one peer takes, in seconds
    #[arg(long)]
    seconds: Option<f64>,
    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

impl Arguments {
    /// The peers to measure, in the order of the tables.
    pub fn peers(&self, programs: &Programs) -> Result<Vec<Peer>> {
        let mut known = vec![Peer::gateway()];
        let optimised = programs::target().join("pgo").join("approov-gateway");
        if optimised.is_file() && self.builds.iter().all(|(name, _)| name != "gateway-pgo") {
            known.push(Peer::Gateway { name: "gateway-pgo".into(), path: optimised });
        }
        let builds = self.builds.iter().cloned();
        known.extend(builds.map(|(name, path)| Peer::Gateway { name, path }));
        known.extend(Peer::OTHERS);
        if self.peers.is_empty() {
            known.retain(|peer| programs.lacking(peer).is_none() && *peer != Peer::HaproxyNoLog);
            return Ok(known);
        }
        let mut chosen = Vec::new();
        for name in &self.peers {
            let peer = known.iter().find(|peer| peer.name() == name);
            let peer = peer.ok_or_else(|| format!("there is no peer {name:?}"))?;
            if let Some(lacking) = programs.lacking(peer) {
                return Err(format!("{name} cannot run: {lacking}").into());
            }
            chosen.push(peer.clone());
        }
        Ok(chosen)
    }

    /// The modes to measure, in their own order.
    pub fn modes(&self, programs: &Programs) -> Vec<Mode> {
        let mut modes = self.modes.clone();
        if modes.is_empty() {
            let has_oha = programs.path(Program::Oha).is_ok();
            modes.extend(Mode::value_variants().iter().filter(|mode| has_oha || !mode.needs_oha()));
        }
        if modes.iter().any(|mode| mode.needs_saturation()) {
            modes.push(Mode::Accepted);
        }
        modes.sort_unstable();
        modes.dedup();
        modes
    }

    /// How much is done.
    pub fn effort(&self) -> Effort {
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
