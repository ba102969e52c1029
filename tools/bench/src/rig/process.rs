//! The guard of every process that a command starts: it watches, measures and ends it.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

use super::{Failure, Result};

/// The time that a process may take to start, or to do what it was told.
const PATIENCE: Duration = Duration::from_secs(60);

/// The time that a process may take to end after `TERM`.
const STOP: Duration = Duration::from_secs(15);

/// The name of the hidden command that becomes a guarded process.
pub const ROLE: &str = "guarded";

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
    /// Starts `command`, whose standard error is kept as lines.
    pub fn start(name: &str, command: &Command) -> Result<Self> {
        Self::start_with(name, command, Stdio::null())
    }

    /// Starts `command` with another standard output than none.
    pub fn start_with(name: &str, command: &Command, output: Stdio) -> Result<Self> {
        let mut guarded = Command::new(std::env::current_exe()?);
        guarded.arg(ROLE).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => guarded.env(name, value),
                None => guarded.env_remove(name),
            };
        }
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

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The standard output, if it was started as a pipe.
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

    /// Counts the lines with this text so far.
    pub fn count_lines(&self, text: &str) -> usize {
        let mut lines = self.lines.borrow_mut();
        lines.extend(self.more.try_iter());
        lines.iter().filter(|line| line.contains(text)).count()
    }

    /// Waits until the process accepts connections at `address`.
    pub fn await_listening(&mut self, address: SocketAddr) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            if let Some(status) = self.child.try_wait()? {
                return Err(self.failure(&format!("ended with {status}")));
            }
            if Instant::now() > deadline {
                return Err(self.failure("does not listen"));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Waits until the process has ended; `None` if it has not within `patience`.
    pub fn await_exit(&mut self, patience: Duration) -> Result<Option<ExitStatus>> {
        let deadline = Instant::now() + patience;
        loop {
            match self.child.try_wait()? {
                None if Instant::now() < deadline => thread::sleep(Duration::from_millis(1)),
                status => return Ok(status),
            }
        }
    }

    /// Waits until the process has ended with status 0.
    pub fn await_good_end(&mut self) -> Result<()> {
        match self.await_exit(PATIENCE)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(self.failure(&format!("ended with {status}"))),
            None => Err(self.failure("did not end")),
        }
    }

    /// User and system time of all threads and descendants so far.
    pub fn cpu(&self) -> Duration {
        let tasks = self.group().into_iter().flat_map(|id| fs::read_dir(format!("/proc/{id}/task")));
        let nanoseconds = tasks.flatten().flatten().filter_map(|task| {
            let schedstat = fs::read_to_string(task.path().join("schedstat")).ok()?;
            schedstat.split_whitespace().next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanoseconds.sum())
    }

    /// Resident memory of the process and its descendants in KiB; shared pages count once.
    pub fn memory_kib(&self) -> u64 {
        let pss = |id| {
            let rollup = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok()?;
            let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
            line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()
        };
        self.group().into_iter().filter_map(pss).sum()
    }

    /// Waits until the memory stays the same for a second, but no longer than `patience`.
    pub fn memory_at_rest_kib(&self, patience: Duration) -> u64 {
        let deadline = Instant::now() + patience;
        let mut memory = self.memory_kib();
        loop {
            thread::sleep(Duration::from_secs(1));
            let before = std::mem::replace(&mut memory, self.memory_kib());
            if memory.abs_diff(before) < 512 || Instant::now() > deadline {
                return memory;
            }
        }
    }

    /// Open descriptors of the process itself.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.id())).map_or(0, Iterator::count)
    }

    /// Sends a signal to the process itself.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(Pid::from_raw(self.id().cast_signed()).ok_or("no process")?, signal)?)
    }

    /// Sends a signal to the process and all its descendants; those that have ended are skipped.
    pub fn signal_all(&self, signal: Signal) {
        for id in self.group() {
            let _ = Pid::from_raw(id.cast_signed()).map(|id| kill_process(id, signal));
        }
    }

    /// The process and all its descendants.
    fn group(&self) -> Vec<u32> {
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let parents: Vec<(u32, u32)> = processes
            .filter_map(|entry| {
                let id = entry.file_name().to_str()?.parse().ok()?;
                let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
                // The name stands in parentheses and can hold any character.
                let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
                Some((id, parent))
            })
            .collect();
        let mut group = vec![self.id()];
        let mut next = 0;
        while let Some(&parent) = group.get(next) {
            group.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(id, _)| *id));
            next += 1;
        }
        group
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
