//! Child processes: their output, their end, and what a failing test prints of them.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

use super::{DEADLINE, eventually};

/// A running process. Killed with the value; printed with its output if the test fails.
pub struct Process {
    name: String,
    child: Child,
    output: Arc<Output>,
}

/// How a process ended, and everything that it wrote.
#[derive(Debug)]
pub struct Exit {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a command to its end.
///
/// # Panics
/// If the program cannot be started, or runs for longer than [`DEADLINE`].
pub fn run(command: &mut Command) -> Exit {
    Process::start(command.stdin(Stdio::null())).wait_for_end()
}

/// A command of the gateway's binary, with an empty environment.
pub fn gateway_command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_approov-gateway"));
    command.args(arguments).env_clear();
    command
}

/// Runs a command to its end with `input` on its standard input.
pub fn run_with_input(command: &mut Command, input: &[u8]) -> Exit {
    let mut process = Process::start(command.stdin(Stdio::piped()));
    // The process may end without reading its input.
    let _ = process.child.stdin.take().unwrap().write_all(input);
    process.wait_for_end()
}

impl Process {
    /// Starts a command. Both output streams are collected.
    pub fn start(command: &mut Command) -> Self {
        Self::start_with(command, None, None)
    }

    /// Starts a command with these streams. A stream that is given is not collected.
    pub fn start_with(command: &mut Command, out: Option<OwnedFd>, err: Option<OwnedFd>) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdout(out.map_or_else(Stdio::piped, Stdio::from))
            .stderr(err.map_or_else(Stdio::piped, Stdio::from))
            .spawn()
            .unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        let output = Arc::new(Output::default());
        match child.stdout.take() {
            Some(out) => output.collect(Stream::Out, out),
            None => output.streams.lock().unwrap().ended += 1,
        }
        match child.stderr.take() {
            Some(err) => output.collect(Stream::Err, err),
            None => output.streams.lock().unwrap().ended += 1,
        }
        Self { name, child, output }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name without `SIG`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.id().to_string()]).status().unwrap();
        assert!(status.success(), "kill -s {name}: {status}");
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn wait_for_exit(&mut self) -> ExitStatus {
        let what = format!("the end of {}", self.name);
        eventually(&what, || self.child.try_wait().unwrap())
    }

    /// Waits until the process has ended and both its streams are read.
    pub fn wait_for_end(mut self) -> Exit {
        let status = self.wait_for_exit();
        let (stdout, stderr) = self.output.wait(|streams| streams.ended == 2);
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Exit { status, stdout: text(stdout), stderr: text(stderr) }
    }

    /// Standard output so far.
    pub fn stdout(&self) -> Vec<u8> {
        self.output.streams.lock().unwrap().out.clone()
    }

    /// Standard error so far.
    pub fn stderr(&self) -> Vec<u8> {
        self.output.streams.lock().unwrap().err.clone()
    }

    /// Waits until standard output and standard error satisfy `wanted`, and returns them.
    ///
    /// # Panics
    /// After [`DEADLINE`].
    pub fn wait_for_output(&self, wanted: impl Fn(&[u8], &[u8]) -> bool) -> (Vec<u8>, Vec<u8>) {
        let streams = self.output.wait(|streams| wanted(&streams.out, &streams.err));
        assert!(wanted(&streams.0, &streams.1), "{} never wrote what the test waits for", self.name);
        streams
    }

    /// Standard output and standard error as soon as they satisfy `wanted`, or the process has
    /// closed both, or [`DEADLINE`] is over.
    pub fn output_until(&self, wanted: impl Fn(&[u8], &[u8]) -> bool) -> (Vec<u8>, Vec<u8>) {
        self.output.wait(|streams| wanted(&streams.out, &streams.err) || streams.ended == 2)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            let name = &self.name;
            eprintln!("--- standard output of {name}\n{}", end(&self.stdout()));
            eprintln!("--- standard error of {name}\n{}", end(&self.stderr()));
        }
    }
}

/// The last part of an output, as text: a report has to be readable.
fn end(output: &[u8]) -> String {
    const MOST: usize = 64 * 1024;
    let left_out = output.len().saturating_sub(MOST);
    let note = if left_out > 0 { format!("[{left_out} bytes left out] …") } else { String::new() };
    note + &String::from_utf8_lossy(&output[left_out..])
}

#[derive(Clone, Copy)]
enum Stream {
    Out,
    Err,
}

/// Everything that a process has written.
#[derive(Default)]
struct Output {
    streams: Mutex<Streams>,
    changed: Condvar,
}

#[derive(Default)]
struct Streams {
    out: Vec<u8>,
    err: Vec<u8>,
    /// Number of streams that the process has closed, of two.
    ended: usize,
}

impl Output {
    /// Reads a stream to its end, on a thread of its own.
    fn collect(self: &Arc<Self>, stream: Stream, source: impl Read + Send + 'static) {
        let output = Arc::clone(self);
        thread::spawn(move || {
            let mut source = BufReader::new(source);
            loop {
                let mut line = Vec::new();
                let count = source.read_until(b'\n', &mut line).unwrap_or(0);
                let mut streams = output.streams.lock().unwrap();
                match stream {
                    Stream::Out => streams.out.extend(line),
                    Stream::Err => streams.err.extend(line),
                }
                streams.ended += usize::from(count == 0);
                output.changed.notify_all();
                if count == 0 {
                    return;
                }
            }
        });
    }

    /// Both streams as soon as `wanted` is true, or as they are after [`DEADLINE`].
    fn wait(&self, wanted: impl Fn(&Streams) -> bool) -> (Vec<u8>, Vec<u8>) {
        let deadline = Instant::now() + DEADLINE;
        let mut streams = self.streams.lock().unwrap();
        while !wanted(&streams) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            streams = self.changed.wait_timeout(streams, left).unwrap().0;
        }
        (streams.out.clone(), streams.err.clone())
    }
}
