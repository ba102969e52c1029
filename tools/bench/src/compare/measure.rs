//! The rounds: every peer in turn, several times.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};

use super::modes::{ACCEPTED, Measure, Mode, Setup};
use super::peers::{Peer, Running};
use super::table::{BUSY, CPU, EACH_REQUEST, MEMORY, P50, P99, P999, RATE, Row, Sample, Table};
use super::{checks, failover, handshakes, memory};
use crate::load::{Load, Pace, Same, Target};
use crate::rig::Result;
use crate::rig::certificate::{Certificate, KeyKind, Offer};
use crate::rig::cores::Cores;
use crate::rig::folder::Folder;
use crate::rig::signature::signed;

/// The time that outstanding requests may take at the end of a round.
const PATIENCE: Duration = Duration::from_secs(3);

/// The number and the length of rounds.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    pub rounds: usize,
    /// Seconds of one round of one peer.
    pub seconds: f64,
}

/// The means of measuring.
pub struct Bench {
    pub effort: Effort,
    pub folder: Folder,
    pub cores: Cores,
    pub ecdsa: Certificate,
    pub rsa: Certificate,
    pub origin: SocketAddr,
    /// The peers of the last setup.
    pub fleet: Option<(Setup, Vec<Running>)>,
    /// The highest rate of the reference in the mode `accepted`.
    pub highest_rate: Option<f64>,
}

impl Bench {
    pub fn certificate(&self, setup: Setup) -> &Certificate {
        if setup.tls.is_some_and(|tls| tls.key == KeyKind::Rsa) { &self.rsa } else { &self.ecdsa }
    }

    /// Starts a peer before these addresses of the origin, and checks that it refuses what it must.
    pub fn start(&self, peer: &Peer, setup: Setup, origins: &[SocketAddr]) -> Result<Running> {
        let running = Running::start(peer, setup, origins, self)?;
        if !peer.is_for_handshakes() {
            checks::check(&running, setup, self.certificate(setup))?;
        }
        Ok(running)
    }

    /// The script of a mode.
    pub fn script(&self, running: &Running, mode: &Mode) -> Result<Same> {
        let offer = Offer { http2: mode.streams.is_some(), ..Offer::ANY };
        let tls = mode.setup.tls.map(|_| self.certificate(mode.setup).client(offer)).transpose()?;
        let request = mode.request();
        let request = if mode.setup.verifies_messages { signed(request)? } else { request };
        let mut script = Same::new(Target::new(running.address, tls), request, mode.status());
        script.streams = mode.streams;
        Ok(script)
    }

    /// Measures one mode.
    pub fn measure(&mut self, mode: &'static Mode, peers: &[Peer]) -> Result<Table> {
        let peers = peers.iter().filter(|peer| peer.has(mode));
        let row = |peer: &Peer| Row { peer: peer.clone(), samples: Vec::new(), remarks: Vec::new() };
        let mut table = Table { mode, rows: peers.map(row).collect(), remark: String::new() };
        let rounds = match mode.measure {
            Measure::Closed | Measure::Open(_) | Measure::Handshakes => {
                self.measure_running(mode, &mut table)?;
                return Ok(table);
            }
            Measure::Idle | Measure::SlowReaders | Measure::Growth => 1,
            Measure::Failover(_) => self.effort.rounds,
        };
        self.fleet = None;
        for round in 1..=rounds {
            for row in &mut table.rows {
                eprintln!("{} round {round} {}", mode.name, row.peer.name);
                let sample = match mode.measure {
                    Measure::Failover(fault) => failover::round(row, mode, fault, self),
                    Measure::Growth => memory::growth(row, mode, self),
                    _ => memory::held(row, mode, self),
                };
                let failed = |error| format!("{}, {}: {error}", row.peer.name, mode.title);
                row.samples.push(sample.map_err(failed)?);
            }
        }
        Ok(table)
    }

