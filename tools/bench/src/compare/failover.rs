//! One of three addresses of the origin fails under a load of idempotent requests: how many of them do
//! not get their answer.

use std::net::SocketAddr;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use super::measure::Bench;
use super::modes::{Fault, Mode};
use super::table::{Figure, P99, Row, Sample};
use crate::load::{Load, Pace};
use crate::rig::Result;
use crate::rig::figures::time;
use crate::rig::process::Process;

/// A request without an answer within this time is lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// A round begins with a new process and with all three addresses, because a peer remembers failures.
pub fn round(row: &mut Row, mode: &Mode, fault: Fault, bench: &Bench) -> Result<Sample> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("origin");
    let start = |_| Process::start("the origin", &command);
    let origins = (0..mode.setup.addresses).map(start).collect::<Result<Vec<_>>>()?;
    let address = |origin: &Process| Ok(origin.await_line("listening on http://")?.parse()?);
    let addresses = origins.iter().map(address).collect::<Result<Vec<SocketAddr>>>()?;
    let running = bench.start(&row.peer, mode.setup, &addresses)?;

    let mut script = bench.script(&running, mode)?;
    script.patience = Some(PATIENCE);
    let load = Load::start(mode.connections, Pace::Closed, 2 * PATIENCE, move || Ok(script))?;
    let length = Duration::from_secs_f64(bench.effort.seconds);
    thread::sleep(length / 3);
    let failing = origins.last().ok_or("the origin has no address")?;
    failing.signal(match fault {
        Fault::Killed => Signal::KILL,
        Fault::Stopped => Signal::STOP,
    })?;
    thread::sleep(length * 2 / 3);
    let seen = load.finish()?.whole();
    let remarks = seen.failures.iter().map(|(what, count)| format!("{count} times {what}"));
    row.remarks.extend(remarks);
    let at = |percent| seen.latency(percent).as_secs_f64();
    Ok(vec![
        (Figure::sum("requests"), seen.requests() as f64),
        (Figure::sum("lost"), seen.lost() as f64),
        (P99, at(99.0)),
        (Figure::most("slowest", time), at(100.0)),
    ])
}
