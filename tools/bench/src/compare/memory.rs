//! Memory: fresh, after load, with thousands of idle connections, with slow readers, and over time.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde::Serialize;
use tokio::io::AsyncWriteExt as _;

use super::measure::Bench;
use super::modes::{Held, Mode, Shape};
use super::peers::{Peer, Running};
use crate::load::{Http1, Load, Pace, connect_narrow};
use crate::rig::Result;

/// The time that memory may take to come to rest.
const REST: Duration = Duration::from_secs(15);

/// The numbers of requests after which the mode `growth` looks at the memory.
const STEPS: [u64; 4] = [100_000, 1_000_000, 5_000_000, 10_000_000];

/// The memory of one peer in KiB.
#[derive(Clone, Debug, Serialize)]
pub struct Footprint {
    pub mode: Mode,
    pub peer: Peer,
    pub fresh: u64,
    pub after_load: u64,
    /// With all connections.
    pub held: u64,
    /// After the connections were closed.
    pub after: u64,
    /// The number of connections that the peer accepted.
    pub connections: usize,
}

impl Footprint {
    /// KiB for each connection.
    pub fn per_connection(&self) -> f64 {
        self.held.saturating_sub(self.after_load) as f64 / self.connections.max(1) as f64
    }
}

/// Measures each peer in a process of its own that has served nothing else.
pub fn measure(mode: Mode, held: Held, peers: &[Peer], bench: &Bench) -> Result<Vec<Footprint>> {
    let shape = mode.shape();
    let usual = Shape { setup: shape.setup, ..Mode::Accepted.shape() };
    let one = |peer: &Peer| {
        eprintln!("{} {}", mode.name(), peer.name());
        let running = bench.start(peer, shape.setup, &[bench.origin])?;
        let memory = || running.process.memory_at_rest_kib(REST);
        let fresh = running.process.memory_kib();
        bench.round(&running, &usual, usual.connections, Pace::Closed, bench.effort.seconds)?;
        let after_load = memory();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let kept: (usize, Box<dyn std::any::Any>) = match held {
            Held::Idle => {
                let kept = runtime.block_on(idle(bench, &running, &shape));
                (kept.len(), Box::new(kept))
            }
            Held::SlowReaders => {
                let kept = runtime.block_on(slow_readers(&running, &shape))?;
                (kept.len(), Box::new(kept))
            }
        };
        let (connections, held) = (kept.0, memory());
        drop(kept);
        Ok(Footprint { mode, peer: peer.clone(), fresh, after_load, held, after: memory(), connections })
    };
    peers.iter().filter(|peer| peer.has(shape.setup)).map(one).collect()
}

/// Connections that have each had one answer, as many as the peer accepts.
async fn idle(bench: &Bench, running: &Running, shape: &Shape) -> Vec<Http1> {
    let mut kept = Vec::with_capacity(shape.connections);
    let Ok(script) = bench.script(running, shape) else { return kept };
    let request = shape.request().to_bytes();
    while kept.len() < shape.connections {
        let opened = Http1::open(&script.target, None).await;
        let asked = match opened {
            Ok(mut client) => {
                client.ask(&request).await.map(|answer| answer.status()).map(|status| (client, status))
            }
            Err(error) => Err(error),
        };
        match asked {
            Ok((client, status)) if status == script.status => kept.push(client),
            other => {
                let why = other.map_or_else(|error| error.to_string(), |(_, status)| status.to_string());
                eprintln!("{} accepts {} connections only: {why}", running.peer.name(), kept.len());
                break;
            }
        }
    }
    kept
}

/// Connections that have each sent a request and read nothing of the answer.
async fn slow_readers(running: &Running, shape: &Shape) -> Result<Vec<tokio::net::TcpStream>> {
    let request = shape.request().to_bytes();
    let mut kept = Vec::new();
    for _ in 0..shape.connections {
        let mut stream = connect_narrow(Ipv4Addr::LOCALHOST, running.address).await?;
        stream.write_all(&request).await?;
        kept.push(stream);
    }
    Ok(kept)
}

/// The memory of a peer after so many requests.
#[derive(Clone, Debug, Serialize)]
pub struct Growth {
    pub peer: Peer,
    pub steps: Vec<(u64, u64)>,
}

pub fn growth(peers: &[Peer], bench: &Bench) -> Result<Vec<Growth>> {
    let shape = Mode::Growth.shape();
    let one = |peer: &Peer| {
        let running = bench.start(peer, shape.setup, &[bench.origin])?;
        let script = bench.script(&running, &shape)?;
        let load = Load::start(shape.connections, Pace::Closed, REST, move || Ok(script))?;
        let mut steps = Vec::new();
        for requests in STEPS {
            load.await_answers(requests, Duration::from_secs(3600))?;
            steps.push((requests, running.process.memory_kib()));
            eprintln!("{} {requests} requests {} KiB", peer.name(), running.process.memory_kib());
        }
        load.finish()?;
        Ok(Growth { peer: peer.clone(), steps })
    };
    peers.iter().map(one).collect()
}
