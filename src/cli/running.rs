//! The running gateway, as `reload` and `upgrade` find it.

use std::io;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::Failure;
use crate::config::{Environment, Settings, load};
use crate::server::read_pid_file;

/// Which gateway is meant: the one of this configuration.
#[derive(Clone, Debug, clap::Args)]
pub struct Which {
    /// The configuration file of the running gateway; without it GATEWAY_CONFIG, or the
    /// environment alone. It is validated first
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl Which {
    /// The configuration, validated as `run` would.
    pub(super) fn settings(&self, environment: &Environment) -> Result<Settings, Failure> {
        load(self.config.as_deref(), environment)
            .map_err(|problems| Failure::Configuration(format!("{problems}\nnothing was changed")))
    }
}

/// A gateway process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Running(Pid);

impl Running {
    /// The process that the pid file names, if it lives.
    pub fn find(settings: &Settings) -> Result<Self, Failure> {
        let path = settings.server.pid_file.as_deref().ok_or_else(|| {
            Failure::Running(
                "server.pid_file is not configured, so the running gateway cannot be found".into(),
            )
        })?;
        Self::from_file(path)
            .map_err(|error| Failure::Running(format!("no running gateway by {}: {error}", path.display())))
    }

    fn from_file(path: &Path) -> io::Result<Self> {
        let pid = i32::try_from(read_pid_file(path)?).ok().and_then(Pid::from_raw);
        let running = Self(pid.ok_or(io::Error::new(io::ErrorKind::InvalidData, "it holds no process id"))?);
        if running.is_alive() {
            Ok(running)
        } else {
            Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("it is stale, process {} is gone", running.id()),
            ))
        }
    }

    /// Whether it still runs: neither gone nor waiting to be reaped.
    pub fn is_alive(self) -> bool {
        let is_zombie = std::fs::read_to_string(format!("/proc/{}/stat", self.id()))
            .is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')));
        test_kill_process(self.0).is_ok() && !is_zombie
    }

    /// Sends it a signal.
    pub fn signal(self, signal: Signal) -> Result<(), Failure> {
        kill_process(self.0, signal)
            .map_err(|error| Failure::Running(format!("cannot signal process {}: {error}", self.id())))
    }

    /// Its process id.
    pub fn id(self) -> i32 {
        self.0.as_raw_nonzero().get()
    }
}
