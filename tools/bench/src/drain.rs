//! `drain`: processes that end behind a load balancer that notices late.
//!
//! The balancer opens a new connection each millisecond to one gateway. In each round another gateway
//! starts and the first gets SIGTERM. Some seconds after its `/readyz` fails, the balancer sends new
//! connections to the other one. A connection that is refused or reset, or whose request gets no right
//! answer, has failed.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::Signal;

use crate::load::{Apps, Load, Pace, Wire};
use crate::origin::Origin;
use crate::rig::figures::line;
use crate::rig::{Folder, Gateway, Result, Verdict, gateway, poll, prepare};

/// The time that any step may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Connections of the balancer at a time.
const WORKERS: usize = 256;

/// Measure ends of processes behind a balancer that notices late
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The least number of connections
    #[arg(long, default_value_t = 100_000)]
    connections: u64,
    /// Seconds from the failing probe until the balancer sends nothing more
    #[arg(long, default_value_t = 5)]
    late: u64,
    /// Connections a second
    #[arg(long, default_value_t = 1000.0)]
    rate: f64,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let (binary, folder, late) = (prepare()?, Folder::new()?, Duration::from_secs(arguments.late));
    let origin = Origin::start(Ipv4Addr::LOCALHOST)?;
    let mut config = gateway::config(origin.address);
    config["server"]["drain_delay"] = format!("{}s", arguments.late + 2).into();
    let file = folder.write("gateway.yaml", config.to_string())?;
    let start = || Gateway::start(&binary, &file);
    let mut gateway = start()?;
    // The gateway that the balancer sends new connections to.
    let choice = Arc::new(Mutex::new(gateway.address));
    let theirs = choice.clone();
    let load = Load::start(WORKERS, Pace::Open(arguments.rate), PATIENCE, move || {
        let first = *theirs.lock();
        // Several addresses, so that no port is used again soon.
        let path = |number: u64| format!("/r/{number}");
        let mut apps = Apps::new(first, Ipv4Addr::new(127, 0, 1, 0), path, &[Wire::New]);
        apps.gateway = Box::new(move || *theirs.lock());
        Ok(apps)
    })?;
    let (mut ends, mut after_the_signal) = (0, 0);
    while load.answered() < arguments.connections {
        let mut old = std::mem::replace(&mut gateway, start()?);
        let before = load.answered();
        old.process.signal(Signal::TERM)?;
        await_failing_probe(&old)?;
        thread::sleep(late);
        after_the_signal += load.answered() - before;
        *choice.lock() = gateway.address;
        old.process.await_good_end()?;
        ends += 1;
    }
    let seen = load.finish()?;
    let failures = seen.whole().failures;
    line("ends of a process", ends);
    line("connections answered after a signal", after_the_signal);
    for (failure, count) in &failures {
        println!("failed: {count} times {failure}");
    }
    let failed: u64 = failures.values().sum();
    let mut verdict = Verdict::default();
    verdict.expect(failed == 0, format!("{failed} of {} connections failed", seen.asked));
    let what =
        format!("{} connections were not made in time; lower --rate if there are any", seen.unanswered);
    verdict.expect(seen.unanswered == 0, what);
    verdict.judge()
}

fn await_failing_probe(gateway: &Gateway) -> Result<()> {
    let fails = || Ok((!gateway.admin_page("/readyz")?.starts_with("HTTP/1.1 200 ")).then_some(()));
    poll(Duration::from_millis(5), PATIENCE, fails)?.ok_or_else(|| "/readyz did not fail".into())
}
