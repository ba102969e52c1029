//! `handshakes`: CPU time of a server for one TLS connection, full and resumed.
//!
//! A connection is TCP, the handshake, one request with its answer, and the end. The gateway, HAProxy
//! and NGINX are set up as in `compare` and refuse a request without a token by themselves. rustls alone
//! shows the share of the handshake, with AWS-LC as in the gateway and with ring as in Pingora.

mod contender;

use std::net::SocketAddr;

use rustls::HandshakeKind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::compare::modes::Tls;
use crate::load::{Request, Target};
use crate::rig::certificate::{Certificate, KeyKind, Offer};
use crate::rig::cores::Cores;
use crate::rig::figures::median;
use crate::rig::folder::Folder;
use crate::rig::process::Process;
use crate::rig::{Result, gateway, machine};
pub use contender::serve;
use contender::{Contender, Kind};

/// Measure TLS handshakes of the gateway and its peers
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Number of rounds
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Connections of one round of one server
    #[arg(long, default_value_t = 150)]
    connections: u32,
}

/// What both ends agree on.
#[derive(Clone, Copy)]
pub struct Case {
    name: &'static str,
    version: &'static str,
    key: KeyKind,
    group: &'static str,
}

const HYBRID: &str = "X25519MLKEM768";

const CASES: [Case; 4] = [
    Case { name: "TLS 1.3, ECDSA P-256, hybrid", version: "1.3", key: KeyKind::Ecdsa, group: HYBRID },
    Case { name: "TLS 1.3, ECDSA P-256, X25519", version: "1.3", key: KeyKind::Ecdsa, group: "X25519" },
    Case { name: "TLS 1.3, RSA 2048, X25519", version: "1.3", key: KeyKind::Rsa, group: "X25519" },
    Case { name: "TLS 1.2, ECDSA P-256, X25519", version: "1.2", key: KeyKind::Ecdsa, group: "X25519" },
];

impl Case {
    fn tls(self) -> Tls {
        Tls { version: Some(self.version), key: self.key, group: Some(self.group) }
    }
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let gateway = gateway::build()?;
    machine::announce();
    let cores = Cores::assign()?;
    let folder = Folder::new()?;
    let ecdsa = Certificate::new(&folder, KeyKind::Ecdsa)?;
    let rsa = Certificate::new(&folder, KeyKind::Rsa)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    println!("{:30} {:26} {:>10} {:>10} {:>9} {:>9}", "", "", "full", "resumed", "full/s", "resumed/s");

    let plain = contender::spawn("plain", &ecdsa, &cores)?;
    let target = Target::plain(plain.1);
    let round = |_| runtime.block_on(cost(&plain.0, &target, None, arguments.connections));
    let costs = (0..arguments.rounds).map(round).collect::<Result<Vec<f64>>>()?;
    println!("{:30} {:26} {:>7.0} µs", "TCP alone", "", median(costs));

    for case in CASES {
        let certificate = if case.key == KeyKind::Rsa { &rsa } else { &ecdsa };
        let offer =
            |resumes| Offer { version: Some(case.version), group: Some(case.group), resumes, http2: false };
        let mut contenders = Vec::new();
        for kind in Kind::ALL.into_iter().filter(|kind| kind.has(case)) {
            let contender = Contender::start(kind, case, certificate, &gateway, &folder, &cores)?;
            let target = |resumes| -> Result<Target> {
                Ok(Target::new(contender.address(), Some(certificate.client(offer(resumes))?)))
            };
            let targets = [target(false)?, target(true)?];
            // The first connection makes the session that the others resume.
            runtime.block_on(connect(&targets[1], Some(HandshakeKind::Full)))?;
            contenders.push((kind, contender, targets, [Vec::new(), Vec::new()]));
        }
        let kinds = [HandshakeKind::Full, HandshakeKind::Resumed];
        for _ in 0..arguments.rounds {
            for (kind, contender, targets, costs) in &mut contenders {
                for ((target, wanted), costs) in targets.iter().zip(kinds).zip(costs) {
                    let cost = cost(contender.process(), target, Some(wanted), arguments.connections);
                    let cost = runtime.block_on(cost);
                    costs.push(cost.map_err(|error| format!("{}: {error}", kind.name()))?);
                }
            }
        }
        for (kind, _, _, costs) in contenders {
            let [full, resumed] = costs.map(median);
            let (name, kind) = (case.name, kind.name());
            let [full_rate, resumed_rate] = [full, resumed].map(|cost| 1e6 / cost);
            println!(
                "{name:30} {kind:26} {full:>7.0} µs {resumed:>7.0} µs {full_rate:>9.0} {resumed_rate:>9.0}"
            );
        }
    }
    Ok(())
}

/// CPU microseconds of the server for one connection.
async fn cost(
    server: &Process,
    target: &Target,
    wanted: Option<HandshakeKind>,
    connections: u32,
) -> Result<f64> {
    let before = server.cpu();
    for _ in 0..connections {
        connect(target, wanted).await?;
    }
    Ok((server.cpu() - before).as_secs_f64() * 1e6 / f64::from(connections))
}

/// One connection with the expected kind of handshake.
async fn connect(target: &Target, wanted: Option<HandshakeKind>) -> Result<()> {
    let mut stream = target.open(None).await?;
    stream.write_all(&Request::get("/").with("Connection", "close").to_bytes()).await?;
    // The session tickets arrive before the answer.
    if stream.read(&mut [0; 64]).await? == 0 {
        return Err("no answer".into());
    }
    match stream.tls().and_then(|tls| tls.handshake_kind()) {
        kind if kind == wanted => Ok(()),
        kind => Err(format!("{kind:?} instead of {wanted:?}").into()),
    }
}

/// The address that a server of this program has written.
fn address(process: &Process) -> Result<SocketAddr> {
    Ok(process.await_line("listening on http://")?.parse()?)
}
