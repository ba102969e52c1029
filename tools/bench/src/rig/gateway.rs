//! The gateway as a process: built, started, and asked for its metrics.

use std::env;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::Result;
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

pub fn command(gateway: &Path, file: &Path) -> Command {
    let mut command = Command::new(gateway);
    command.arg("run").arg("-c").arg(file);
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

pub struct Gateway {
    pub process: Process,
    pub address: SocketAddr,
    pub admin: SocketAddr,
}

impl Gateway {
    /// Starts the gateway with this configuration and waits until it serves.
    pub fn start(gateway: &Path, file: &Path) -> Result<Self> {
        Self::serving(Process::start("the gateway", &command(gateway, file))?)
    }

    /// Hands the sockets over to `successor`, which was started with `--upgrade`. Returns the old process, which
    /// ends when its requests are done.
    pub fn upgrade(&mut self, successor: Process) -> Result<Process> {
        successor.await_line("waiting for the sockets")?;
        self.process.signal(Signal::QUIT)?;
        Ok(std::mem::replace(self, Self::serving(successor)?).process)
    }

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
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        Ok(String::from_utf8(converse(self.admin, request.as_bytes())?)?)
    }

    /// The sum of all series of a metric.
    pub fn metric(&self, name: &str) -> Result<u64> {
        let value = |line: &str| {
            let (labels, value) = line.strip_prefix(name)?.rsplit_once(' ')?;
            let is_whole = labels.is_empty() || labels.starts_with('{');
            value.parse::<f64>().ok().filter(|_| is_whole)
        };
        Ok(self.admin_page("/metrics")?.lines().filter_map(value).sum::<f64>() as u64)
    }
}

/// Sends bytes over a new connection, and returns what arrives until its end.
pub fn converse(to: SocketAddr, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}
