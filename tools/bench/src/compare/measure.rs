//! The rounds: every peer in turn, several times.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};

use super::modes::{Measure, Mode, Setup, Shape};
use super::peers::{Peer, Running};
use super::table::{BUSY, CPU, EACH_REQUEST, MEMORY, P50, P99, P999, RATE, Row, Sample, Table};
use super::{checks, failover, memory};
use crate::load::{Load, Pace, Same, Target};
use crate::rig::Result;
use crate::rig::certificate::{Certificate, Offer};
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
    pub certificate: Certificate,
    pub origin: SocketAddr,
    /// The peers of the last setup.
    pub fleet: Option<(Setup, Vec<Running>)>,
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
        let request = shape.request();
        let request = if shape.setup.verifies_messages { signed(request)? } else { request };
        let mut script = Same::new(target, request, shape.status());
        script.streams = shape.streams;
        Ok(script)
    }

    /// Measures one mode.
    pub fn measure(&mut self, mode: Mode, peers: &[Peer]) -> Result<Table> {
        let shape = mode.shape();
        let peers = peers.iter().filter(|peer| peer.has(&shape));
        let row = |peer: &Peer| Row { peer: peer.clone(), samples: Vec::new(), remarks: Vec::new() };
        let mut table = Table { mode, rows: peers.map(row).collect(), remark: String::new() };
        let rounds = match shape.measure {
            Measure::Closed | Measure::Open(_) => {
                self.measure_running(&shape, &mut table)?;
                return Ok(table);
            }
            Measure::Held(_) | Measure::Growth => 1,
            Measure::Failover(_) => self.effort.rounds,
        };
        self.fleet = None;
        for round in 1..=rounds {
            for row in &mut table.rows {
                eprintln!("{} round {round} {}", mode.name(), row.peer.name());
                let sample = match shape.measure {
                    Measure::Failover(fault) => failover::round(row, &shape, fault, self),
                    Measure::Growth => memory::growth(row, &shape, self),
                    _ => memory::held(row, &shape, self),
                };
                let failed = |error| format!("{}, {}: {error}", row.peer.name(), shape.title);
                let sample = sample.map_err(failed)?;
                row.samples.push(sample);
            }
        }
        Ok(table)
    }

    /// Measures peers that keep running. The first round warms up and is not counted.
    fn measure_running(&mut self, shape: &Shape, table: &mut Table) -> Result<()> {
        let pace = match (shape.measure, self.highest_rate) {
            (Measure::Open(share), Some(highest)) => Pace::Open(share * highest),
            (Measure::Open(_), None) => return Err("the highest rate of the reference is unknown".into()),
            _ => Pace::Closed,
        };
        let workers = shape.workers().min(self.most_workers(shape));
        table.remark = format!("; {workers} requests at a time");
        if let Pace::Open(rate) = pace {
            table.remark += &format!(", {rate:.0} a second");
        }
        let fleet = self.fleet_of(shape, &table.rows)?;
        let running = |peer: &Peer| fleet.iter().find(|running| running.peer == *peer).ok_or("no such peer");
        let idle = table.rows.iter().map(|row| Ok(running(&row.peer)?.process.memory_kib()));
        let idle = idle.collect::<Result<Vec<u64>>>()?;
        for round in 0..=self.effort.rounds {
            let seconds = if round == 0 { self.effort.seconds / 3.0 } else { self.effort.seconds };
            for (row, idle) in table.rows.iter_mut().zip(&idle).filter(|(row, _)| row.remarks.is_empty()) {
                let mut sample = self.round(running(&row.peer)?, shape, workers, pace, seconds)?;
                if sample.is_empty() {
                    row.remarks.push("cannot answer at that rate".into());
                    row.samples.clear();
                } else if round > 0 {
                    let [rate, cpu] = [sample[0].1, sample[1].1];
                    let (mode, peer) = (table.mode.name(), row.peer.name());
                    eprintln!(
                        "{mode} round {round} {peer:13} {rate:8.0} requests/s {cpu:7.1} µs CPU/request"
                    );
                    if shape.is_in_flight {
                        let memory =
                            sample.iter().find(|(of, _)| of.name == MEMORY.name).map_or(0.0, |of| of.1);
                        let above = (memory - *idle as f64).max(0.0);
                        sample.push((EACH_REQUEST, above / workers as f64));
                    }
                    row.samples.push(sample);
                }
            }
        }
        self.fleet = Some((shape.setup, fleet));
        let Some(reference) = table.reference() else { return Ok(()) };
        if pace == Pace::Closed && reference.value(BUSY) < 90.0 {
            table.remark += &format!("; {} was not at its limit", reference.peer.name());
        }
        if table.mode == Mode::Accepted {
            self.highest_rate = Some(table.reference().map_or(f64::NAN, |row| row.value(RATE)));
        }
        Ok(())
    }

    /// The running peers of this setup. A mode that counts the memory of requests starts them anew.
    fn fleet_of(&mut self, shape: &Shape, rows: &[Row]) -> Result<Vec<Running>> {
        let has_all =
            |fleet: &[Running]| rows.iter().all(|row| fleet.iter().any(|running| running.peer == row.peer));
        match self.fleet.take() {
            Some((setup, fleet)) if setup == shape.setup && !shape.is_in_flight && has_all(&fleet) => {
                Ok(fleet)
            }
            fleet => {
                // The peers of the last setup end before those of the next one start.
                drop(fleet);
                rows.iter().map(|row| self.start(&row.peer, shape.setup, &[self.origin])).collect()
            }
        }
    }

    /// One round of one peer; empty if the peer cannot keep up with an open loop.
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
        let cpu = running.process.cpu().saturating_sub(before).as_secs_f64();
        let whole = seen.whole();
        if seen.unanswered > 0 && pace != Pace::Closed && whole.failures.is_empty() {
            return Ok(Sample::new());
        }
        if seen.lost() > 0 || whole.latencies.is_empty() {
            let (name, failures) = (running.peer.name(), &whole.failures);
            return Err(
                format!("{name}, {}: {failures:?}, {} unanswered", shape.title, seen.unanswered).into()
            );
        }
        let (requests, elapsed) = (whole.latencies.len() as f64, seen.elapsed.as_secs_f64());
        let at = |percent| whole.latency(percent).as_secs_f64();
        Ok(vec![
            (RATE, requests / elapsed),
            (CPU, cpu * 1e6 / requests),
            (BUSY, 100.0 * cpu / elapsed / shape.setup.threads as f64),
            (P50, at(50.0)),
            (P99, at(99.0)),
            (P999, at(99.9)),
            (MEMORY, memory_kib as f64),
        ])
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
