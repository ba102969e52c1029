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
use super::super::sockets::PATIENCE;
use super::Stage;

const WITHOUT: usize = 0;
const WITH: usize = 1;
/// While connections are made and ended.
const BETWEEN: usize = 2;

/// Turns of both.
const ROUNDS: u32 = 4;

const SLOW: u32 = 5000;

/// Wrongly signed tokens at ten times the honest rate.
pub fn flood(arguments: &Arguments) -> Result<()> {
    let stage = Stage::set("", "")?;
    let kinds = [Kind::WrongSignatures(10 * arguments.rate())];
    beside(&stage, arguments, &kinds, 0, 2.0)
}

/// Five thousand slow connections: heads, bodies and readers.
pub fn slow(arguments: &Arguments) -> Result<()> {
    let stage = Stage::set("", "")?;
    let third = SLOW / 3;
    let kinds = [Kind::SlowHeads(SLOW - 2 * third), Kind::SlowBodies(third), Kind::SlowReaders(third)];
    beside(&stage, arguments, &kinds, SLOW, 1.2)
}

/// Honest p99 with the attack may be so many times that without. Where connections are held, they
/// are measured once that many are.
fn beside(stage: &Stage, arguments: &Arguments, kinds: &[Kind], held: u32, bound: f64) -> Result<()> {
    let gateway = &stage.gateway;
    let tally = Arc::new(Tally::default());
    let honest = Honest::start(gateway.address(), arguments.rate(), BETWEEN)?;
    thread::sleep(Duration::from_secs(1));
    let turn = arguments.duration() / (2 * ROUNDS);
    let (mut cpu, mut growth) = ([Duration::ZERO; 2], 0);
    let mut measure = |phase: usize| {
        let before = gateway.cpu();
        honest.enter(phase);
        thread::sleep(turn);
        honest.enter(BETWEEN);
        cpu[phase] += gateway.cpu() - before;
    };
    for _ in 0..ROUNDS {
        measure(WITHOUT);
        let resident = gateway.resident_kib();
        let hostile = Hostile::start(gateway.address(), kinds, tally.clone())?;
        await_connections(stage, held, true)?;
        // What is held at first costs more than what comes again, which finds the memory there.
        growth = growth.max(gateway.resident_kib().saturating_sub(resident));
        measure(WITH);
        hostile.stop()?;
        await_connections(stage, 200, false)?;
    }
    let seen = honest.finish()?;

    report::print_honest(&seen, &[(WITHOUT, "without"), (WITH, "with")]);
    report::print_attacks(&tally);
    report::print_counters(gateway)?;
    let load = cpu.map(|cpu| 100.0 * cpu.as_secs_f64() / (turn * ROUNDS).as_secs_f64());
    println!("\nCPU of the gateway: {:.0} % of a core without, {:.0} % with", load[WITHOUT], load[WITH]);
    if held > 0 {
        let each = growth as f64 / f64::from(held);
        println!("memory: {} for {held} connections, {each:.1} KiB each", mebibytes(growth));
    }
    println!();
    let mut verdict = Verdict::default();
    let lost = seen.lost().count();
    verdict.expect(lost == 0, format!("{lost} honest requests lost"));
    stage.expect_peace(&mut verdict);
    let (without, with) = (seen.latency(WITHOUT, 99.0), seen.latency(WITH, 99.0));
    let times = ratio(with, without);
    verdict.expect(
        times <= bound,
        format!(
            "honest p99 {} without, {} with: {times:.2} times, at most {bound}",
            show(without),
            show(with)
        ),
    );
    verdict.judge()
}

/// Waits until the gateway has so many connections, or no more than that.
fn await_connections(stage: &Stage, count: u32, is_least: bool) -> Result<()> {
    let start = Instant::now();
    loop {
        let open = stage.gateway.connections()?;
        if if is_least { open >= count.into() } else { open <= count.into() } {
            return Ok(());
        }
        if start.elapsed() > PATIENCE {
            return Err(format!("the gateway has {open} connections, and {count} are wanted").into());
        }
        thread::sleep(Duration::from_millis(50));
    }
}
