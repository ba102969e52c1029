//! A server process: started, asked what it has used, ended.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use socket2::{Domain, Socket, Type};

use super::programs;
use super::{Failure, Result};

const START: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(15);

/// A process and its children; ended when dropped.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it with its diagnostics in a file of `folder`.
    pub fn start(name: &str, mut command: Command, folder: &Folder) -> Result<Self> {
        let log = folder.path().join(format!("{name}.log"));
        command.stdin(Stdio::null()).stderr(File::create(&log)?);
        let child = command
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", command.get_program().display()))?;
        Ok(Self { name: name.into(), child, log })
    }

    /// What it writes, where its command pipes it.
    pub fn output(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Waits until it accepts connections.
    pub fn await_listening(&mut self, address: SocketAddr) -> Result<()> {
        let deadline = Instant::now() + START;
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

    /// User and system time of all its threads and children so far.
    pub fn cpu(&self) -> Duration {
        let tasks = self.group().into_iter().flat_map(|id| fs::read_dir(format!("/proc/{id}/task")));
        let nanoseconds = tasks.flatten().flatten().filter_map(|task| {
            let schedstat = fs::read_to_string(task.path().join("schedstat")).ok()?;
            schedstat.split_whitespace().next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanoseconds.sum())
    }

    /// Resident memory of the process and its children, what they share counted once, in KiB.
    pub fn memory_kib(&self) -> u64 {
        let rollup = |id| fs::read_to_string(format!("/proc/{id}/smaps_rollup")).unwrap_or_default();
        let pss = |rollup: String| {
            let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
            line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()
        };
        self.group().into_iter().map(rollup).filter_map(pss).sum()
    }

    /// The process and all its descendants.
    fn group(&self) -> Vec<u32> {
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let parents: Vec<(u32, u32)> = processes
            .filter_map(|entry| {
                let id = entry.file_name().to_str()?.parse().ok()?;
                let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
                // The name before it is in parentheses and may hold anything.
                let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
                Some((id, parent))
            })
            .collect();
        let mut group = vec![self.child.id()];
        let mut next = 0;
        while let Some(&parent) = group.get(next) {
            group.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(id, _)| *id));
            next += 1;
        }
        group
    }

    /// Sends a signal to the process and all its descendants.
    pub fn signal(&self, signal: Signal) {
        for id in self.group() {
            // Who is no more needs none.
            let _ = Pid::from_raw(id.cast_signed()).map(|id| kill_process(id, signal));
        }
    }

    fn failure(&self, what: &str) -> Failure {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        format!("{} {what}:\n{log}", self.name).into()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that is stopped hears nothing.
        self.signal(Signal::CONT);
        // An orderly end: an instrumented build writes its profile then.
        let asked = Pid::from_raw(self.child.id().cast_signed())
            .is_some_and(|id| kill_process(id, Signal::TERM).is_ok());
        let deadline = Instant::now() + STOP;
        while asked && Instant::now() < deadline {
            match self.child.try_wait() {
                Ok(None) => thread::sleep(Duration::from_millis(5)),
                _ => return,
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A free port, kept from others while its server starts and runs: a bound socket that does not
/// listen hinders nobody who sets the same options.
pub struct Port {
    _held: Socket,
    address: SocketAddr,
}

impl Port {
    pub fn hold() -> Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        let address = socket.local_addr()?.as_socket().ok_or("an address")?;
        Ok(Self { _held: socket, address })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A folder for configurations and diagnostics; removed when dropped.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Result<Self> {
        let path = programs::folder().join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// As many open files as one may have, here and in everything started from here.
pub fn raise_descriptor_limit() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(())
}
