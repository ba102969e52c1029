//! The rounds: every peer in turn, again and again.

use std::net::SocketAddr;

use approov_gateway::cli::token::Kind;

use super::Result;
use super::checks;
use super::cores::Cores;
use super::load::{self, Generator, Pace, Percentiles, Target};
use super::modes::{Measure, Mode, Setup, Shape};
use super::origin::Origin;
use super::peers::{Checks, Fleet, Peer, Running};
use super::process::Folder;
use super::programs::Programs;
use super::requests::{Request, token};
use super::tls::Certificate;

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    pub rounds: usize,
    /// Of one round of one peer.
    pub seconds: f64,
}

/// One round of one peer.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub requests: u64,
    pub seconds: f64,
    /// Of the peer's whole group of processes, in seconds.
    pub cpu: f64,
    pub latencies: Percentiles,
    /// Whether it could answer at the rate of an open loop.
    pub keeps_up: bool,
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

    /// How many cores' time the peer used.
    pub fn busy(&self) -> f64 {
        self.cpu / self.seconds
    }
}

/// The rounds of one peer.
#[derive(Clone, Debug)]
pub struct Row {
    pub peer: Peer,
    pub samples: Vec<Sample>,
}

impl Row {
    /// The median over the rounds.
    pub fn median(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().map(of))
    }

    /// The median of the ratios to another's same rounds.
    pub fn ratio(&self, to: &Row, of: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().zip(&to.samples).map(|(this, that)| of(this) / of(that)))
    }
}

/// One mode, measured.
#[derive(Clone, Debug)]
pub struct Series {
    pub mode: Mode,
    /// The rate of an open loop.
    pub rate: Option<f64>,
    pub rows: Vec<Row>,
    /// Peers that cannot take that rate.
    pub beyond: Vec<Peer>,
}

impl Series {
    /// What the ratios refer to: HAProxy where it takes part, or else the first.
    pub fn reference(&self) -> Option<&Row> {
        self.rows.iter().find(|row| row.peer == Peer::Haproxy).or_else(|| self.rows.first())
    }
}

/// What the measuring needs.
pub struct Bench<'a> {
    pub effort: Effort,
    pub generator: Generator,
    pub programs: &'a Programs,
    pub folder: &'a Folder,
    cores: &'a Cores,
    origin: &'a Origin,
    certificate: &'a Certificate,
    /// The accepted requests, whose rates tell what is half of them.
    accepted: Option<Series>,
}

impl<'a> Bench<'a> {
    pub fn new(
        effort: Effort,
        generator: Generator,
        programs: &'a Programs,
        folder: &'a Folder,
        cores: &'a Cores,
        origin: &'a Origin,
        certificate: &'a Certificate,
    ) -> Self {
        Self { effort, generator, programs, folder, cores, origin, certificate, accepted: None }
    }

    /// Starts a peer and checks that it refuses what it must.
    pub fn start_one(&self, peer: &Peer, setup: Setup) -> Result<Running> {
        self.start_before(&[self.origin.address()], peer, setup)
    }

    /// The same before other addresses than the usual one.
    pub fn start_before(&self, origin: &[SocketAddr], peer: &Peer, setup: Setup) -> Result<Running> {
        let running = Running::start(peer, setup, self.programs, origin, self.folder, self.cores)?;
        checks::check(&running, setup, self.certificate, self.programs)?;
        Ok(running)
    }

    /// Where and how the requests of a mode go.
    pub fn target(&self, running: &Running, shape: &Shape) -> Target<'a> {
        Target {
            address: running.address,
            tls: shape.setup.tls.then_some(self.certificate),
            connections: shape.connections,
            streams: shape.streams,
        }
    }

    /// Starts those of `peers` that `setup` concerns.
    pub fn start(&self, peers: &[Peer], setup: Setup) -> Result<Fleet> {
        let running =
            Fleet::of(peers, setup).map(|peer| self.start_one(peer, setup)).collect::<Result<_>>()?;
        Ok(Fleet { setup, running })
    }

    /// Measures one mode in interleaved rounds.
    pub fn measure(&mut self, mode: Mode, fleet: &Fleet) -> Result<Series> {
        let shape = mode.shape();
        let pace = self.pace(shape.measure)?;
        let rate = if let Pace::Open(rate) = pace { Some(rate) } else { None };
        let concerned = fleet.running.iter().filter(|running| is_concerned(&running.peer, &shape));
        let mut rows: Vec<(&Running, Row)> = concerned
            .map(|running| (running, Row { peer: running.peer.clone(), samples: Vec::new() }))
            .collect();
        let mut beyond = Vec::new();
        for round in 0..=self.effort.rounds {
            // Round 0 warms up.
            let seconds = if round == 0 { self.effort.seconds / 3.0 } else { self.effort.seconds };
            for (running, row) in &mut rows {
                if beyond.contains(&row.peer) {
                    continue;
                }
                let sample = self.round(running, &shape, pace, seconds)?;
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
        let series = Series { mode, rate, rows, beyond };
        if mode == Mode::Accepted {
            self.accepted = Some(series.clone());
        }
        Ok(series)
    }

    /// One round of one peer.
    pub fn round(&self, running: &Running, shape: &Shape, pace: Pace, seconds: f64) -> Result<Sample> {
        let name = running.peer.name();
        let request = request(shape)?;
        let target = self.target(running, shape);
        let before = running.process.cpu();
        let seen = load::run(self.generator, self.programs, target, &request, pace, seconds)
            .map_err(|error| format!("{name}, {}: {error}", shape.title))?;
        let cpu = running.process.cpu().saturating_sub(before);
        Ok(Sample {
            requests: seen.requests,
            seconds: seen.elapsed.as_secs_f64(),
            cpu: cpu.as_secs_f64(),
            latencies: seen.latencies,
            keeps_up: seen.keeps_up,
            memory_kib: running.process.memory_kib(),
        })
    }

    fn pace(&self, measure: Measure) -> Result<Pace> {
        let Measure::Open(share) = measure else { return Ok(Pace::Closed) };
        let reference = self.accepted.as_ref().and_then(Series::reference);
        let highest = reference.ok_or("the highest rate is not known")?.median(Sample::rate);
        Ok(Pace::Open(share * highest))
    }
}

/// The request of a mode, with the answer that it must get.
pub fn request(shape: &Shape) -> Result<Request> {
    let status = if shape.token == Kind::Valid { 200 } else { 401 };
    Ok(Request::new(shape, &token(shape.token)?, status))
}

/// A peer that checks nothing refuses nothing.
fn is_concerned(peer: &Peer, shape: &Shape) -> bool {
    peer.checks() != Checks::Nothing || shape.token == Kind::Valid
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}
