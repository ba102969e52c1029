//! The latency of honest clients without and with one attack, in turns, so that a machine that changes
//! its speed changes it for both.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::super::hostile::{Addresses, Hostile, Kind, Tally};
use super::super::report::{self, Verdict};
use super::super::stage::Stage;
use super::super::{Arguments, honest};
use super::all::expect_clean_origins;
use crate::load::Seen;
use crate::rig::Result;
use crate::rig::figures::{mebibytes, median_duration, ratio, show};

/// The phase in which connections are made and ended.
const BETWEEN: usize = 0;

/// The length of one measurement. The figure is the median of all p99, so that a short disturbance of
/// the machine does not decide.
const SLICE: Duration = Duration::from_millis(2500);

/// The most connections that honest clients have.
const HONEST: u64 = 200;

pub struct Plan {
    pub kinds: Vec<Kind>,
    /// Turns of both.
    pub rounds: u32,
    /// The limit for honest p99 with the attack, as a multiple of that without.
    pub limit: Option<f64>,
    /// Whether the reader of the access log stops during the attack.
    pub stalls_log: bool,
}

#[derive(Debug, Default)]
struct Measured {
    phases: Vec<usize>,
    cpu: Duration,
}

impl Plan {
    pub fn run(&self, arguments: &Arguments, gateway: &Path) -> Result<()> {
        let stage = Stage::set(gateway, "", "")?;
        let (tally, addresses) = (Arc::new(Tally::default()), Addresses::default());
        let honest = honest::start(stage.gateway.address, arguments.rate())?;
        thread::sleep(Duration::from_secs(1));
        let turn = arguments.duration() / (2 * self.rounds);
        let mut measured = [Measured::default(), Measured::default()];
        let mut next = BETWEEN;
        let mut measure = |measured: &mut Measured| {
            let before = stage.gateway.process.cpu();
            let slices = (turn.as_millis() / SLICE.as_millis()).max(1) as u32;
            for _ in 0..slices {
                next += 1;
                measured.phases.push(next);
                honest.enter(next);
                thread::sleep(turn / slices);
            }
            honest.enter(BETWEEN);
            measured.cpu += stage.gateway.process.cpu() - before;
        };
        for round in 0..self.rounds {
            measure(&mut measured[0]);
            let attackers = self.attack(&stage, &addresses, &tally, round == 0)?;
            stage.stall_log(self.stalls_log);
            measure(&mut measured[1]);
            for attackers in attackers {
                attackers.stop()?;
            }
            stage.await_connections(|open| open <= HONEST)?;
            stage.await_rest();
        }
        let seen = honest.finish()?;
        report::print_honest(&seen, &[("without", &measured[0].phases), ("with", &measured[1].phases)]);
        report::print_attacks(&tally);
        report::print_counters(&stage.gateway)?;
        let whole = (turn * self.rounds).as_secs_f64();
        let [without, with] = measured.each_ref().map(|of| 100.0 * of.cpu.as_secs_f64() / whole);
        println!("\nCPU of the gateway: {without:.0} % of a core without, {with:.0} % with\n");
        let mut verdict = Verdict::default();
        verdict.expect(seen.lost() == 0, format!("{} honest requests lost", seen.lost()));
        stage.expect_peace(&mut verdict);
        expect_clean_origins(&tally, &mut verdict);
        self.judge_latency(&seen, &measured, &mut verdict);
        if self.stalls_log {
            stage.expect_end(&mut verdict)?;
        }
        verdict.judge()
    }

    fn judge_latency(&self, seen: &Seen, measured: &[Measured; 2], verdict: &mut Verdict) {
        let p99 = |phase: &usize| seen.together(&[*phase]).latency(99.0);
        let [without, with] = measured.each_ref().map(|of| of.phases.iter().map(p99).collect::<Vec<_>>());
        for (name, slices) in [("without", &without), ("with", &with)] {
            println!(
                "p99 of each slice {name}: {}",
                slices.iter().copied().map(show).collect::<Vec<_>>().join(" ")
            );
        }
        let (without, with) = (median_duration(&without), median_duration(&with));
        let times = ratio(with, without);
        let limit = self.limit.unwrap_or(f64::INFINITY);
        let (without, with) = (show(without), show(with));
        verdict.expect(
            times <= limit,
            format!("honest p99 {without} without, {with} with: {times:.2} times, at most {limit}"),
        );
    }

    /// Starts the attackers and waits until they hold their connections. Prints the memory of each kind
    /// in the first round; later rounds reuse memory.
    fn attack(
        &self,
        stage: &Stage,
        addresses: &Addresses,
        tally: &Arc<Tally>,
        is_first: bool,
    ) -> Result<Vec<Hostile>> {
        let mut attackers = Vec::new();
        let mut held = 0;
        for kind in &self.kinds {
            let before = stage.gateway.process.memory_kib();
            attackers.push(Hostile::start(&stage.gateway, &[*kind], addresses, tally.clone())?);
            held += kind.held();
            if kind.held() > 0 {
                stage.await_connections(|open| open >= held.into())?;
                let grown = stage.await_rest().saturating_sub(before);
                if is_first {
                    let each = grown as f64 / f64::from(kind.held());
                    println!("memory for {kind:?}: {}, {each:.1} KiB each", mebibytes(grown));
                }
            }
        }
        Ok(attackers)
    }
}
