//! `scrape`: what reading the metrics of many routes costs, and whether requests notice.
//!
//! Every route has had a request, so that it has all its series. Intervals without and with a scrape each
//! second take turns, so that a machine that changes its speed changes it for both.

use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::load::{Http1, Load, Pace, Request, Script, Target};
use crate::origin::Origin;
use crate::rig::figures::{median_duration, ratio, show};
use crate::rig::folder::Folder;
use crate::rig::gateway::{self, Gateway};
use crate::rig::token::{Kind, secret_base64, token};
use crate::rig::{Result, machine};

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

/// Asks one route after the other.
struct EveryRoute {
    target: Target,
    token: String,
    routes: u64,
}

impl Script for EveryRoute {
    type Worker = Http1;

    async fn worker(&self, _: usize) -> Result<Http1> {
        Ok(Http1::open(&self.target, None).await?)
    }

    async fn ask(&self, client: &mut Http1, number: u64) -> std::result::Result<(), String> {
        let path = format!("/route/{}/", number % self.routes);
        let request = Request::get(&path).with("Approov-Token", &self.token);
        match client.ask(&request.to_bytes()).await.map_err(|error| error.to_string())?.status() {
            200 => Ok(()),
            status => Err(format!("answer {status}")),
        }
    }
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let (binary, folder, routes) = (gateway::build()?, Folder::new()?, arguments.routes);
    machine::announce();
    let origin = Origin::start()?;
    let list: String = (0..routes)
        .map(|number| format!("  - {{ path: /route/{number}/, policy: protect, origin: api }}\n"))
        .collect();
    let (address, secret) = (origin.address(), secret_base64());
    let config = format!(
        "server: {{ threads: 1 }}\nlog: {{ access: off }}\n\
         listeners: [ {{ address: \"127.0.0.1:0\" }} ]\nadmin: {{ address: \"127.0.0.1:0\" }}\n\
         approov:\n  keys: [ {{ id: current, algorithm: HS256, secret_base64: \"{secret}\" }} ]\n\
         origins:\n  api: {{ domain: \"http://{address}\" }}\nroutes:\n{list}"
    );
    let file = folder.write("gateway.yaml", config)?;
    let gateway = Gateway::start(&binary, &file, None, Stdio::null())?;
    let address = gateway.address;
    let script =
        move || Ok(EveryRoute { target: Target::plain(address), token: token(Kind::Valid, 0), routes });
    let load = Load::start(WORKERS, Pace::Closed, PATIENCE, script)?;
    load.await_answers(routes + WORKERS as u64, PATIENCE)?;
    load.finish()?;
    let mut scrapes = Vec::new();
    let mut size = 0;
    for _ in 0..20 {
        let start = Instant::now();
        size = gateway.admin_page("/metrics")?.len();
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
            gateway.admin_page("/metrics")?;
            busy.push(start.elapsed());
            thread::sleep(Duration::from_secs(1).saturating_sub(start.elapsed()));
        }
    }
    load.enter(OTHER);
    let seen = load.finish()?;
    println!("{:<48} {:.1} MB", "size of a scrape", size as f64 / 1e6);
    println!("{:<48} {}", "scrape without load, median", show(median_duration(&scrapes)));
    println!("{:<48} {}", "scrape under load, median", show(median_duration(&busy)));
    for percent in [50.0, 99.0, 99.9] {
        let latency = |phase| seen.together(&[phase]).latency(percent);
        let (without, with) = (latency(QUIET), latency(SCRAPED));
        let name = format!("p{percent} of requests without, and with scrapes");
        println!("{name:<48} {} {} ({:.2})", show(without), show(with), ratio(with, without));
    }
    if seen.lost() == 0 {
        Ok(())
    } else {
        Err(format!("requests failed: {:?}", seen.whole().failures).into())
    }
}
