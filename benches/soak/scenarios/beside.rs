//! The latency of honest clients with and without one attack, by turns, so that a machine that
//! changes its speed changes it for both.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::super::Result;
use super::super::arguments::Arguments;
use super::super::honest::Honest;
use super::super::hostile::{Hostile, Kind, Tally};
use super::super::report::{self, Verdict, mebibytes, ratio, show};
use super::Stage;

/// The phase while connections are made and ended.
const BETWEEN: usize = 0;

/// A phase of the measurement. The figure is the median of their p99, and so not that of whatever
/// else the machine did for a moment.
const SLICE: Duration = Duration::from_millis(2500);

/// Connections that honest clients have at the most.
const HONEST: u32 = 200;

/// For how long connections may be made or ended.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is compared.
struct Plan {
    kinds: Vec<Kind>,
    /// Turns of both.
    rounds: u32,
    /// Honest p99 with the attack may be so many times that without.
    bound: f64,
}

/// Where what was measured is to be found.
#[derive(Debug, Default)]
struct Measured {
    phases: Vec<usize>,
    cpu: Duration,
}

/// Wrongly signed tokens at ten times the honest rate.
pub fn flood(arguments: &Arguments) -> Result<()> {
    let kinds = vec![Kind::WrongSignatures(10 * arguments.rate())];
    Plan { kinds, rounds: 4, bound: 2.0 }.run(arguments)
}

/// Five thousand slow connections.
pub fn slow(arguments: &Arguments) -> Result<()> {
    let kinds = vec![Kind::SlowHeads(1700), Kind::SlowBodies(1700), Kind::SlowReaders(1600)];
    // Once only: what so many connections leave behind, as their memory is given back, would count
    // for the next turn without them, and flatter the figure.
    Plan { kinds, rounds: 1, bound: 1.2 }.run(arguments)
}

impl Plan {
    fn run(&self, arguments: &Arguments) -> Result<()> {
        let stage = Stage::set("", "")?;
        let gateway = &stage.gateway;
        let tally = Arc::new(Tally::default());
        let honest = Honest::start(gateway.address(), arguments.rate(), BETWEEN)?;
        thread::sleep(Duration::from_secs(1));
        let turn = arguments.duration() / (2 * self.rounds);
        let mut measured = [Measured::default(), Measured::default()];
        let mut next = BETWEEN;
        let mut measure = |measured: &mut Measured| {
            let before = gateway.cpu();
            let slices = (turn.as_millis() / SLICE.as_millis()).max(1) as u32;
            for _ in 0..slices {
                next += 1;
                measured.phases.push(next);
                honest.enter(next);
                thread::sleep(turn / slices);
            }
            honest.enter(BETWEEN);
            measured.cpu += gateway.cpu() - before;
        };
        for round in 0..self.rounds {
            measure(&mut measured[0]);
            let attackers = self.attack(&stage, &tally, round == 0)?;
            measure(&mut measured[1]);
            for attackers in attackers {
                attackers.stop()?;
            }
            await_connections(&stage, |open| open <= HONEST.into())?;
            await_calm(&stage);
        }
        let seen = honest.finish()?;

        let [without, with] = measured;
        report::print_honest(&seen, &[("without", &without.phases), ("with", &with.phases)]);
        report::print_attacks(&tally);
        report::print_counters(gateway)?;
        let load =
            |measured: &Measured| 100.0 * measured.cpu.as_secs_f64() / (turn * self.rounds).as_secs_f64();
        println!(
            "\nCPU of the gateway: {:.0} % of a core without, {:.0} % with\n",
            load(&without),
            load(&with)
        );
        let mut verdict = Verdict::default();
        let lost = seen.lost().count();
        verdict.expect(lost == 0, format!("{lost} honest requests lost"));
        stage.expect_peace(&mut verdict);
        for (name, measured) in [("without", &without), ("with", &with)] {
            let of_each: String = measured
                .phases
                .iter()
                .map(|phase| format!(" {}", show(seen.latency(*phase, 99.0))))
                .collect();
            println!("p99 by slices, {name}:{of_each}");
        }
        let [without, with] = [without, with].map(|measured| seen.median_latency(&measured.phases, 99.0));
        let (times, bound) = (ratio(with, without), self.bound);
        let (without, with) = (show(without), show(with));
        verdict.expect(
            times <= bound,
            format!("honest p99 {without} without, {with} with: {times:.2} times, at most {bound}"),
        );
        verdict.judge()
    }

    /// Lets the attackers loose, and waits until they hold what they are to hold. Says what it takes:
    /// at first, since memory that is left over from a round before is used again.
    fn attack(&self, stage: &Stage, tally: &Arc<Tally>, says_memory: bool) -> Result<Vec<Hostile>> {
        let gateway = &stage.gateway;
        let mut attackers = Vec::new();
        let mut held = 0;
        for kind in &self.kinds {
            let before = gateway.resident_kib();
            attackers.push(Hostile::start(gateway.address(), &[*kind], tally.clone())?);
            held += kind.held();
            if kind.held() > 0 {
                await_connections(stage, |open| open >= held.into())?;
                let grown = await_calm(stage).saturating_sub(before);
                if says_memory {
                    let each = grown as f64 / f64::from(kind.held());
                    println!("memory for {kind:?}: {}, {each:.1} KiB each", mebibytes(grown));
                }
            }
        }
        Ok(attackers)
    }
}

/// Waits until the gateway has as many connections as are wanted.
fn await_connections(stage: &Stage, is_wanted: impl Fn(u64) -> bool) -> Result<()> {
    let start = Instant::now();
    loop {
        let open = stage.gateway.connections()?;
        if is_wanted(open) {
            return Ok(());
        }
        if start.elapsed() > PATIENCE {
            let waited = PATIENCE.as_secs();
            return Err(format!(
                "the gateway has {open} connections after {waited} s, not as many as wanted"
            )
            .into());
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// Waits until the gateway's memory stays as it is: answers are under way for a while after connections
/// are made, and memory is given back for a while after they end. Returns it in KiB.
fn await_calm(stage: &Stage) -> u64 {
    let start = Instant::now();
    let mut resident = stage.gateway.resident_kib();
    loop {
        thread::sleep(Duration::from_secs(1));
        let before = std::mem::replace(&mut resident, stage.gateway.resident_kib());
        if resident.abs_diff(before) < 512 || start.elapsed() > PATIENCE {
            return resident;
        }
    }
}
