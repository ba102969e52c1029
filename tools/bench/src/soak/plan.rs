//! A run: honest clients alone, then under attack, and perhaps alone again.
//!
//! Both parts take turns, so that a machine that changes its speed changes it for both.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::Arguments;
use super::hostile::{Attack, Means, POISONED, Tally, UNREADABLE};
use super::stage::Stage;
use crate::load::{Apps, Load, PATIENCE, Pace, Phase, Seen, Wire};
use crate::origin::hostile::MALFORMED;
use crate::rig::figures::{mebibytes, percentile, ratio, show};
use crate::rig::{Result, Verdict};

const ALONE: &str = "alone";
const ATTACKED: &str = "under attack";
const AFTER: &str = "afterwards";

/// Requests of honest clients at a time, and the most connections that they have.
const WORKERS: usize = 128;
const HONEST: u64 = 200;

/// Of ten requests seven use kept connections, two new ones, and one HTTP/2.
const WIRES: [Wire; 10] = {
    use Wire::{Http2, Kept, New};
    [Kept, Kept, Kept, Kept, Kept, Kept, Kept, New, New, Http2]
};

/// A slice of a run is at least this long, and a part has at most so many of them, so that the table stays
/// readable.
const SLICE: Duration = Duration::from_millis(2500);
const SLICES: u128 = 12;

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

struct Run {
    stage: Stage,
    honest: Load,
    start: Instant,
    slices: Vec<Slice>,
}

/// A slice of a run. Its position plus one is the phase of the honest clients.
struct Slice {
    part: &'static str,
    memory_kib: u64,
    descriptors: usize,
}

impl Plan {
    /// Four rounds of these attacks, as long as the clients are alone.
    pub fn of(attacks: Vec<Attack>) -> Self {
        let shares = [1, 1, 0];
        Self { attacks, rounds: 4, shares, limit: None, stalls_log: false, is_step_by_step: true }
    }

    pub fn run(&self, arguments: &Arguments, gateway: &Path) -> Result<()> {
        let mut run = Run::start(gateway, arguments.rate())?;
        let means = Arc::new(Means::against(&run.stage.gateway));
        let mut tally = Tally::new();
        let share = arguments.duration() / self.rounds / self.shares.iter().sum::<u32>();
        let [alone, attacked, after] = self.shares.map(|count| share * count);
        println!("{:>8} {:16}{:>12}{:>14}{:>12}", "after", "part", "memory", "descriptors", "CPU");
        for round in 0..self.rounds {
            run.watch(ALONE, alone);
            let attackers = self.attack(&run.stage, &means, round == 0)?;
            run.stage.stall_log(self.stalls_log);
            run.watch(ATTACKED, attacked);
            for attackers in attackers {
                for (outcome, count) in attackers.finish()?.whole().failures {
                    *tally.entry(outcome).or_default() += count;
                }
            }
            run.stage.stall_log(false);
            run.stage.await_connections(|open| open <= HONEST)?;
            run.stage.gateway.process.memory_at_rest_kib();
            if !after.is_zero() {
                run.watch(AFTER, after);
            }
        }
        run.stage.stall_log(self.stalls_log);
        thread::sleep(if self.stalls_log { FILLING } else { Duration::ZERO });
        let Run { stage, honest, slices, .. } = run;
        let seen = honest.finish()?;

        let phases = [ALONE, ATTACKED, AFTER].map(|part| (part, phases(&slices, part)));
        print_honest(&seen, &phases);
        println!("\n{:>12}  attacks: outcome", "times");
        tally.iter().for_each(|(outcome, count)| println!("{count:>12}  {outcome}"));
        let mut verdict = Verdict::default();
        verdict.expect(seen.lost() == 0, format!("{} honest requests lost", seen.lost()));
        stage.expect_peace(&mut verdict);
        expect_clean_origins(&tally, &mut verdict);
        self.judge_latency(&seen, &slices, &mut verdict);
        judge_growth(&slices, &mut verdict);
        if self.stalls_log {
            stage.expect_end(&mut verdict)?;
        }
        verdict.judge()
    }

    /// Starts the attackers. With `is_step_by_step`, waits until they hold their connections, and prints
    /// the memory of each kind in the first round; later rounds reuse memory.
    fn attack(&self, stage: &Stage, means: &Arc<Means>, is_first: bool) -> Result<Vec<Load>> {
        let mut attackers = Vec::new();
        let mut held = 0;
        for attack in &self.attacks {
            let before = stage.gateway.process.memory_kib();
            attackers.push(attack.start(means)?);
            if !self.is_step_by_step || attack.held == 0 {
                continue;
            }
            held += attack.held;
            stage.await_connections(|open| open >= held.into())?;
            let grown = stage.gateway.process.memory_at_rest_kib().saturating_sub(before);
            if is_first {
                let each = grown as f64 / f64::from(attack.held);
                println!("memory for {:?}: {}, {each:.1} KiB each", attack.kind, mebibytes(grown));
            }
        }
        Ok(attackers)
    }

