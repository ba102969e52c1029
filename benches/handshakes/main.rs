//! What a TLS handshake costs a server: CPU time of the whole process per connection, on a core of
//! its own, and how many a second that core has time for. A connection is TCP, the handshake, one
//! request and its answer, and the end.
//!
//! `cargo bench --bench handshakes`; with `--test` (as `cargo test --benches` runs it) once through.
//!
//! Beside the gateway run HAProxy, NGINX and `openssl s_server`, where they are installed, and, with
//! nothing around them, the gateway's own configuration (rustls with AWS-LC) and rustls with ring,
//! which is what Pingora's own listener takes. The machine is taken to be noisy: all of one comparison
//! run by turns, and medians over the rounds are reported.

mod client;
mod peers;
mod server;

use std::process::ExitCode;

use client::Client;
use peers::Kind;
use server::{Files, Server};

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failed = Box<dyn std::error::Error>;

/// What both ends agree on.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    version: &'static str,
    key: &'static str,
    group: &'static str,
}

const CASES: [Case; 4] = [
    Case { name: "TLS 1.3, ECDSA P-256, hybrid", version: "1.3", key: "ecdsa", group: "X25519MLKEM768" },
    Case { name: "TLS 1.3, ECDSA P-256, X25519", version: "1.3", key: "ecdsa", group: "X25519" },
    Case { name: "TLS 1.3, RSA 2048, X25519", version: "1.3", key: "rsa", group: "X25519" },
    Case { name: "TLS 1.2, ECDSA P-256, X25519", version: "1.2", key: "ecdsa", group: "X25519" },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let done = match server::role(&arguments) {
        Some(role) => server::serve(role),
        None => compare(!arguments.iter().any(|argument| argument == "--bench")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(quick: bool) -> Result<(), Failed> {
    let (rounds, connections) = if quick { (1, 2) } else { (7, 150) };
    server::pin_this_process();
    let files = Files::new()?;
    println!("{:30} {:26} {:>10} {:>10} {:>9} {:>9}", "", "", "full", "resumed", "full/s", "resumed/s");
    let tcp = Server::plain()?;
    let mut costs = Vec::new();
    for _ in 0..rounds {
        costs.push(cost(&tcp, connections, || client::connect_plain(tcp.address))?);
    }
    println!("{:30} {:26} {:>7.0} µs", "TCP alone", "", median(&mut costs));
    for case in CASES {
        let mut contenders = Vec::new();
        for kind in Kind::ALL.into_iter().filter(|kind| kind.can(case) && kind.is_installed()) {
            contenders.push(Contender {
                kind,
                server: Server::start(kind, case, &files)?,
                full: Client::new(case, false, &files)?,
                resuming: Client::new(case, true, &files)?,
                costs: [Vec::new(), Vec::new()],
            });
        }
        for contender in &mut contenders {
            // The session that the others resume.
            contender.resuming.connect(contender.server.address, false)?;
        }
        for _ in 0..rounds {
            for contender in &mut contenders {
                contender.round(connections)?;
            }
        }
        for contender in &mut contenders {
            let [full, resumed] = contender.costs.each_mut().map(|costs| median(costs));
            let (name, kind) = (case.name, contender.kind.name());
            let [full_rate, resumed_rate] = [full, resumed].map(|cost| 1e6 / cost);
            println!(
                "{name:30} {kind:26} {full:>7.0} µs {resumed:>7.0} µs {full_rate:>9.0} {resumed_rate:>9.0}"
            );
        }
    }
    Ok(())
}

struct Contender {
    kind: Kind,
    server: Server,
    full: Client,
    resuming: Client,
    /// Microseconds a connection, for each round: full, resumed.
    costs: [Vec<f64>; 2],
}

impl Contender {
    fn round(&mut self, connections: u32) -> Result<(), Failed> {
        for (costs, client, resumes) in [(0, &self.full, false), (1, &self.resuming, true)] {
            let connect = || client.connect(self.server.address, resumes);
            self.costs[costs].push(cost(&self.server, connections, connect)?);
        }
        Ok(())
    }
}

/// Microseconds a connection.
fn cost(server: &Server, connections: u32, connect: impl Fn() -> Result<(), Failed>) -> Result<f64, Failed> {
    let before = server.cpu()?;
    for _ in 0..connections {
        connect()?;
    }
    let spent = server.cpu()? - before;
    Ok(spent.as_secs_f64() * 1e6 / f64::from(connections))
}

fn median(costs: &mut [f64]) -> f64 {
    costs.sort_by(f64::total_cmp);
    costs[costs.len() / 2]
}
