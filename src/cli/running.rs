//! The running gateway, as `reload` and `upgrade` find it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::CommandFailure;
use crate::config::{Environment, ProcessSettings, load_process};
use crate::server::{OpenPidFile, is_proc_ours};

/// Which gateway is meant: the one of this configuration.
#[derive(Clone, Debug, clap::Args)]
pub struct Which {
    /// The configuration file of the running gateway; without it GATEWAY_CONFIG, or the
    /// environment alone
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl Which {
    /// Where the running gateway is found. Neither keys nor certificates are read: a service manager
    /// may show the secret to the gateway alone.
    pub(super) fn settings(&self, environment: &Environment) -> Result<ProcessSettings, CommandFailure> {
        load_process(self.config.as_deref(), environment)
            .map_err(|problems| CommandFailure::Configuration(format!("{problems}\nnothing was changed")))
    }
}

/// The gateway process that a command talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RunningGateway {
    pid: Pid,
    /// When the process started, in clock ticks after the machine. A later process with the same id
    /// started at another time. `None` if `/proc` does not show the process.
    started: Option<u64>,
}

impl RunningGateway {
    /// The process that holds the pid file.
    pub fn find(settings: &ProcessSettings) -> Result<Self, CommandFailure> {
        let path = settings.server.pid_file.as_deref().ok_or_else(|| {
            CommandFailure::Running(
                "server.pid_file is not configured, so the running gateway cannot be found".into(),
            )
        })?;
        Self::from_file(path).map_err(|error| {
            CommandFailure::Running(format!("no running gateway by {}: {error}", path.display()))
        })
    }

    /// The process that has this id now.
    pub fn from_id(id: i32) -> Option<Self> {
        let pid = Pid::from_raw(id)?;
        Some(Self { pid, started: GatewayStat::of(pid).map(|stat| stat.started) })
    }

    fn from_file(path: &Path) -> io::Result<Self> {
        let file = OpenPidFile::open(path)?;
        let running = i32::try_from(file.pid()).ok().and_then(Self::from_id);
        let running = running.ok_or(io::Error::new(io::ErrorKind::InvalidData, "it holds no process id"))?;
        // In this order: the process whose start time is known holds the lock.
        if file.is_held()? && running.is_alive() {
            return Ok(running);
        }
        let message = format!("it is stale, process {} is gone or another program", running.id());
        Err(io::Error::new(io::ErrorKind::NotFound, message))
    }

    /// Whether it still runs: it is neither gone nor a zombie, and its id has not been taken by
    /// another process.
    pub fn is_alive(self) -> bool {
        match (GatewayStat::of(self.pid), self.started) {
            (Some(stat), Some(started)) => stat.started == started && stat.state != 'Z',
            // The process is gone or hidden: with `hidepid`, as systemd's `ProtectProc=invisible` sets
            // it, `/proc` hides a process that allows no core dumps. The process of another user cannot
            // be signalled, and exists.
            (None, _) | (_, None) => test_kill_process(self.pid) != Err(Errno::SRCH),
        }
    }

    /// Whether it runs another binary than this command's, such as the one that was at the same path
    /// before. `executable` is the identity of its binary as the process itself reports it, if it
    /// does: only root can read it from `/proc`.
    pub fn has_another_binary(self, executable: Option<&str>) -> Result<bool, CommandFailure> {
        let ours = identity_of(Path::new("/proc/self/exe"));
        let theirs = match executable {
            Some(executable) => Ok(executable.to_owned()),
            None => identity_of(Path::new(&format!("/proc/{}/exe", self.id()))),
        };
        match (theirs, ours) {
            (Ok(theirs), Ok(ours)) => Ok(theirs != ours),
            (Err(error), _) | (_, Err(error)) => Err(CommandFailure::Running(format!(
                "cannot tell which binary process {} runs: {error}; nothing was changed",
                self.id()
            ))),
        }
    }

    /// Sends it a signal, if it is alive.
    pub fn signal(self, signal: Signal) -> Result<(), CommandFailure> {
        let id = self.id();
        if !self.is_alive() {
            return Err(CommandFailure::Running(format!("process {id} has ended")));
        }
        kill_process(self.pid, signal)
            .map_err(|error| CommandFailure::Running(format!("cannot signal process {id}: {error}")))
    }

    /// The process id, for messages.
    pub fn id(self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }
}

/// Device and inode of a file.
fn identity_of(path: &Path) -> io::Result<String> {
    fs::metadata(path).map(|file| format!("{}:{}", file.dev(), file.ino()))
}

/// The used fields of `/proc/PID/stat`.
struct GatewayStat {
    state: char,
    started: u64,
}

impl GatewayStat {
    fn of(pid: Pid) -> Option<Self> {
        if !is_proc_ours() {
            return None;
        }
        let text = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
        // The second field, the program's name, may hold spaces and parentheses.
        let mut fields = text.rsplit_once(") ")?.1.split(' ');
        let state = fields.next()?.chars().next()?;
        // Field 22 of proc_pid_stat(5); the state is field 3.
        let started = fields.nth(18)?.parse().ok()?;
        Some(Self { state, started })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_process_with_the_same_id_is_not_the_one_that_was_found() {
        let id = i32::try_from(std::process::id()).expect("an id");
        let running = RunningGateway::from_id(id).expect("this process");
        assert!(running.is_alive());
        let recycled = RunningGateway { started: running.started.map(|started| started - 1), ..running };
        assert!(!recycled.is_alive());
        assert!(recycled.signal(Signal::KILL).is_err());
    }
}