    /// The figure is the median of the p99 of all slices, so that a short disturbance of the machine does
    /// not decide.
    fn judge_latency(&self, seen: &Seen, slices: &[Slice], verdict: &mut Verdict) {
        let p99 = |phase: usize| seen.together(&[phase]).latency(99.0);
        let [without, with] = [ALONE, ATTACKED]
            .map(|part| percentile(&phases(slices, part).into_iter().map(p99).collect::<Vec<_>>(), 50.0));
        let times = ratio(with, without);
        let limit = self.limit.unwrap_or(f64::INFINITY);
        let (without, with) = (show(without), show(with));
        let what =
            format!("honest p99 {without} alone, {with} under attack: {times:.2} times, at most {limit}");
        verdict.expect(times <= limit, what);
    }
}

impl Run {
    fn start(binary: &Path, rate: u32) -> Result<Self> {
        let stage = Stage::set(binary, |_| ())?;
        let gateway = stage.gateway.address;
        // Far fewer addresses than the attackers have.
        let network = Ipv4Addr::new(127, 1, 0, 0);
        let path = |number: u64| format!("/honest/{number}");
        let apps = move || Ok(Apps::new(gateway, network, path, &WIRES));
        let honest = Load::start(WORKERS, Pace::Open(rate.into()), 2 * PATIENCE, apps)?;
        thread::sleep(Duration::from_secs(1));
        Ok(Self { stage, honest, start: Instant::now(), slices: Vec::new() })
    }

    /// Watches one part of the run, and prints its slices. Afterwards the honest clients are in the phase 0,
    /// which is not measured.
    fn watch(&mut self, part: &'static str, duration: Duration) {
        let gateway = &self.stage.gateway.process;
        let count = (duration.as_millis() / SLICE.as_millis()).clamp(1, SLICES) as u32;
        for _ in 0..count {
            self.honest.enter(self.slices.len() + 1);
            let (start, cpu) = (Instant::now(), gateway.cpu());
            thread::sleep(duration / count);
            let busy = 100.0 * ratio(gateway.cpu().saturating_sub(cpu), start.elapsed());
            let (memory_kib, descriptors) = (gateway.memory_kib(), gateway.descriptors());
            let (after, memory) = (self.start.elapsed().as_secs(), mebibytes(memory_kib));
            println!("{after:>6} s {part:16}{memory:>12}{descriptors:>14}{busy:>10.0} %");
            self.slices.push(Slice { part, memory_kib, descriptors });
        }
        self.honest.enter(0);
    }
}

/// Honest clients, a column for each group of phases.
fn print_honest(seen: &Seen, columns: &[(&str, Vec<usize>)]) {
    let columns: Vec<_> = columns.iter().map(|(name, phases)| (name, seen.together(phases))).collect();
    let row = |name: &str, value: &dyn Fn(&Phase) -> String| {
        let values: String = columns.iter().map(|(_, phase)| format!("{:>14}", value(phase))).collect();
        println!("{name:24}{values}");
    };
    println!();
    let names: String = columns.iter().map(|(name, _)| format!("{name:>14}")).collect();
    println!("{:24}{names}", "honest clients");
    row("requests answered", &|phase| phase.latencies.len().to_string());
    row("lost", &|phase| phase.lost().to_string());
    for percent in [50.0, 99.0, 99.9] {
        row(&format!("p{percent}"), &|phase| show(phase.latency(percent)));
    }
    row("sent late, p99", &|phase| show(percentile(&phase.lateness, 99.0)));
    for (lost, count) in seen.whole().failures.iter().take(10) {
        println!("lost: {count} times {lost}");
    }
}

fn phases(slices: &[Slice], part: &str) -> Vec<usize> {
    (1..).zip(slices).filter(|(_, slice)| slice.part == part).map(|(phase, _)| phase).collect()
}

fn judge_growth(slices: &[Slice], verdict: &mut Verdict) {
    let last = |part| slices.iter().rfind(|slice| slice.part == part);
    let (Some(before), Some(after)) = (last(ALONE), last(AFTER)) else { return };
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
    let sum = |name: &str, outcome: &str| tally.get(&format!("{name}: {outcome}")).copied().unwrap_or(0);
    let passed: u64 = MALFORMED.iter().map(|name| sum(name, "200") + sum(name, UNREADABLE)).sum();
    verdict.expect(passed == 0, format!("{passed} malformed answers of the origin were passed on"));
    let poisoned = tally.iter().filter(|(outcome, _)| outcome.ends_with(POISONED));
    let poisoned: u64 = poisoned.map(|(_, count)| count).sum();
    verdict.expect(poisoned == 0, format!("{poisoned} clients got the answer to another request"));
}
