//! The rounds: every peer in turn, several times.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};
use serde::Serialize;

use super::checks;
use super::modes::{Measure, Mode, Setup, Shape};
use super::peers::{Checks, Peer, Running};
use crate::load::{Load, Pace, Phase, Same, Target};
use crate::rig::Result;
use crate::rig::certificate::{Certificate, Offer};
use crate::rig::cores::Cores;
use crate::rig::figures::median;
use crate::rig::folder::Folder;

/// The time that outstanding requests may take at the end of a round.
const PATIENCE: Duration = Duration::from_secs(3);

/// The number and the length of rounds.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    pub rounds: usize,
    /// Seconds of one round of one peer.
    pub seconds: f64,
}

/// One round of one peer.
#[derive(Clone, Debug, Serialize)]
pub struct Sample {
    pub requests: u64,
    pub seconds: f64,
    /// CPU seconds of the peer and its children.
    pub cpu: f64,
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    /// Whether all requests of an open loop were answered soon after the end.
    pub keeps_up: bool,
    /// At the end of the round, under load.
    pub memory_kib: u64,
}

impl Sample {
    /// Requests a second.
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds
    }

    pub fn cpu_micros(&self) -> f64 {
        self.cpu * 1e6 / self.requests as f64
    }

    /// The number of cores that the peer kept busy.
    pub fn busy(&self) -> f64 {
        self.cpu / self.seconds
    }

    pub fn memory(&self) -> f64 {
        self.memory_kib as f64
    }
}

/// The rounds of one peer.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub peer: Peer,
    /// Memory before the first request of the mode.
    pub idle_kib: u64,
    pub samples: Vec<Sample>,
}

impl Row {
    pub fn median(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().map(of))
    }

    /// The median of the ratios to the same rounds of another peer.
    pub fn ratio(&self, to: &Row, of: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().zip(&to.samples).map(|(this, that)| of(this) / of(that)))
    }
}

/// The rows of one mode.
#[derive(Clone, Debug, Serialize)]
pub struct Series {
    pub mode: Mode,
    /// Requests a second in open loop.
    pub rate: Option<f64>,
    pub rows: Vec<Row>,
    /// Peers that cannot answer at that rate.
    pub beyond: Vec<Peer>,
    /// Fewer than the mode asks for if the limit of open files is too low.
    pub workers: usize,
}

impl Series {
    /// The row that ratios refer to: HAProxy, or the first row without it.
    pub fn reference(&self) -> Option<&Row> {
        self.rows.iter().find(|row| row.peer == Peer::Haproxy).or_else(|| self.rows.first())
    }
}

/// The means of measuring.
pub struct Bench {
    pub effort: Effort,
    pub folder: Folder,
    pub cores: Cores,
    pub certificate: Certificate,
    pub origin: SocketAddr,
    /// The highest rate of the reference in the mode `accepted`.
    pub highest_rate: Option<f64>,
}

impl Bench {
    /// Starts a peer before these addresses of the origin, and checks that it refuses what it must.
    pub fn start(&self, peer: &Peer, setup: Setup, origins: &[SocketAddr]) -> Result<Running> {
        let running = Running::start(peer, setup, origins, &self.certificate, &self.folder, &self.cores)?;
        checks::check(&running, setup, &self.certificate)?;
        Ok(running)
    }

    /// The script of a mode.
    pub fn script(&self, running: &Running, shape: &Shape) -> Result<Same> {
        let tls = match shape.setup.tls {
            Some(_) => Some(self.certificate.client(Offer { http2: shape.streams.is_some(), ..Offer::ANY })?),
            None => None,
        };
        let target = Target::new(running.address, tls);
        let mut script = Same::new(target, shape.request(), shape.status());
        script.streams = shape.streams;
        Ok(script)
    }

    /// Measures one mode. The first round warms up and is not counted.
    pub fn measure(&mut self, mode: Mode, fleet: &[Running]) -> Result<Series> {
        let shape = mode.shape();
        let pace = match (shape.measure, self.highest_rate) {
            (Measure::Open(share), Some(highest)) => Pace::Open(share * highest),
            (Measure::Open(_), None) => return Err("the highest rate of the reference is unknown".into()),
            _ => Pace::Closed,
        };
        let workers = shape.workers().min(self.most_workers(&shape));
        let is_concerned =
            |running: &&Running| running.peer.checks() != Checks::Nothing || shape.status() == 200;
        let mut rows: Vec<(&Running, Row)> = fleet
            .iter()
            .filter(is_concerned)
            .map(|running| {
                let idle_kib = running.process.memory_kib();
                (running, Row { peer: running.peer.clone(), idle_kib, samples: Vec::new() })
            })
            .collect();
        let mut beyond = Vec::new();
        for round in 0..=self.effort.rounds {
            let seconds = if round == 0 { self.effort.seconds / 3.0 } else { self.effort.seconds };
            for (running, row) in &mut rows {
                if beyond.contains(&row.peer) {
                    continue;
                }
                let sample = self.round(running, &shape, workers, pace, seconds)?;
                if !sample.keeps_up {
                    beyond.push(row.peer.clone());
                } else if round > 0 {
                    eprintln!(
                        "{} round {round} {:13} {:8.0} requests/s {:7.1} µs CPU/request",
                        mode.name(),
                        row.peer.name(),
                        sample.rate(),
                        sample.cpu_micros()
                    );
                    row.samples.push(sample);
                }
            }
        }
        let rows = rows.into_iter().map(|(_, row)| row).filter(|row| !beyond.contains(&row.peer)).collect();
        let rate = if let Pace::Open(rate) = pace { Some(rate) } else { None };
        let series = Series { mode, rate, rows, beyond, workers };
        if mode == Mode::Accepted {
            self.highest_rate = series.reference().map(|row| row.median(Sample::rate));
        }
        Ok(series)
    }

    /// One round of one peer.
    pub fn round(
        &self,
        running: &Running,
        shape: &Shape,
        workers: usize,
        pace: Pace,
        seconds: f64,
    ) -> Result<Sample> {
        let script = self.script(running, shape)?;
        let load = Load::start(workers, pace, PATIENCE, move || Ok(script))?;
        let (start, before) = (Instant::now(), running.process.cpu());
        thread::sleep(Duration::from_secs_f64(seconds).saturating_sub(start.elapsed()));
        let memory_kib = running.process.memory_kib();
        let seen = load.finish()?;
        let cpu = running.process.cpu().saturating_sub(before);
        let Phase { latencies, failures, .. } = seen.whole();
        let keeps_up = seen.unanswered == 0;
        let is_open = matches!(pace, Pace::Open(_));
        if !failures.is_empty() || latencies.is_empty() || !(keeps_up || is_open) {
            let (name, unanswered) = (running.peer.name(), seen.unanswered);
            return Err(format!("{name}, {}: {failures:?}, {unanswered} unanswered", shape.title).into());
        }
        let whole = seen.whole();
        let at = |percent| whole.latency(percent).as_secs_f64();
        Ok(Sample {
            requests: latencies.len() as u64,
            seconds: seen.elapsed.as_secs_f64(),
            cpu: cpu.as_secs_f64(),
            p50: at(50.0),
            p99: at(99.0),
            p999: at(99.9),
            keeps_up,
            memory_kib,
        })
    }

    /// The number of workers that the limit of open files allows: a peer needs two descriptors for each
    /// connection.
    fn most_workers(&self, shape: &Shape) -> usize {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) as usize;
        let most = limit.saturating_sub(300) / 2;
        if shape.workers() > most {
            eprintln!("only {most} requests at a time: the limit of open files is {limit}");
        }
        most
    }
}
