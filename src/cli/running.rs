//! The running gateway, as `reload` and `upgrade` find it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
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

    /// The process of this number, alive or not.
    pub fn from_id(id: i32) -> Option<Self> {
        Pid::from_raw(id).map(Self)
    }

    fn from_file(path: &Path) -> io::Result<Self> {
        let running = i32::try_from(read_pid_file(path)?).ok().and_then(Self::from_id);
        let running = running.ok_or(io::Error::new(io::ErrorKind::InvalidData, "it holds no process id"))?;
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
        let is_zombie = fs::read_to_string(format!("/proc/{}/stat", self.id()))
            .is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')));
        // That of another user cannot be signalled, and is there.
        test_kill_process(self.0) != Err(Errno::SRCH) && !is_zombie
    }

    /// Whether it runs another binary than this command's: one that lay at the same path before,
    /// for one.
    pub fn has_another_binary(self) -> Result<bool, Failure> {
        let file = |path: String| fs::metadata(path).map(|file| (file.dev(), file.ino()));
        let theirs = file(format!("/proc/{}/exe", self.id()));
        match (theirs, file("/proc/self/exe".into())) {
            (Ok(theirs), Ok(ours)) => Ok(theirs != ours),
            (Err(error), _) | (_, Err(error)) => Err(Failure::Running(format!(
                "cannot tell which binary process {} runs: {error}; nothing was changed",
                self.id()
            ))),
        }
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
