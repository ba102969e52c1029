//! One of three addresses of the origin fails under a load of idempotent requests: how many of them do
//! not get their answer.

use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use super::measure::Bench;
use super::modes::Mode;
use super::peers::Running;
use super::table::{Figure, P99, Row, Sample};
use crate::load::{Load, Pace};
use crate::origin;
use crate::rig::Result;
use crate::rig::figures::time;

/// A request without an answer within this time is lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// A round begins with a new process and with all three addresses, because a peer remembers failures.
pub fn round(row: &mut Row, mode: &Mode, signal: Signal, bench: &Bench) -> Result<Sample> {
    let origins = (0..3).map(|_| origin::start_process()).collect::<Result<Vec<_>>>()?;
    let addresses: Vec<_> = origins.iter().map(|(_, address)| *address).collect();
    let running = Running::start(&row.peer, mode.setup, &addresses, bench)?;

    let mut script = bench.script(&running, mode)?;
    script.patience = Some(PATIENCE);
    let load = Load::start(mode.connections, Pace::Closed, 2 * PATIENCE, move || Ok(script))?;
    let length = Duration::from_secs_f64(bench.seconds);
    thread::sleep(length / 3);
    let (failing, _) = origins.last().ok_or("the origin has no address")?;
    failing.signal(signal)?;
    thread::sleep(length * 2 / 3);
    let seen = load.finish()?.whole();
    row.remarks.extend(seen.failures.iter().map(|(what, count)| format!("{count} times {what}")));
    let at = |percent| seen.latency(percent).as_secs_f64();
    Ok(vec![
        (Figure::sum("requests"), seen.requests() as f64),
        (Figure::sum("lost"), seen.lost() as f64),
        (P99, at(99.0)),
        (Figure::most("slowest", time), at(100.0)),
    ])
}
