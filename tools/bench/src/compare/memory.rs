//! Memory: with thousands of idle connections, with slow readers, and over time.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use super::measure::Bench;
use super::modes::{ACCEPTED, Measure, Mode};
use super::peers::Running;
use super::table::{EACH_CONNECTION, Figure, Row, Sample, count, memory};
use crate::load::{Http1, Load, Pace, Target};
use crate::rig::{Result, runtime};

/// The time that outstanding requests may take at the end.
const PATIENCE: Duration = Duration::from_secs(15);

/// The numbers of requests after which the mode `growth` looks at the memory.
const STEPS: [(u64, Figure); 2] =
    [(100_000, Figure::new("after 100 k", memory)), (10_000_000, Figure::new("after 10 M", memory))];

/// Connections that are held by a process that has served nothing else. Shared pages count once.
pub fn held(row: &mut Row, mode: &Mode, bench: &Bench) -> Result<Sample> {
    let usual = Mode { setup: mode.setup, ..ACCEPTED };
    let running = Running::start(&row.peer, mode.setup, &[bench.origin], bench)?;
    let at_rest = || running.process.memory_at_rest_kib() as f64;
    let load = || bench.round(&running, &usual, usual.connections, Pace::Closed, bench.seconds);
    load()?;
    let after_load = at_rest();
    let runtime = runtime()?;
    let kept = runtime.block_on(async {
        match mode.measure {
            Measure::SlowReaders => slow_readers(&running, mode).await,
            _ => idle(bench, &running, mode, row).await,
        }
    })?;
    let connections = kept.len();
    let with_them = at_rest();
    drop(kept);
    let afterwards = at_rest();
    // Some allocators return memory only while they are used.
    load()?;
    Ok(vec![
        (Figure::new("fresh", memory), running.fresh_kib),
        (Figure::new("after load", memory), after_load),
        (Figure::new("connections", count), connections as f64),
        (Figure::new("with them", memory), with_them),
        (Figure::new("afterwards", memory), afterwards),
        (Figure::new("in use again", memory), at_rest()),
        (EACH_CONNECTION, (with_them - after_load).max(0.0) / connections.max(1) as f64),
    ])
}

/// Connections that have each had one answer, as many as the peer accepts.
async fn idle(bench: &Bench, running: &Running, mode: &Mode, row: &mut Row) -> Result<Vec<Http1>> {
    let script = bench.script(running, mode)?;
    let request = mode.request().to_bytes();
    let mut kept = Vec::with_capacity(mode.connections);
    while kept.len() < mode.connections {
        let one = async {
            let mut client = Http1::open(&script.target).await?;
            match client.ask(&request).await?.status {
                status if status == script.status => Ok(client),
                status => Err(std::io::Error::other(status.to_string())),
            }
        };
        match one.await {
            Ok(client) => kept.push(client),
            Err(error) => {
                row.remarks.push(format!("accepts {} connections only: {error}", kept.len()));
                break;
            }
        }
    }
    Ok(kept)
}

/// Connections that have each sent a request and read nothing of the answer.
async fn slow_readers(running: &Running, mode: &Mode) -> Result<Vec<Http1>> {
    let target = Target { is_narrow: true, ..Target::new(running.address, None) };
    let request = mode.request().to_bytes();
    let mut kept = Vec::new();
    for _ in 0..mode.connections {
        let mut client = Http1::open(&target).await?;
        client.stream.write_all(&request).await?;
        kept.push(client);
    }
    Ok(kept)
}

pub fn growth(row: &mut Row, mode: &Mode, bench: &Bench) -> Result<Sample> {
    let running = Running::start(&row.peer, mode.setup, &[bench.origin], bench)?;
    let script = bench.script(&running, mode)?;
    let load = Load::start(mode.connections, Pace::Closed, PATIENCE, move || Ok(script))?;
    let mut sample = Sample::new();
    for (requests, figure) in STEPS {
        load.await_answers(requests, Duration::from_secs(3600))?;
        sample.push((figure, running.process.memory_kib() as f64));
    }
    load.finish()?;
    let [first, last] = [sample[0].1, sample[1].1];
    sample.push((Figure::new("last to first", |ratio| format!("{ratio:.3}")), last / first));
    Ok(sample)
}
