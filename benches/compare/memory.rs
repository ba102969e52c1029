//! Memory: fresh, after load, and with thousands of idle connections.

use super::Result;
use super::load::{self, Pace};
use super::measure::{Bench, request};
use super::modes::{Mode, Shape};
use super::peers::{Fleet, Peer};

/// What one peer holds, in KiB.
#[derive(Clone, Debug)]
pub struct Idle {
    pub mode: Mode,
    pub peer: Peer,
    pub fresh: u64,
    pub after_load: u64,
    pub with_idle: u64,
    /// How many idle connections it took.
    pub connections: usize,
}

impl Idle {
    /// KiB for each idle connection.
    pub fn per_connection(&self) -> f64 {
        self.with_idle.saturating_sub(self.after_load) as f64 / self.connections.max(1) as f64
    }
}

/// Measures each peer in a process of its own that has done nothing else.
pub fn measure(mode: Mode, peers: &[Peer], bench: &Bench<'_>) -> Result<Vec<Idle>> {
    let shape = mode.shape();
    let usual = Shape { setup: shape.setup, ..Mode::Accepted.shape() };
    let one = |peer: &Peer| {
        eprintln!("{} {}", mode.name(), peer.name());
        let running = bench.start_one(peer, shape.setup)?;
        let fresh = running.process.memory_kib();
        bench.round(&running, &usual, Pace::Closed, bench.effort.seconds)?;
        let after_load = running.process.memory_kib();
        let (idle, failure) = load::hold(bench.target(&running, &shape), &request(&shape)?);
        if let Some(error) = failure {
            eprintln!("{} holds {} idle connections only: {error}", peer.name(), idle.len());
        }
        let with_idle = running.process.memory_kib();
        Ok(Idle { mode, peer: peer.clone(), fresh, after_load, with_idle, connections: idle.len() })
    };
    Fleet::of(peers, shape.setup).map(one).collect()
}
