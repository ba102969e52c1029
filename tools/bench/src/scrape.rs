//! `scrape`: the time to read the metrics of many routes, and the latency of requests meanwhile.
//!
//! Every route has had a request, so that it has all its series. Intervals without and with a scrape each
//! second take turns, so that a machine that changes its speed changes it for both.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::load::{Apps, Load, Pace, Wire};
use crate::origin::Origin;
use crate::rig::figures::{compared, line, percentile, show};
use crate::rig::{Folder, Gateway, Result, Verdict, gateway, prepare};

/// The time that any step may take.
const PATIENCE: Duration = Duration::from_secs(120);

const WORKERS: usize = 8;

/// Phases of the load.
const OTHER: usize = 0;
const QUIET: usize = 1;
const SCRAPED: usize = 2;

/// Measure scrapes of many routes, and requests meanwhile
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[arg(long, default_value_t = 10_000)]
    routes: u64,
    /// Rounds of five seconds without and with a scrape each second
    #[arg(long, default_value_t = 6)]
    rounds: u32,
    /// Requests a second during the rounds
    #[arg(long, default_value_t = 1000.0)]
    rate: f64,
}

fn path(number: u64) -> String {
    format!("/route/{number}/")
}

/// Reads the metrics, and returns their bytes. A scraper is on another machine as a rule, so this one keeps nothing and
/// gives way to every thread that waits for the core.
fn scrape(admin: SocketAddr) -> Result<usize> {
    let mut stream = TcpStream::connect(admin)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let (mut size, mut part) = (0, [0; 32 * 1024]);
    loop {
        match stream.read(&mut part)? {
            0 => return Ok(size),
            length => size += length,
        }
        thread::yield_now();
    }
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let (binary, folder) = (prepare()?, Folder::new()?);
    let origin = Origin::start(Ipv4Addr::LOCALHOST)?;
    let mut config = gateway::config(origin.address);
    config["log"] = json!({ "access": "off" });
    let route = |number| json!({ "path": path(number), "policy": "protect", "origin": "api" });
    config["routes"] = (0..arguments.routes).map(route).collect();
    let file = folder.write("gateway.yaml", config.to_string())?;
    let gateway = Gateway::start(&binary, &file)?;
    let (address, routes) = (gateway.address, arguments.routes);
    let script = move || {
        let network = Ipv4Addr::new(127, 0, 1, 0);
        Ok(Apps::new(address, network, move |number| path(number % routes), &[Wire::Kept]))
    };
    let load = Load::start(WORKERS, Pace::Closed, PATIENCE, script)?;
    load.await_answers(routes + WORKERS as u64, PATIENCE)?;
    load.finish()?;
    let mut scrapes = Vec::new();
    let mut size = 0;
    for _ in 0..20 {
        let start = Instant::now();
        size = scrape(gateway.admin)?;
        scrapes.push(start.elapsed());
    }
    let load = Load::start(WORKERS, Pace::Open(arguments.rate), PATIENCE, script)?;
    load.await_answers(1000, PATIENCE)?;
    let mut busy = Vec::new();
    for _ in 0..arguments.rounds {
        load.enter(QUIET);
        thread::sleep(Duration::from_secs(5));
        load.enter(SCRAPED);
        for _ in 0..5 {
            let start = Instant::now();
            scrape(gateway.admin)?;
            busy.push(start.elapsed());
            thread::sleep(Duration::from_secs(1).saturating_sub(start.elapsed()));
        }
    }
    load.enter(OTHER);
    let seen = load.finish()?;
    line("size of a scrape", format!("{:.1} MB", size as f64 / 1e6));
    line("scrape without load, median", show(percentile(&scrapes, 50.0)));
    line("scrape under load, median", show(percentile(&busy, 50.0)));
    for percent in [50.0, 99.0, 99.9] {
        let latency = |phase| seen.together(&[phase]).latency(percent);
        let name = format!("p{percent} of requests without, and with scrapes");
        line(&name, compared(latency(QUIET), latency(SCRAPED)));
    }
    for (failure, count) in seen.whole().failures {
        println!("failed: {count} times {failure}");
    }
    let mut verdict = Verdict::default();
    verdict.expect(seen.lost() == 0, format!("{} of {} requests failed", seen.lost(), seen.asked));
    verdict.judge()
}
