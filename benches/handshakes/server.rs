//! The contenders: processes that accept, shake hands, read a line and answer with one.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use approov_gateway::tls::{
    CertificateChain, ClientAuth, Identity, PrivateKey, Protocol, ServerTls, Tickets, UnknownName, Version,
};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa;
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

use super::peers::{self, Kind};
use super::{Case, Failed};

pub const NAME: &str = "api.example.com";
const SERVER_CORE: &str = "0";
const CLIENT_CORE: &str = "1";

/// Certificates and keys, gone with the run.
pub struct Files(PathBuf);

impl Files {
    pub fn new() -> Result<Self, Failed> {
        let folder = std::env::temp_dir().join(format!("handshakes-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let rsa = rsa::KeyPair::generate(rsa::KeySize::Rsa2048)?;
        let rsa: Pkcs8V1Der<'_> = rsa.as_der()?;
        for (name, key) in [("ecdsa", KeyPair::generate()?), ("rsa", KeyPair::try_from(rsa.as_ref())?)] {
            let certificate = CertificateParams::new([NAME.to_owned()])?.self_signed(&key)?;
            fs::write(folder.join(format!("{name}.pem")), certificate.pem())?;
            fs::write(folder.join(format!("{name}.key")), key.serialize_pem())?;
        }
        Ok(Self(folder))
    }

    /// The certificate of a case.
    pub fn chain(&self, case: Case) -> String {
        self.path(&format!("{}.pem", case.key))
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A running contender; killed when dropped.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
}

impl Server {
    /// This program, without TLS.
    pub fn plain() -> Result<Self, Failed> {
        let mut command = pinned(&std::env::current_exe()?.to_string_lossy());
        command.args(["--role-server", "plain", "", ""]);
        Self::spawn(command, None)
    }

    pub fn start(kind: Kind, case: Case, files: &Files) -> Result<Self, Failed> {
        let (chain, key) = (files.chain(case), files.path(&format!("{}.key", case.key)));
        // Free a moment ago; this program says its own.
        let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let write = |name: &str, text: String| -> Result<String, Failed> {
            let file = files.path(&format!("{}-{name}", free.port()));
            fs::write(&file, text)?;
            Ok(file)
        };
        match kind {
            Kind::Ours | Kind::OursWithTickets(_) | Kind::Ring => {
                let mut command = pinned(&std::env::current_exe()?.to_string_lossy());
                command.args(["--role-server", &kind.argument(), &chain, &key]);
                Self::spawn(command, None)
            }
            Kind::Gateway => {
                let file = write("gateway.yaml", peers::gateway(free, &chain, &key))?;
                let mut command = pinned(env!("CARGO_BIN_EXE_approov-gateway"));
                let variables = std::env::vars_os().map(|(name, _)| name);
                for name in variables.filter(|name| name != "PATH") {
                    command.env_remove(name);
                }
                command.args(["run", "-c", &file]);
                Self::spawn(command, Some(free))
            }
            Kind::Haproxy => {
                let both = write("both.pem", fs::read_to_string(&chain)? + &fs::read_to_string(&key)?)?;
                let file = write("haproxy.cfg", peers::haproxy(free, case, &both))?;
                let mut command = pinned("haproxy");
                command.args(["-db", "-f", &file]);
                Self::spawn(command, Some(free))
            }
            Kind::Openssl => {
                let mut command = pinned("openssl");
                command.args(["s_server", "-accept", &free.to_string(), "-cert", &chain, "-key", &key]);
                command.args(["-groups", case.group, "-quiet", "-rev"]);
                Self::spawn(command, Some(free))
            }
            Kind::Nginx => {
                let file = write("nginx.conf", peers::nginx(free, case, &chain, &key, &files.0))?;
                let mut command = pinned("nginx");
                command.args(["-e", "stderr", "-c", &file]);
                Self::spawn(command, Some(free))
            }
        }
    }

    /// Starts a process that listens at `address`, or else says where on its first line.
    fn spawn(mut command: Command, address: Option<SocketAddr>) -> Result<Self, Failed> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut output = BufReader::new(child.stdout.take().ok_or("a pipe")?);
        let address = match address {
            Some(address) => address,
            None => {
                let mut line = String::new();
                output.read_line(&mut line)?;
                line.trim().parse()?
            }
        };
        thread::spawn(move || output.lines().map_while(Result::ok).for_each(drop));
        let server = Self { child, address };
        server.wait_until_listening()?;
        Ok(server)
    }

    fn wait_until_listening(&self) -> Result<(), Failed> {
        for _ in 0..500 {
            if TcpStream::connect(self.address).is_ok() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Err("a contender does not listen".into())
    }

    /// User and system time since it started, of all its threads.
    pub fn cpu(&self) -> Result<Duration, Failed> {
        let mut total = Duration::ZERO;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let schedstat = fs::read_to_string(task?.path().join("schedstat"))?;
            let nanoseconds = schedstat.split_whitespace().next().ok_or("schedstat")?.parse()?;
            total += Duration::from_nanos(nanoseconds);
        }
        Ok(total)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `program` on a core of its own, if taskset is there.
fn pinned(program: &str) -> Command {
    if Command::new("taskset").arg("--version").stdout(Stdio::null()).status().is_ok() {
        let mut command = Command::new("taskset");
        command.args(["-c", SERVER_CORE, program]);
        command
    } else {
        Command::new(program)
    }
}

pub fn pin_this_process() {
    let this = std::process::id().to_string();
    let pinned = Command::new("taskset").args(["-cp", CLIENT_CORE, &this]).stdout(Stdio::null()).status();
    if !pinned.is_ok_and(|status| status.success()) {
        eprintln!("taskset is missing or refused: nothing is pinned, expect more noise");
    }
}

/// What this program was started as, if as a server.
pub fn role(arguments: &[String]) -> Option<[&str; 3]> {
    match arguments {
        [_, role, kind, chain, key, ..] if role == "--role-server" => Some([kind, chain, key]),
        _ => None,
    }
}

/// Serves one connection after the other, for ever.
pub fn serve([kind, chain, key]: [&str; 3]) -> Result<(), Failed> {
    let config = match kind {
        "plain" => None,
        "ring" => Some(ring_config(chain, key)?),
        "ours" => Some(own_config(chain, key)?),
        tickets => {
            let mut config = Arc::unwrap_or_clone(own_config(chain, key)?);
            config.send_tls13_tickets = tickets.parse()?;
            Some(Arc::new(config))
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    for stream in listener.incoming() {
        let mut stream = stream?;
        // Who only looks whether somebody listens says nothing.
        let _ = match &config {
            None => answer(&mut stream),
            Some(config) => answer_with_tls(config, stream),
        };
    }
    Ok(())
}

fn answer_with_tls(config: &Arc<ServerConfig>, mut stream: TcpStream) -> Result<(), Failed> {
    stream.set_nodelay(true)?;
    let mut connection = ServerConnection::new(config.clone())?;
    answer(&mut rustls::Stream::new(&mut connection, &mut stream))
}

fn answer(stream: &mut (impl Read + Write)) -> Result<(), Failed> {
    if stream.read(&mut [0; 64])? > 0 {
        stream.write_all(b"x\n")?;
    }
    Ok(())
}

fn own_config(chain: &str, key: &str) -> Result<Arc<ServerConfig>, Failed> {
    let chain = CertificateChain::from_pem(&fs::read(chain)?)?;
    let identity = Identity::new(chain, PrivateKey::from_pem(&fs::read(key)?)?)?;
    let tls = ServerTls {
        identities: vec![identity],
        unknown_name: UnknownName::Default,
        min_version: Version::Tls12,
        protocols: Protocol::ALL.to_vec(),
        client_auth: ClientAuth::off(),
        ticket_keys: Vec::new(),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(tls.server_config(&Tickets::new(now.as_secs())?)?)
}

fn ring_config(chain: &str, key: &str) -> Result<Arc<ServerConfig>, Failed> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from_pem_file(chain)?], PrivateKeyDer::from_pem_file(key)?)?;
    config.ticketer = ring::Ticketer::new()?;
    Ok(Arc::new(config))
}
