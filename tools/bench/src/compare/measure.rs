//! The rounds: every peer in turn, several times.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};

use super::modes::{ACCEPTED, Measure, Mode, Setup};
use super::peers::{Peer, Running};
use super::table::{BUSY, CPU, EACH_REQUEST, MEMORY, P50, P99, P999, RATE, Row, Sample, Table};
use super::{failover, handshakes, memory};
use crate::load::{Load, Pace, Same, Target};
use crate::rig::certificate::{Certificate, KeyKind};
use crate::rig::token::signed;
use crate::rig::{Cores, Folder, Result};

/// The time that outstanding requests may take at the end of a round.
const PATIENCE: Duration = Duration::from_secs(3);

pub struct Bench {
    pub rounds: usize,
    /// Seconds of one round of one peer.
    pub seconds: f64,
    pub folder: Folder,
    pub cores: Cores,
    pub ecdsa: Certificate,
    pub rsa: Certificate,
    pub origin: SocketAddr,
    /// The highest rate of the reference in the mode `accepted`.
    pub highest_rate: Option<f64>,
}

impl Bench {
    pub fn certificate(&self, setup: Setup) -> &Certificate {
        if setup.tls.is_some_and(|tls| tls.key == KeyKind::Rsa) { &self.rsa } else { &self.ecdsa }
    }

    pub fn script(&self, running: &Running, mode: &Mode) -> Result<Same> {
        let client = |tls| self.certificate(mode.setup).client(tls, false, mode.streams.is_some());
        let tls = mode.setup.tls.map(client).transpose()?;
        let request = mode.request();
        let request = if mode.setup.verifies_messages { signed(request)? } else { request };
        let mut script = Same::new(Target::new(running.address, tls), request, mode.status());
        script.streams = mode.streams;
        Ok(script)
    }

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
            Measure::Failover(_) => self.rounds,
        };
        for round in 1..=rounds {
            for row in &mut table.rows {
                eprintln!("{} round {round} {}", mode.name, row.peer.name);
                let sample = match mode.measure {
                    Measure::Failover(signal) => failover::round(row, mode, signal, self),
                    Measure::Growth => memory::growth(row, mode, self),
                    _ => memory::held(row, mode, self),
                };
                let failed = |error| format!("{}, {}: {error}", row.peer.name, mode.title);
                row.samples.push(sample.map_err(failed)?);
            }
        }
        Ok(table)
    }

    /// Measures peers that run through all rounds. The first round warms up and is not counted.
    fn measure_running(&mut self, mode: &Mode, table: &mut Table) -> Result<()> {
        let highest = || self.highest_rate.ok_or("the highest rate of the reference is unknown");
        let pace = match mode.measure {
            Measure::Open(share) => Pace::Open(share * highest()?),
            _ => Pace::Closed,
        };
        let workers = mode.workers().min(self.most_workers(mode));
        table.remark = match pace {
            _ if mode.measure == Measure::Handshakes => String::new(),
            Pace::Closed => format!("; {workers} requests at a time"),
            Pace::Open(rate) => format!("; {workers} requests at a time, {rate:.0} a second"),
        };
        let start = |row: &Row| Running::start(&row.peer, mode.setup, &[self.origin], self);
        let mut running = table.rows.iter().map(start).collect::<Result<Vec<_>>>()?;
        for running in running.iter_mut().filter(|_| mode.is_in_flight) {
            // Code that has run once is in memory, whatever is in flight.
            self.round(running, mode, 1, Pace::Closed, 0.5)?;
            running.fresh_kib = running.process.memory_kib() as f64;
        }
        for round in 0..=self.rounds {
            let seconds = if round == 0 { self.seconds / 3.0 } else { self.seconds };
            for (row, running) in table.rows.iter_mut().zip(&running) {
                if !row.remarks.is_empty() {
                    continue;
                }
                eprintln!("{} round {round} {}", mode.name, row.peer.name);
                let sample = match mode.measure {
                    Measure::Handshakes => handshakes::round(running, mode, self, seconds)?,
                    _ => self.round(running, mode, workers, pace, seconds)?,
                };
                if sample.is_empty() {
                    row.remarks.push("cannot answer at that rate".into());
                    row.samples.clear();
                } else if round > 0 {
                    row.samples.push(sample);
                }
            }
        }
        let Some(reference) = table.reference() else { return Ok(()) };
        if pace == Pace::Closed && reference.value(BUSY) < 90.0 {
            table.remark += &format!("; {} was not at its limit", reference.peer.name);
        }
        if mode.name == ACCEPTED.name {
            self.highest_rate = table.reference().map(|row| row.value(RATE));
        }
        Ok(())
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
        let memory_kib = running.process.memory_kib() as f64;
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
        let mut sample = vec![
            (RATE, requests / elapsed),
            (CPU, cpu * 1e6 / requests),
            (BUSY, 100.0 * cpu / elapsed / mode.setup.threads as f64),
            (P50, at(50.0)),
            (P99, at(99.0)),
            (P999, at(99.9)),
            (MEMORY, memory_kib),
        ];
        if mode.is_in_flight {
            sample.push((EACH_REQUEST, (memory_kib - running.fresh_kib).max(0.0) / workers as f64));
        }
        Ok(sample)
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
