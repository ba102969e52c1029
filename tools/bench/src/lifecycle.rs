//! `lifecycle`: upgrades and reloads in a row under load, and what they cost.
//!
//! Clients ask without a pause, over kept connections and over a new one for each request; each request
//! has a path of its own. A request has failed if its connection is refused or reset, if its answer is
//! missing or wrong, or if it did not arrive at the origin exactly once.
//!
//! Intervals without and with reloads take turns, so that a machine that changes its speed changes it
//! for both.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::load::{Apps, Load, Pace, Seen, Wire};
use crate::origin::{Log, Origin};
use crate::rig::figures::{compared, line, percentile, show};
use crate::rig::{Folder, Gateway, Port, Process, Result, Verdict, gateway, prepare};

/// The time that any step may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Measure upgrades and reloads under load
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[arg(long, default_value_t = 20)]
    upgrades: usize,
    /// Rounds of intervals without reloads, with ten a second, and with reloads back to back
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The least number of requests in total
    #[arg(long, default_value_t = 500_000)]
    requests: u64,
    /// Routes of the large configuration
    #[arg(long, default_value_t = 10_000)]
    routes: usize,
}

const CLIENTS: usize = 8;

/// Three quarters of the requests use kept connections, the others open one each.
const WIRES: [Wire; 4] = [Wire::Kept, Wire::Kept, Wire::Kept, Wire::New];

/// Reloads of an interval, and the length of an interval.
const RELOADS: u32 = 20;
const INTERVAL: Duration = Duration::from_secs(2);

const OTHER: usize = 0;
const QUIET: usize = 1;
const PACED: usize = 2;
const BACK_TO_BACK: usize = 3;
const LARGE: usize = 4;

#[derive(Default)]
struct Steps {
    small_reloads: Vec<Duration>,
    large_reloads: Vec<Duration>,
    /// From the start of the new process until it serves.
    upgrades: Vec<Duration>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let (binary, folder, port) = (prepare()?, Folder::new()?, Port::reserve(Ipv4Addr::LOCALHOST)?);
    let origin = Origin::start(Ipv4Addr::LOCALHOST)?;
    let config = config(&folder, port.address(), origin.address);
    let file = folder.write("gateway.yaml", config.to_string())?;
    let mut gateway = Gateway::start(&binary, &file)?;
    let address = gateway.address;
    let path = |number: u64| format!("/r/{number}");
    let apps = move || Ok(Apps::new(address, Ipv4Addr::new(127, 0, 1, 0), path, &WIRES));
    let load = Load::start(CLIENTS, Pace::Closed, PATIENCE, apps)?;
    // The first requests meet cold code and memory.
    load.await_answers(arguments.requests / 100, PATIENCE)?;

    let mut steps = Steps::default();
    reloads(arguments, config, &file, &gateway, &load, &mut steps)?;
    for _ in 0..arguments.upgrades {
        let start = Instant::now();
        let mut old = upgrade(&mut gateway, &binary, &file)?;
        steps.upgrades.push(start.elapsed());
        load.await_answers(load.answered() + arguments.requests / 200, PATIENCE)?;
        old.await_good_end()?;
    }
    load.await_answers(arguments.requests, 10 * PATIENCE)?;
    let seen = load.finish()?;
    gateway.process.signal(Signal::TERM)?;
    gateway.process.await_good_end()?;

    // Without any client.
    let mut gateway = Gateway::start(&binary, &file)?;
    let start = Instant::now();
    upgrade(&mut gateway, &binary, &file)?.await_good_end()?;
    let idle = start.elapsed();

    steps.print(arguments, &seen);
    line("upgrade without load until the old one has ended", show(idle));
    let mut verdict = Verdict::default();
    let failures = failures(&seen, &origin.log);
    failures.iter().take(10).for_each(|failure| println!("failed: {failure}"));
    let (asked, count) = (seen.asked, failures.len());
    verdict.expect(count == 0, format!("{count} of {asked} requests failed, were lost or doubled"));
    verdict.judge()
}

impl Steps {
    fn print(&self, arguments: &Arguments, seen: &Seen) {
        let p99 = |phase| seen.together(&[phase]).latency(99.0);
        for (name, phase) in
            [("paced reloads", PACED), ("reloads back to back", BACK_TO_BACK), ("large reloads", LARGE)]
        {
            line(&format!("p99 without, and during {name}"), compared(p99(QUIET), p99(phase)));
        }
        let median = |durations: &[Duration]| show(percentile(durations, 50.0));
        line("reload with 1 route, median", median(&self.small_reloads));
        line(&format!("reload with {} routes, median", arguments.routes), median(&self.large_reloads));
        line("upgrade until the new process serves, median", median(&self.upgrades));
        line("upgrade until the new process serves, slowest", show(percentile(&self.upgrades, 100.0)));
    }
}

fn config(folder: &Folder, public: SocketAddr, origin: SocketAddr) -> Value {
    let mut config = gateway::config(origin);
    let file = |name| folder.path().join(name).display().to_string();
    config["server"] = json!({ "threads": 2, "pid_file": file("pid"), "upgrade_sock": file("sock") });
    config["listeners"][0]["address"] = public.to_string().into();
    config["routes"] = json!([{ "path": "/", "policy": "protect", "origin": "api" }]);
    config
}

fn reloads(
    arguments: &Arguments,
    mut config: Value,
    file: &Path,
    gateway: &Gateway,
    load: &Load,
    steps: &mut Steps,
) -> Result<()> {
    for _ in 0..arguments.rounds {
        load.enter(QUIET);
        thread::sleep(INTERVAL);
        load.enter(PACED);
        let start = Instant::now();
        for number in 1..=RELOADS {
            steps.small_reloads.push(gateway.reload()?);
            thread::sleep((INTERVAL * number / RELOADS).saturating_sub(start.elapsed()));
        }
        load.enter(BACK_TO_BACK);
        for _ in 0..RELOADS {
            gateway.reload()?;
        }
    }
    load.enter(OTHER);
    let small = config.to_string();
    let root = config["routes"][0].clone();
    let route = |number| json!({ "path": format!("/route/{number}/"), "policy": "protect", "origin": "api" });
    config["routes"] = (1..arguments.routes).map(route).chain([root]).collect();
    fs::write(file, config.to_string())?;
    load.enter(LARGE);
    for _ in 0..arguments.rounds {
        steps.large_reloads.push(gateway.reload()?);
    }
    load.enter(OTHER);
    fs::write(file, small)?;
    gateway.reload()?;
    Ok(())
}

fn upgrade(gateway: &mut Gateway, binary: &Path, file: &Path) -> Result<Process> {
    let mut command = gateway::command(binary, file);
    command.arg("--upgrade");
    gateway.upgrade(Process::start("the new gateway", &command)?)
}

/// What did not get the right answer, or did not arrive at the origin exactly once.
fn failures(seen: &Seen, log: &Log) -> Vec<String> {
    let wrong = seen.whole().failures;
    let mut failures: Vec<String> =
        wrong.iter().map(|(what, count)| format!("{count} times {what}")).collect();
    let arrived = log.arrived.lock();
    let times = |number| arrived.get(&number).copied().unwrap_or_default();
    let wrong = (0..seen.asked).map(|number| (number, times(number))).filter(|(_, times)| *times != 1);
    failures.extend(wrong.map(|(number, times)| format!("/r/{number} arrived {times} times")));
    failures
}
