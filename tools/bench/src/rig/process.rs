//! The guard of every process that a command starts: it watches, measures and ends it.

use std::cell::RefCell;
use std::env;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use procfs::process::{Process as Entry, Stat, all_processes};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

use super::{Failure, Result, poll};

/// The time that a process may take to start, or to do what it was told.
const PATIENCE: Duration = Duration::from_secs(60);

/// The time that memory may take to come to rest.
const REST: Duration = Duration::from_secs(20);

/// The time between two looks at a process.
const PAUSE: Duration = Duration::from_millis(1);

/// The time that a process may take to end after `TERM`.
const STOP: Duration = Duration::from_secs(15);

/// The name of the hidden command that becomes a guarded process.
pub const ROLE: &str = "guarded";

/// The environment of a guarded process. Other variables could change what it does.
const KEPT: [&str; 2] = ["PATH", "LLVM_PROFILE_FILE"];

/// A process and its descendants. They end when the guard is dropped, and also when this program is
/// killed.
pub struct Process {
    name: String,
    child: Child,
    /// The lines of standard error that were looked at, and those that follow.
    lines: RefCell<Vec<String>>,
    more: Receiver<String>,
}

/// Becomes `program`, which the kernel kills as soon as the parent ends.
pub fn become_guarded(program: &OsString, arguments: &[OsString]) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    Err(format!("cannot start {}: {}", program.display(), Command::new(program).args(arguments).exec())
        .into())
}

impl Process {
    pub fn start(name: &str, command: &Command) -> Result<Self> {
        Self::start_with(name, command, Stdio::null())
    }

    /// Starts `command` with another standard output than none. The variables of `command` are ignored.
    pub fn start_with(name: &str, command: &Command, output: Stdio) -> Result<Self> {
        let mut guarded = Command::new(env::current_exe()?);
        guarded.arg(ROLE).arg(command.get_program()).args(command.get_args());
        guarded.env_clear().envs(KEPT.iter().filter_map(|name| Some((name, env::var_os(name)?))));
        let mut child = guarded.stdin(Stdio::null()).stdout(output).stderr(Stdio::piped()).spawn()?;
        let (sender, more) = mpsc::channel();
        if let Some(stderr) = child.stderr.take() {
            thread::spawn(move || {
                let lines = BufReader::new(stderr).lines().map_while(std::result::Result::ok);
                lines.for_each(|line| drop(sender.send(line)));
            });
        }
        Ok(Self { name: name.into(), child, lines: RefCell::default(), more })
    }

    pub fn take_output(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Waits for the first line with this text, and returns what follows the text.
    pub fn await_line(&self, text: &str) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.lines.borrow().iter().find_map(|line| Some(line.split_once(text)?.1.to_owned()));
            if let Some(rest) = found {
                return Ok(rest.trim().to_owned());
            }
            match self.more.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.lines.borrow_mut().push(line),
                Err(_) => return Err(self.failure(&format!("did not write {text:?}"))),
            }
        }
    }

    pub fn count_lines(&self, text: &str) -> usize {
        let mut lines = self.lines.borrow_mut();
        lines.extend(self.more.try_iter());
        lines.iter().filter(|line| line.contains(text)).count()
    }

    pub fn await_listening(&mut self, address: SocketAddr) -> Result<()> {
        let listens = || match self.child.try_wait()? {
            Some(status) => Err(self.failure(&format!("ended with {status}"))),
            None => Ok(TcpStream::connect(address).ok()),
        };
        poll(PAUSE, PATIENCE, listens)?.map(drop).ok_or_else(|| self.failure("does not listen"))
    }

    /// Waits until the process has ended; `None` if it has not within `patience`.
    pub fn await_exit(&mut self, patience: Duration) -> Result<Option<ExitStatus>> {
        poll(PAUSE, patience, || Ok(self.child.try_wait()?))
    }

    pub fn await_good_end(&mut self) -> Result<()> {
        match self.await_exit(PATIENCE)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(self.failure(&format!("ended with {status}"))),
            None => Err(self.failure("did not end")),
        }
    }

    /// User and system time of all threads and descendants so far.
    pub fn cpu(&self) -> Duration {
        let tasks = self.group().flat_map(|entry| entry.tasks()).flatten().flatten();
        let nanoseconds = tasks.filter_map(|task| Some(task.schedstat().ok()?.sum_exec_runtime));
        Duration::from_nanos(nanoseconds.sum())
    }

    /// Resident memory of the process and its descendants in KiB; shared pages count once.
    pub fn memory_kib(&self) -> u64 {
        let rollups = self.group().filter_map(|entry| entry.smaps_rollup().ok());
        let maps = rollups.flat_map(|rollup| rollup.memory_map_rollup.0);
        maps.filter_map(|map| map.extension.map.get("Pss").copied()).sum::<u64>() / 1024
    }

    /// Waits until the memory stays the same for a second, but no longer than [`REST`].
    pub fn memory_at_rest_kib(&self) -> u64 {
        let deadline = Instant::now() + REST;
        let mut memory = self.memory_kib();
        loop {
            thread::sleep(Duration::from_secs(1));
            let before = std::mem::replace(&mut memory, self.memory_kib());
            if memory.abs_diff(before) < 512 || Instant::now() > deadline {
                return memory;
            }
        }
    }

    pub fn descriptors(&self) -> usize {
        Entry::new(self.child.id().cast_signed()).and_then(|entry| entry.fd_count()).unwrap_or_default()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// Sends a signal to the process and all its descendants; those that have ended are skipped.
    pub fn signal_all(&self, signal: Signal) {
        for entry in self.group() {
            let _ = Pid::from_raw(entry.pid()).map(|id| kill_process(id, signal));
        }
    }

    fn group(&self) -> impl Iterator<Item = Entry> {
        let entries = all_processes().into_iter().flatten().flatten();
        let all: Vec<Stat> = entries.filter_map(|entry| entry.stat().ok()).collect();
        let mut group = vec![self.child.id().cast_signed()];
        let mut next = 0;
        while let Some(&parent) = group.get(next) {
            group.extend(all.iter().filter(|stat| stat.ppid == parent).map(|stat| stat.pid));
            next += 1;
        }
        group.into_iter().filter_map(|id| Entry::new(id).ok())
    }

    fn failure(&self, what: &str) -> Failure {
        self.lines.borrow_mut().extend(self.more.try_iter());
        format!("{} {what}. It wrote:\n{}", self.name, self.lines.borrow().join("\n")).into()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A stopped process does not see TERM.
        self.signal_all(Signal::CONT);
        // An instrumented build writes its profile at an orderly end.
        let is_told = self.signal(Signal::TERM).is_ok();
        if !is_told || !self.await_exit(STOP).is_ok_and(|status| status.is_some()) {
            self.signal_all(Signal::KILL);
        }
        let _ = self.child.wait();
    }
}