    /// Measures peers that keep running. The first round warms up and is not counted.
    fn measure_running(&mut self, mode: &Mode, table: &mut Table) -> Result<()> {
        let pace = match (mode.measure, self.highest_rate) {
            (Measure::Open(share), Some(highest)) => Pace::Open(share * highest),
            (Measure::Open(_), None) => return Err("the highest rate of the reference is unknown".into()),
            _ => Pace::Closed,
        };
        let workers = mode.workers().min(self.most_workers(mode));
        table.remark = match pace {
            _ if mode.measure == Measure::Handshakes => String::new(),
            Pace::Closed => format!("; {workers} requests at a time"),
            Pace::Open(rate) => format!("; {workers} requests at a time, {rate:.0} a second"),
        };
        let fleet = self.fleet_of(mode, &table.rows)?;
        if mode.is_in_flight {
            // Code that has run once is in memory, whatever is in flight.
            for running in &fleet {
                self.round(running, mode, 1, Pace::Closed, 0.5)?;
            }
        }
        let idle: Vec<u64> = fleet.iter().map(|running| running.process.memory_kib()).collect();
        for round in 0..=self.effort.rounds {
            let seconds = if round == 0 { self.effort.seconds / 3.0 } else { self.effort.seconds };
            for row in table.rows.iter_mut().filter(|row| row.remarks.is_empty()) {
                let is_it = |running: &Running| running.peer.name == row.peer.name;
                let index = fleet.iter().position(is_it).ok_or("the peer does not run")?;
                eprintln!("{} round {round} {}", mode.name, row.peer.name);
                let mut sample = match mode.measure {
                    Measure::Handshakes => handshakes::round(&fleet[index], mode, self, seconds)?,
                    _ => self.round(&fleet[index], mode, workers, pace, seconds)?,
                };
                if sample.is_empty() {
                    row.remarks.push("cannot answer at that rate".into());
                    row.samples.clear();
                } else if round > 0 {
                    if let (true, Some((_, memory))) = (mode.is_in_flight, sample.last()) {
                        let above = (memory - idle[index] as f64).max(0.0);
                        sample.push((EACH_REQUEST, above / workers as f64));
                    }
                    row.samples.push(sample);
                }
            }
        }
        self.fleet = Some((mode.setup, fleet));
        let Some(reference) = table.reference() else { return Ok(()) };
        if pace == Pace::Closed && reference.value(BUSY) < 90.0 {
            table.remark += &format!("; {} was not at its limit", reference.peer.name);
        }
        if mode.name == ACCEPTED.name {
            self.highest_rate = table.reference().map(|row| row.value(RATE));
        }
        Ok(())
    }

    /// The running peers of this setup. A mode that counts the memory of requests starts them anew.
    fn fleet_of(&mut self, mode: &Mode, rows: &[Row]) -> Result<Vec<Running>> {
        let runs = |fleet: &[Running], row: &Row| fleet.iter().any(|of| of.peer.name == row.peer.name);
        let has_all = |fleet: &[Running]| rows.iter().all(|row| runs(fleet, row));
        match self.fleet.take() {
            Some((setup, fleet)) if setup == mode.setup && !mode.is_in_flight && has_all(&fleet) => Ok(fleet),
            fleet => {
                // The peers of the last setup end before those of the next one start.
                drop(fleet);
                rows.iter().map(|row| self.start(&row.peer, mode.setup, &[self.origin])).collect()
            }
        }
    }

    /// One round of one peer; empty if the peer cannot keep up with an open loop.
    pub fn round(
        &self,
        running: &Running,
        mode: &Mode,
        workers: usize,
        pace: Pace,
        seconds: f64,
    ) -> Result<Sample> {
        let script = self.script(running, mode)?;
        let load = Load::start(workers, pace, PATIENCE, move || Ok(script))?;
        let (start, before) = (Instant::now(), running.process.cpu());
        thread::sleep(Duration::from_secs_f64(seconds).saturating_sub(start.elapsed()));
        let memory_kib = running.process.memory_kib();
        let seen = load.finish()?;
        let cpu = running.process.cpu().saturating_sub(before).as_secs_f64();
        let whole = seen.whole();
        if seen.unanswered > 0 && pace != Pace::Closed && whole.failures.is_empty() {
            return Ok(Sample::new());
        }
        if seen.lost() > 0 || whole.latencies.is_empty() {
            let (name, failures) = (&running.peer.name, &whole.failures);
            return Err(
                format!("{name}, {}: {failures:?}, {} unanswered", mode.title, seen.unanswered).into()
            );
        }
        let (requests, elapsed) = (whole.latencies.len() as f64, seen.elapsed.as_secs_f64());
        let at = |percent| whole.latency(percent).as_secs_f64();
        Ok(vec![
            (RATE, requests / elapsed),
            (CPU, cpu * 1e6 / requests),
            (BUSY, 100.0 * cpu / elapsed / mode.setup.threads as f64),
            (P50, at(50.0)),
            (P99, at(99.0)),
            (P999, at(99.9)),
            (MEMORY, memory_kib as f64),
        ])
    }

    /// The number of workers that the limit of open files allows: a peer needs two descriptors for each
    /// connection.
    fn most_workers(&self, mode: &Mode) -> usize {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) as usize;
        let most = limit.saturating_sub(300) / 2;
        if mode.workers() > most {
            eprintln!("only {most} requests at a time: the limit of open files is {limit}");
        }
        most
    }
}
