//! The old and the new process of an upgrade, and the folder that they share.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::PATIENCE;
use crate::rig::folder::{Folder, Port};
use crate::rig::process::Process;
use crate::rig::token::secret_base64;
use crate::rig::{Result, gateway};

/// A private folder for the configuration, the pid file and the socket of upgrades.
pub struct Place {
    folder: Folder,
    binary: PathBuf,
    port: Port,
}

impl Place {
    pub fn new() -> Result<Self> {
        Ok(Self { binary: gateway::build()?, folder: Folder::new()?, port: Port::reserve()? })
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("gateway.yaml")
    }

    fn configure(&self, origin: SocketAddr) -> Result<()> {
        let (folder, public, secret) = (self.folder.path().display(), self.port.address(), secret_base64());
        let config = format!(
            "server: {{ threads: 2, pid_file: {folder}/pid, upgrade_sock: {folder}/sock }}\n\
             listeners: [ {{ address: \"{public}\" }} ]\nadmin: {{ address: \"127.0.0.1:0\" }}\n\
             approov:\n  keys: [ {{ id: current, algorithm: HS256, secret_base64: \"{secret}\" }} ]\n\
             origins:\n  api: {{ domain: \"http://{origin}\" }}\nroutes:\n\
             \x20 - {{ path: /, policy: protect, origin: api }}\n"
        );
        Ok(fs::write(self.file(), config)?)
    }

    /// Writes as many routes before the one that takes every path.
    pub fn add_routes(&self, count: usize) -> Result<()> {
        let route = |number| format!("  - {{ path: /route/{number}/, policy: protect, origin: api }}\n");
        let routes: String = (1..count).map(route).collect();
        let config = fs::read_to_string(self.file())?;
        Ok(fs::write(self.file(), config.replace("routes:\n", &format!("routes:\n{routes}")))?)
    }
}

/// One process of the gateway.
pub struct Gateway {
    pub process: Process,
    pub address: SocketAddr,
    generation: usize,
}

impl Gateway {
    /// Starts a process and waits until it serves or, as a successor, until it waits for the sockets.
    pub fn start(place: &Place, origin: SocketAddr, is_successor: bool) -> Result<Self> {
        if !is_successor {
            place.configure(origin)?;
        }
        let mut command = gateway::command(&place.binary, &place.file());
        command.args(is_successor.then_some("--upgrade"));
        let process = Process::start("the gateway", &command)?;
        process.await_line(if is_successor { "waiting for the sockets" } else { "admin on http://" })?;
        Ok(Self { process, address: place.port.address(), generation: 1 })
    }

    /// Reloads the configuration and waits until it is in force.
    pub fn reload(&mut self) -> Result<Duration> {
        self.generation += 1;
        let start = Instant::now();
        self.process.signal(Signal::HUP)?;
        self.process.await_line(&format!("configuration reloaded, generation {}", self.generation))?;
        Ok(start.elapsed())
    }

    /// Waits until the process has ended with status 0.
    pub fn await_good_end(&mut self) -> Result<()> {
        match self.process.await_exit(PATIENCE)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(format!("the gateway ended with {status}").into()),
            None => Err("the gateway did not end".into()),
        }
    }
}
