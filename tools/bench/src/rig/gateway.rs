//! The gateway as a process: built, started, and asked for its metrics.

use std::env;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::Result;
use super::cores::Cores;
use super::folder::target;
use super::process::Process;
use super::token::secret_base64;

/// Builds the gateway in the profile of this program and returns the path of the binary. If cargo did
/// not start this program, the binary next to it is taken as it is.
pub fn build() -> Result<PathBuf> {
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    if let Some(cargo) = env::var_os("CARGO") {
        let mut build = Command::new(cargo);
        build.args(["build", "--locked", "--bin", "approov-gateway", "--profile", profile]);
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        build.current_dir(root);
        // Variables of `cargo run` would make build scripts run again.
        for (name, _) in env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("CARGO_") && name != "CARGO_HOME" {
                build.env_remove(&*name);
            }
        }
        build.env("CARGO_TARGET_DIR", target()?);
        if !build.status()?.success() {
            return Err("the gateway cannot be built".into());
        }
    }
    let binary = env::current_exe()?.with_file_name("approov-gateway");
    if binary.is_file() { Ok(binary) } else { Err(format!("{} is missing", binary.display()).into()) }
}

/// `gateway run -c FILE` without the environment of this program, which could override the file.
pub fn command(gateway: &Path, file: &Path) -> Command {
    let mut command = Command::new(gateway);
    command.arg("run").arg("-c").arg(file);
    let names = env::vars_os().map(|(name, _)| name);
    for name in names.filter(|name| name != "PATH" && name != "LLVM_PROFILE_FILE") {
        command.env_remove(name);
    }
    command
}

/// A configuration with one origin, without routes, for the defaults of a public listener. JSON is YAML too.
pub fn config(origin: SocketAddr) -> Value {
    json!({
        "server": { "threads": 1 },
        "listeners": [{ "address": "127.0.0.1:0" }],
        "admin": { "address": "127.0.0.1:0" },
        "approov": { "keys": [{ "algorithm": "HS256", "secret_base64": secret_base64() }] },
        "origins": { "api": { "domain": format!("http://{origin}") } },
    })
}

/// A gateway that serves.
pub struct Gateway {
    pub process: Process,
    pub address: SocketAddr,
    pub admin: SocketAddr,
}

impl Gateway {
    /// Starts the gateway with this configuration, on a core of its own if `cores` are given.
    pub fn start(gateway: &Path, file: &Path, cores: Option<&Cores>, output: Stdio) -> Result<Self> {
        let command = command(gateway, file);
        let start = || Process::start_with("the gateway", &command, output);
        Self::serving(match cores {
            Some(cores) => cores.for_peer(1, start)??,
            None => start()?,
        })
    }

    /// Upgrades to a new process, which takes over the sockets. Returns the old process, which ends when its
    /// requests are done.
    pub fn upgrade(&mut self, gateway: &Path, file: &Path) -> Result<Process> {
        let mut command = command(gateway, file);
        command.arg("--upgrade");
        let successor = Process::start("the new gateway", &command)?;
        successor.await_line("waiting for the sockets")?;
        self.process.signal(Signal::QUIT)?;
        Ok(std::mem::replace(self, Self::serving(successor)?).process)
    }

    /// Waits until the process serves.
    pub fn serving(process: Process) -> Result<Self> {
        let address = process.await_line("listening on http://")?.parse()?;
        let admin = process.await_line("admin on http://")?.parse()?;
        Ok(Self { process, address, admin })
    }

    /// Reloads the configuration and waits until it is in force.
    pub fn reload(&self) -> Result<Duration> {
        let generation = 2 + self.process.count_lines("configuration reloaded, generation");
        let start = Instant::now();
        self.process.signal(Signal::HUP)?;
        self.process.await_line(&format!("configuration reloaded, generation {generation}"))?;
        Ok(start.elapsed())
    }

    /// The whole answer of the admin listener for this path.
    pub fn admin_page(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect(self.admin)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        // A scraper is on another machine as a rule. Here, threads that wait for the core get it after each part.
        let (mut page, mut part) = (Vec::new(), [0; 32 * 1024]);
        loop {
            match stream.read(&mut part)? {
                0 => return Ok(String::from_utf8(page)?),
                length => page.extend_from_slice(&part[..length]),
            }
            std::thread::yield_now();
        }
    }

    /// The series of a metric that are not zero, by labels.
    pub fn metric(&self, name: &str) -> Result<Vec<(String, u64)>> {
        let text = self.admin_page("/metrics")?;
        let series = |line: &str| {
            let (labels, value) = line.strip_prefix(name)?.rsplit_once(' ')?;
            let is_whole = labels.is_empty() || labels.starts_with('{');
            let value = value.parse::<f64>().ok()? as u64;
            (is_whole && value > 0).then(|| (labels.to_owned(), value))
        };
        Ok(text.lines().filter_map(series).collect())
    }

    /// Open connections of clients.
    pub fn connections(&self) -> Result<u64> {
        Ok(self.metric("approov_gateway_connections")?.iter().map(|(_, count)| count).sum())
    }
}
