//! A run: honest clients alone, then under attack, and perhaps alone again.
//!
//! Both parts take turns, so that a machine that changes its speed changes it for both.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::hostile::{Attack, Means, Outcome, Tally};
use super::report::{self, Verdict};
use super::stage::Stage;
use super::watch::Watch;
use super::{Arguments, honest};
use crate::load::{Load, Seen};
use crate::origin::hostile::Kind as Answer;
use crate::rig::Result;
use crate::rig::figures::{mebibytes, median_duration, ratio, show};

const ALONE: &str = "alone";
const ATTACKED: &str = "under attack";
const AFTER: &str = "afterwards";

/// The most connections that honest clients have.
const HONEST: u64 = 200;

/// The time in which a log that is not read fills up, so that the gateway ends with a full one.
const FILLING: Duration = Duration::from_secs(4);

/// The growth of memory that is allowed: the tables of the limits fill (8 MiB with two rates and the
/// offenders, see docs/how-to/limits.md), and the allocator keeps a part of what it needed at once.
const GROWTH_KIB: u64 = 24 << 10;

/// Connections that honest clients or the origin may hold at the end.
const DESCRIPTORS: usize = 64;

pub struct Plan {
    pub attacks: Vec<Attack>,
    /// How often both parts take turns.
    pub rounds: u32,
    /// The shares of a round: alone, under attack, and alone again.
    pub shares: [u32; 3],
    /// The limit for honest p99 under attack, as a multiple of that alone.
    pub limit: Option<f64>,
    /// Whether the reader of the access log stops during the attack.
    pub stalls_log: bool,
    /// Whether the kinds of attackers begin one after another, and the memory of each is shown.
    pub is_step_by_step: bool,
}

impl Plan {
    pub fn run(&self, arguments: &Arguments, gateway: &Path) -> Result<()> {
        let stage = Stage::set(gateway, "", "")?;
        let process = &stage.gateway.process;
        let (tally, means) = (Arc::default(), Arc::new(Means::against(&stage.gateway)));
        let honest = honest::start(stage.gateway.address, arguments.rate())?;
        thread::sleep(Duration::from_secs(1));
        let mut watch = Watch::new();
        let share = arguments.duration() / self.rounds / self.shares.iter().sum::<u32>();
        let [alone, attacked, after] = self.shares.map(|count| share * count);
        for round in 0..self.rounds {
            watch.during(ALONE, process, &honest, alone);
            let attackers = self.attack(&stage, &means, &tally, round == 0)?;
            stage.stall_log(self.stalls_log);
            watch.during(ATTACKED, process, &honest, attacked);
            attackers.into_iter().try_for_each(|attackers| attackers.finish().map(drop))?;
            stage.stall_log(false);
            stage.await_connections(|open| open <= HONEST)?;
            stage.await_rest();
            if !after.is_zero() {
                watch.during(AFTER, process, &honest, after);
            }
        }
        stage.stall_log(self.stalls_log);
        thread::sleep(if self.stalls_log { FILLING } else { Duration::ZERO });
        let seen = honest.finish()?;

        let phases = [ALONE, ATTACKED, AFTER].map(|part| (part, watch.phases(part)));
        report::print_honest(&seen, &phases);
        report::print_attacks(&tally);
        report::print_counters(&stage.gateway)?;
        report::print_watch(&watch);
        let [without, with] = [ALONE, ATTACKED].map(|part| 100.0 * watch.busy(part));
        println!("\nCPU of the gateway: {without:.0} % of a core alone, {with:.0} % under attack\n");
        let mut verdict = Verdict::default();
        verdict.expect(seen.lost() == 0, format!("{} honest requests lost", seen.lost()));
        stage.expect_peace(&mut verdict);
        expect_clean_origins(&tally, &mut verdict);
        self.judge_latency(&seen, &watch, &mut verdict);
        judge_growth(&watch, &mut verdict);
        if self.stalls_log {
            stage.expect_end(&mut verdict)?;
        }
        verdict.judge()
    }

    /// Starts the attackers. With `is_step_by_step`, waits until they hold their connections, and prints
    /// the memory of each kind in the first round; later rounds reuse memory.
    fn attack(
        &self,
        stage: &Stage,
        means: &Arc<Means>,
        tally: &Arc<Tally>,
        is_first: bool,
    ) -> Result<Vec<Load>> {
        let mut attackers = Vec::new();
        let mut held = 0;
        for attack in &self.attacks {
            let before = stage.gateway.process.memory_kib();
            attackers.push(attack.start(means, tally)?);
            if !self.is_step_by_step || attack.held == 0 {
                continue;
            }
            held += attack.held;
            stage.await_connections(|open| open >= held.into())?;
            let grown = stage.await_rest().saturating_sub(before);
            if is_first {
                let each = grown as f64 / f64::from(attack.held);
                println!("memory for {:?}: {}, {each:.1} KiB each", attack.kind, mebibytes(grown));
            }
        }
        Ok(attackers)
    }

    /// The figure is the median of the p99 of all slices, so that a short disturbance of the machine does
    /// not decide.
    fn judge_latency(&self, seen: &Seen, watch: &Watch, verdict: &mut Verdict) {
        let p99 = |phase: usize| seen.together(&[phase]).latency(99.0);
        let [without, with] = [ALONE, ATTACKED].map(|part| {
            let slices: Vec<Duration> = watch.phases(part).into_iter().map(p99).collect();
            println!(
                "p99 of each slice {part}: {}",
                slices.iter().copied().map(show).collect::<Vec<_>>().join(" ")
            );
            median_duration(&slices)
        });
        let times = ratio(with, without);
        let limit = self.limit.unwrap_or(f64::INFINITY);
        let (without, with) = (show(without), show(with));
        let what =
            format!("honest p99 {without} alone, {with} under attack: {times:.2} times, at most {limit}");
        verdict.expect(times <= limit, what);
    }
}

/// Expects that memory and descriptors come back.
fn judge_growth(watch: &Watch, verdict: &mut Verdict) {
    let (Some(before), Some(after)) = (watch.of(ALONE).next_back(), watch.of(AFTER).next_back()) else {
        return;
    };
    let (was, is, most) = (before.memory_kib, after.memory_kib, before.memory_kib + GROWTH_KIB);
    let [shown_was, shown_is, shown_most] = [was, is, most].map(mebibytes);
    let what = format!("memory {shown_was} before, {shown_is} after, at most {shown_most}");
    verdict.expect(is <= most, what);
    let (was, is, most) = (before.descriptors, after.descriptors, before.descriptors + DESCRIPTORS);
    verdict.expect(is <= most, format!("descriptors {was} before, {is} after, at most {most}"));
}

/// Expects that no answer of a hostile origin reached another client, and that no malformed answer
/// looked complete. A second answer that arrives just when the connection is taken again cannot be told
/// from a genuine one, so late answers are only counted.
fn expect_clean_origins(tally: &Tally, verdict: &mut Verdict) {
    let malformed: Vec<&str> =
        Answer::ALL.into_iter().filter(|kind| kind.is_malformed()).map(Answer::name).collect();
    let passed = tally.sum(&malformed, Outcome::Status(200)) + tally.sum(&malformed, Outcome::Unreadable);
    verdict.expect(passed == 0, format!("{passed} malformed answers of the origin were passed on"));
    let names: Vec<&str> = Answer::ALL.map(Answer::name).into_iter().chain(["good-answer"]).collect();
    let poisoned = tally.sum(&names, Outcome::Poisoned);
    verdict.expect(poisoned == 0, format!("{poisoned} clients got the answer to another request"));
}
