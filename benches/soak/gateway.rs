//! The gateway's process.

use std::io::{BufRead, BufReader, Write as _};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{env, fs, thread};

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

use super::cores::Cores;
use super::load::response::{connect, exchange};
use super::{Result, tokens, usage};

/// The argument by which this program becomes the gateway.
pub const ROLE: &str = "--role-gateway";

/// A gateway; killed when dropped.
pub struct Gateway {
    child: Child,
    address: SocketAddr,
    admin: SocketAddr,
    panics: Arc<AtomicUsize>,
}

/// Becomes the gateway, which ends with whoever started it, even by a signal that nobody can catch.
pub fn become_gateway() -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_approov-gateway"));
    Err(command.args(["run", "-c", "/dev/stdin"]).exec().into())
}

impl Gateway {
    /// Starts it with the defaults of a public listener, on a core of its own.
    ///
    /// Changed is only what would keep the attack out:
    /// - `allow: []`, since all addresses here are those of this machine, which is exempt by default;
    /// - `h2c`, which lets honest and hostile clients speak HTTP/2 without the cost of TLS;
    /// - `threads: 1`, one for each core, of which it has one;
    /// - whatever `listener` and `limits` say beyond that.
    pub fn start(cores: &Cores, origin: SocketAddr, listener: &str, limits: &str) -> Result<Self> {
        let config = format!(
            "server: {{ threads: 1 }}\n\
             listeners: [ {{ address: \"127.0.0.1:0\", h2c: true, {listener} }} ]\n\
             admin: {{ address: \"127.0.0.1:0\" }}\n\
             approov: {{ keys: [ {{ secret_base64: \"{}\" }} ] }}\n\
             origins: {{ api: {{ domain: \"http://{origin}\" }} }}\n\
             limits: {{ allow: [], {limits} }}\n",
            tokens::SECRET
        );
        let mut command = Command::new(env::current_exe()?);
        // Without a place for a pid file: another gateway of this user may be running.
        command.arg(ROLE).env_clear();
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = cores.for_peer(1, || command.spawn())??;
        child.stdin.take().ok_or("a pipe")?.write_all(config.as_bytes())?;
        let stderr = BufReader::new(child.stderr.take().ok_or("a pipe")?);
        let mut lines = stderr.lines().map_while(|line| line.ok());
        let mut said = String::new();
        let mut announced = |marker: &str| -> Result<SocketAddr> {
            for line in lines.by_ref() {
                if let Some((_, address)) = line.split_once(marker) {
                    return Ok(address.trim().parse()?);
                }
                said += &line;
                said += "\n";
            }
            Err(format!("the gateway does not start:\n{said}").into())
        };
        let (address, admin) = (announced("listening on http://")?, announced("admin on http://")?);
        let panics = Arc::new(AtomicUsize::new(0));
        thread::spawn({
            let panics = panics.clone();
            move || {
                for line in lines.filter(|line| line.contains("panicked")) {
                    eprintln!("{line}");
                    panics.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Ok(Self { child, address, admin, panics })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }

    pub fn cpu(&self) -> Duration {
        usage::cpu(self.process())
    }

    pub fn resident_kib(&self) -> u64 {
        usage::resident_kib(self.process())
    }

    /// Stops it where it is, as long as `meanwhile` takes.
    pub fn paused<T>(&self, meanwhile: impl FnOnce() -> Result<T>) -> Result<T> {
        let process = Pid::from_raw(self.process().cast_signed()).ok_or("a process")?;
        kill_process(process, Signal::STOP)?;
        let done = meanwhile();
        kill_process(process, Signal::CONT)?;
        done
    }

    /// Requests that have panicked.
    pub fn panics(&self) -> usize {
        self.panics.load(Ordering::Relaxed)
    }

    /// The series of a metric, by labels, without those that are zero.
    pub fn metric(&self, name: &str) -> Result<Vec<(String, u64)>> {
        let request = b"GET /metrics HTTP/1.1\r\nHost: admin\r\n\r\n";
        let (_, text) = connect(self.admin)
            .and_then(|mut admin| exchange(&mut admin, request))
            .map_err(|error| format!("no metrics: {error}"))?;
        let series = |line: &str| {
            let (labels, value) = line.strip_prefix(name)?.rsplit_once(' ')?;
            let is_whole = labels.is_empty() || labels.starts_with('{');
            let value = value.parse::<f64>().ok()? as u64;
            (is_whole && value > 0).then(|| (labels.to_owned(), value))
        };
        Ok(text.lines().filter_map(series).collect())
    }

    /// Connections of clients that are open.
    pub fn connections(&self) -> Result<u64> {
        Ok(self.metric("approov_gateway_connections")?.iter().map(|(_, count)| count).sum())
    }
}

/// Open descriptors of a process.
pub fn descriptors(process: u32) -> usize {
    fs::read_dir(format!("/proc/{process}/fd")).map_or(0, Iterator::count)
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
