//! The servers whose handshakes are measured.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

use super::{Case, HYBRID};
use crate::compare::modes::Setup;
use crate::compare::peers::{Build, Peer, Running};
use crate::compare::programs::Program;
use crate::rig::Result;
use crate::rig::certificate::{Certificate, KeyKind};
use crate::rig::cores::Cores;
use crate::rig::folder::{Folder, Port};
use crate::rig::process::Process;

/// The answer of the servers of this program.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx";

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Gateway,
    Haproxy,
    Nginx,
    Openssl,
    /// rustls with AWS-LC alone, with this many session tickets.
    AwsLc(usize),
    /// rustls with ring alone.
    Ring,
}

impl Kind {
    pub const ALL: [Kind; 8] = [
        Kind::Gateway,
        Kind::Haproxy,
        Kind::Nginx,
        Kind::Openssl,
        Kind::AwsLc(2),
        Kind::AwsLc(1),
        Kind::AwsLc(4),
        Kind::Ring,
    ];

    pub fn name(self) -> String {
        match self {
            Kind::Gateway => "the gateway".into(),
            Kind::Haproxy => "haproxy".into(),
            Kind::Nginx => "nginx with njs".into(),
            Kind::Openssl => "openssl s_server".into(),
            Kind::AwsLc(tickets) => format!("rustls, AWS-LC, {tickets} tickets"),
            Kind::Ring => "rustls, ring".into(),
        }
    }

    /// Whether the server is installed and can do what the case asks for.
    pub fn has(self, case: Case) -> bool {
        let is_hybrid = case.group == HYBRID;
        let is_plain_case = case.key == KeyKind::Ecdsa && case.version == "1.3" && !is_hybrid;
        match self {
            Kind::Gateway => true,
            Kind::AwsLc(tickets) => tickets == 2 || is_plain_case,
            Kind::Ring => !is_hybrid,
            Kind::Haproxy => Peer::Haproxy.is_missing().is_none() && (!is_hybrid || openssl_has_hybrid()),
            Kind::Nginx => Peer::NginxNjs.is_missing().is_none() && (!is_hybrid || openssl_has_hybrid()),
            Kind::Openssl => Program::Openssl.path().is_ok() && (!is_hybrid || openssl_has_hybrid()),
        }
    }
}

/// OpenSSL has the hybrid group since version 3.5.
fn openssl_has_hybrid() -> bool {
    let version = Program::Openssl.version();
    let mut parts = version.split([' ', '.']).skip(1).map_while(|part| part.parse::<u32>().ok());
    (parts.next(), parts.next()) >= (Some(3), Some(5))
}

/// A running server.
pub enum Contender {
    Peer(Running),
    Server { process: Process, address: SocketAddr },
}

impl Contender {
    pub fn start(
        kind: Kind,
        case: Case,
        certificate: &Certificate,
        gateway: &Path,
        folder: &Folder,
        cores: &Cores,
    ) -> Result<Self> {
        let peer = match kind {
            Kind::Gateway => Peer::Gateway(Build::new("gateway", gateway.to_path_buf())),
            Kind::Haproxy => Peer::Haproxy,
            Kind::Nginx => Peer::NginxNjs,
            Kind::Openssl => return openssl(case, certificate, cores),
            Kind::AwsLc(tickets) => {
                let (process, address) = spawn(&tickets.to_string(), certificate, cores)?;
                return Ok(Self::Server { process, address });
            }
            Kind::Ring => {
                let (process, address) = spawn("ring", certificate, cores)?;
                return Ok(Self::Server { process, address });
            }
        };
        let setup = Setup { tls: Some(case.tls()), ..Setup::USUAL };
        // No request reaches the origin, so its port can be closed.
        let nowhere = [SocketAddr::from(([127, 0, 0, 1], 9))];
        Ok(Self::Peer(Running::start(&peer, setup, &nowhere, certificate, folder, cores)?))
    }

    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Peer(running) => running.address,
            Self::Server { address, .. } => *address,
        }
    }

    pub fn process(&self) -> &Process {
        match self {
            Self::Peer(running) => &running.process,
            Self::Server { process, .. } => process,
        }
    }
}

fn openssl(case: Case, certificate: &Certificate, cores: &Cores) -> Result<Contender> {
    let port = Port::reserve()?;
    let mut command = Command::new(Program::Openssl.path()?);
    command.args(["s_server", "-quiet", "-rev", "-groups", case.group, "-accept"]);
    command.arg(port.address().to_string()).arg("-cert").arg(&certificate.chain);
    command.arg("-key").arg(&certificate.key);
    let mut process = cores.for_peer(1, || Process::start("openssl", &command))??;
    process.await_listening(port.address())?;
    Ok(Contender::Server { process, address: port.address() })
}

/// Starts a server of this program: `plain`, `ring`, or AWS-LC with a number of tickets.
pub fn spawn(kind: &str, certificate: &Certificate, cores: &Cores) -> Result<(Process, SocketAddr)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("tls-server").arg(kind).arg(&certificate.chain).arg(&certificate.key);
    let process = cores.for_peer(1, || Process::start(kind, &command))??;
    let address = super::address(&process)?;
    Ok((process, address))
}

/// Serves one connection after the other until the process is killed.
pub fn serve(kind: &str, chain: &Path, key: &Path) -> Result<()> {
    let config = match kind {
        "plain" => None,
        "ring" => {
            let mut config = config(ring::default_provider(), chain, key)?;
            config.ticketer = ring::Ticketer::new()?;
            Some(Arc::new(config))
        }
        tickets => {
            let mut config = config(aws_lc_rs::default_provider(), chain, key)?;
            config.ticketer = aws_lc_rs::Ticketer::new()?;
            config.send_tls13_tickets = tickets.parse()?;
            Some(Arc::new(config))
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0")?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    for stream in listener.incoming() {
        // A client that disconnects ends its own connection only.
        let _ = stream.map(|stream| match &config {
            None => answer(&mut &stream),
            Some(config) => answer_with_tls(config, stream),
        });
    }
    Ok(())
}

fn config(provider: CryptoProvider, chain: &Path, key: &Path) -> Result<ServerConfig> {
    let chain = CertificateDer::from_pem_slice(&fs::read(chain)?)?;
    Ok(ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![chain], PrivateKeyDer::from_pem_slice(&fs::read(key)?)?)?)
}

fn answer_with_tls(config: &Arc<ServerConfig>, mut stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut connection = ServerConnection::new(config.clone())?;
    answer(&mut rustls::Stream::new(&mut connection, &mut stream))
}

fn answer(stream: &mut (impl Read + Write)) -> Result<()> {
    if stream.read(&mut [0; 512])? > 0 {
        stream.write_all(ANSWER)?;
    }
    Ok(())
}
