//! `drain`: processes that end behind a load balancer that notices late.
//!
//! The balancer opens a new connection each millisecond to one gateway. In each round another gateway
//! starts and the first gets SIGTERM. Some seconds after its `/readyz` fails, the balancer sends new
//! connections to the other one. A connection that is refused or reset, or whose request gets no right
//! answer, has failed.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::load::{Http1, Load, Pace, Request, Script, Target};
use crate::origin::Origin;
use crate::rig::folder::Folder;
use crate::rig::gateway::{self, Gateway};
use crate::rig::token::{Kind, secret_base64, token};
use crate::rig::{Result, machine};

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

/// The gateway that the balancer sends new connections to.
type Choice = Arc<Mutex<SocketAddr>>;

struct Balancer {
    choice: Choice,
    token: String,
}

impl Script for Balancer {
    type Worker = usize;

    async fn worker(&self, number: usize) -> Result<usize> {
        Ok(number)
    }

    async fn ask(&self, worker: &mut usize, number: u64) -> std::result::Result<(), String> {
        let address = *self.choice.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |error: std::io::Error| format!("{}", error.kind());
        // Several addresses, so that no port is used again soon.
        let from = Ipv4Addr::new(127, 0, 1, (*worker % 250) as u8 + 1);
        let mut client = Http1::open(&Target::plain(address), Some(from)).await.map_err(failed)?.with_body();
        let path = format!("/r/{worker}/{number}");
        let request = Request::get(&path).with("Approov-Token", &self.token).with("Connection", "close");
        let answer = client.ask(&request.to_bytes()).await.map_err(failed)?;
        match answer.status() {
            200 if answer.body() == path.as_bytes() => Ok(()),
            status => Err(format!("answer {status}")),
        }
    }
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let (binary, folder, late) = (gateway::build()?, Folder::new()?, Duration::from_secs(arguments.late));
    machine::announce();
    let origin = Origin::start()?;
    let (address, delay, secret) = (origin.address(), arguments.late + 2, secret_base64());
    let config = format!(
        "server: {{ threads: 2, drain_delay: {delay}s }}\n\
         listeners: [ {{ address: \"127.0.0.1:0\" }} ]\nadmin: {{ address: \"127.0.0.1:0\" }}\n\
         approov:\n  keys: [ {{ id: current, algorithm: HS256, secret_base64: \"{secret}\" }} ]\n\
         origins:\n  api: {{ domain: \"http://{address}\" }}\n"
    );
    let file = folder.write("gateway.yaml", config)?;
    let start = || Gateway::start(&binary, &file, None, Stdio::null());
    let mut gateway = start()?;
    let choice = Arc::new(Mutex::new(gateway.address));
    let theirs = choice.clone();
    let script = move || Ok(Balancer { choice: theirs, token: token(Kind::Valid, 0) });
    let load = Load::start(WORKERS, Pace::Open(arguments.rate), PATIENCE, script)?;
    let (mut ends, mut after_the_signal) = (0, 0);
    while load.answered() < arguments.connections {
        let mut old = std::mem::replace(&mut gateway, start()?);
        let before = load.answered();
        old.process.signal(Signal::TERM)?;
        await_failing_probe(&old)?;
        thread::sleep(late);
        after_the_signal += load.answered() - before;
        *choice.lock().unwrap_or_else(PoisonError::into_inner) = gateway.address;
        match old.process.await_exit(PATIENCE)? {
            Some(status) if status.success() => ends += 1,
            status => return Err(format!("the gateway ended with {status:?}").into()),
        }
    }
    let seen = load.finish()?;
    println!("{:<48} {}", "connections", seen.asked);
    println!("{:<48} {ends}", "ends of a process");
    println!("{:<48} {after_the_signal}", "connections answered after a signal");
    let failures = seen.whole().failures;
    println!("{:<48} {}", "connections that failed", failures.values().sum::<u64>());
    println!("{:<48} {}", "connections that were not made in time", seen.unanswered);
    for (failure, count) in &failures {
        println!("failed: {count} times {failure}");
    }
    match (failures.is_empty(), seen.unanswered) {
        (false, _) => Err("connections failed".into()),
        (true, 0) => Ok(()),
        (true, _) => Err("this machine is too slow for the rate; lower it with --rate".into()),
    }
}

fn await_failing_probe(gateway: &Gateway) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while gateway.admin_page("/readyz")?.starts_with("HTTP/1.1 200 ") {
        if Instant::now() > deadline {
            return Err("/readyz did not fail".into());
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
