//! What a request costs: the gateway beside a bare Pingora proxy, whole processes, one run.
//!
//! ```sh
//! cargo bench --bench gateway                 # CPU per request and throughput, in rounds
//! cargo bench --bench gateway -- --memory     # memory after 100 thousand and 10 million requests
//! ```
//!
//! Each proxy is pinned to core 0, its origin and the load to core 1. Both proxies are built with
//! the release profile, the same allocator and one worker thread; the gateway runs as it does by
//! default, access log and metrics included, and verifies an HS256 token bound to a header. The
//! rounds alternate, so that a machine that changes its speed changes it for all.

#![allow(clippy::expect_used, reason = "a bench stops where it cannot go on")]

mod bare;
mod load;
mod origin;
mod process;
mod usage;

use std::time::SystemTime;

use approov_gateway::approov::Secret;
use approov_gateway::cli::token::{Kind, Request, mint};

use load::{Load, Measured};
use process::Process;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Kept-alive connections of the load.
const CONNECTIONS: usize = 64;
const REQUESTS: usize = 60_000;
const ROUNDS: usize = 7;

const SECRET: &str =
    "k7+Wq2LxJp0dVt9sRb4mYh1nZc6uEa3fIH+Xk+IAHhVVHszjDzeGobzNnqyRze3lw/WVyWrc2gZfh3XXfBOmww==";
const AUTHORIZATION: &str = "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.user";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |index: usize| arguments.get(index).map(String::as_str);
    match argument(0) {
        Some("--role-origin") => origin::serve(),
        Some("--role-bare") => {
            bare::serve(argument(1).expect("an origin address").parse().expect("an address"))
        }
        Some("--memory") => memory(),
        // `cargo test --benches` passes no `--bench`: show only that it runs.
        Some("--bench") => compare(argument(1) == Some("--memory")),
        _ => drop(Peers::start().round("bare", 200)),
    }
}

fn compare(is_memory: bool) {
    if is_memory {
        return memory();
    }
    let peers = Peers::start();
    let modes = ["bare", "accepted", "refused"];
    let mut results: Vec<Vec<Measured>> = vec![Vec::new(); modes.len()];
    for mode in modes {
        peers.round(mode, REQUESTS / 4); // warm up
    }
    for round in 1..=ROUNDS {
        for (mode, results) in modes.iter().zip(&mut results) {
            let measured = peers.round(mode, REQUESTS);
            eprintln!("round {round} {mode:9} {measured}");
            results.push(measured);
        }
    }
    println!(
        "\n{:10} {:>14} {:>14} {:>10} {:>10}",
        "", "CPU/request", "requests/s", "CPU ratio", "rate ratio"
    );
    let cpu = |index: usize| median(results[index].iter().map(Measured::cpu_micros));
    let rate = |index: usize| median(results[index].iter().map(Measured::rate));
    for (index, mode) in modes.iter().enumerate() {
        let ratios = |of: fn(&Measured) -> f64| {
            median(results[index].iter().zip(&results[0]).map(|(this, bare)| of(this) / of(bare)))
        };
        println!(
            "{mode:10} {:>11.1} µs {:>14.0} {:>10.2} {:>10.2}",
            cpu(index),
            rate(index),
            ratios(Measured::cpu_micros),
            ratios(Measured::rate)
        );
    }
    println!(
        "\nmedians of {ROUNDS} rounds of {REQUESTS} requests over {CONNECTIONS} connections; ratios to bare, round by round"
    );
}

fn memory() {
    let peers = Peers::start();
    let mut sent = 0;
    let mut first = None;
    for target in [100_000, 1_000_000, 5_000_000, 10_000_000] {
        peers.round("accepted", target - sent);
        sent = target;
        let kib = peers.gateway.resident_kib();
        let first = *first.get_or_insert(kib);
        println!("{target:>9} requests: {kib} KiB resident, {:.3} of the first", kib as f64 / first as f64);
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The origin, both proxies, and the requests for them.
struct Peers {
    _origin: Process,
    bare: Process,
    gateway: Process,
    accepted: Load,
    refused: Load,
}

impl Peers {
    fn start() -> Self {
        let origin = Process::origin();
        let token = |kind| {
            let secret = Secret::from_base64(SECRET).expect("the secret is good");
            let request = Request { kind, bind: vec![AUTHORIZATION.into()], ..Request::default() };
            mint(&secret, &request, SystemTime::now()).expect("a token")
        };
        Self {
            bare: Process::bare(&origin),
            gateway: Process::gateway(&origin, SECRET),
            _origin: origin,
            accepted: Load::new(&token(Kind::Valid), AUTHORIZATION, 200),
            refused: Load::new(&token(Kind::Invalid), AUTHORIZATION, 401),
        }
    }

    fn round(&self, mode: &str, requests: usize) -> Measured {
        let (process, load) = match mode {
            "bare" => (&self.bare, &self.accepted),
            "accepted" => (&self.gateway, &self.accepted),
            _ => (&self.gateway, &self.refused),
        };
        load.run(process, CONNECTIONS, requests)
    }
}
