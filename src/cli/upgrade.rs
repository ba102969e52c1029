//! `upgrade`: replace the running gateway by a new process without losing a request.

use std::env;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::Failure;
use super::running::{Running, Which};
use crate::config::{Environment, Settings, show_duration};
use crate::server::{READY, UPGRADE_VARIABLE, WAITING};

/// Replace the running gateway by a new process without losing a request, and say how it went.
///
/// Starts the new binary, which validates everything and then waits for the sockets; sends the
/// running process SIGQUIT, so that it hands them over; watches it finish what it had begun.
/// Whatever fails before the new process accepts connections, the old one serves on and nothing
/// is left behind.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// The new binary; without it, this one
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Only check: the running gateway, the configuration, the new binary
    #[arg(long)]
    dry_run: bool,
}

/// How long the new process may take until it waits for the sockets, and until it serves.
const START: Duration = Duration::from_secs(30);

/// How often a process is looked at.
const POLL: Duration = Duration::from_millis(20);

/// Runs the command.
///
/// # Errors
/// [`Failure::Configuration`] with every problem; [`Failure::Running`] with what went wrong and
/// which process serves now.
pub fn run(args: &Args, environment: &Environment) -> Result<(), Failure> {
    let settings = args.which.settings(environment)?;
    let old = Running::find(&settings)?;
    let binary = match &args.binary {
        Some(binary) => binary.clone(),
        None => {
            this_binary().map_err(|error| Failure::Running(format!("cannot find this binary: {error}")))?
        }
    };
    if settings.server.upgrade_sock.is_none() {
        return Err(Failure::Running(
            "server.upgrade_sock is not configured, so nothing can be handed over".into(),
        ));
    }
    check_with(&binary, args.which.config.as_deref())?;
    if args.dry_run {
        println!("{} could replace process {}", binary.display(), old.id());
        return Ok(());
    }
    let mut new = Successor::start(&binary, args.which.config.as_deref(), old)?;
    let outcome = hand_over(&mut new, old);
    if let Err(failure) = outcome {
        new.stop();
        return Err(Failure::Running(format!("{failure}; process {} serves on", old.id())));
    }
    println!("process {} serves; process {} finishes what it had begun", new.id(), old.id());
    watch_leaving(old, &settings)
}

/// The new binary takes the configuration.
fn check_with(binary: &Path, config: Option<&Path>) -> Result<(), Failure> {
    let mut command = Command::new(binary);
    command.arg("check").args(config.map(|_| "-c")).args(config).stdin(Stdio::null());
    let output = command.output().map_err(|error| {
        Failure::Running(format!("cannot run {}: {error}; nothing was changed", binary.display()))
    })?;
    if output.status.success() {
        return Ok(());
    }
    let problems = String::from_utf8_lossy(&output.stderr);
    Err(Failure::Configuration(format!(
        "{problems}{} does not take the configuration; nothing was changed",
        binary.display()
    )))
}

/// The path of this binary, also after it has been replaced by a new one.
fn this_binary() -> io::Result<PathBuf> {
    let path = env::current_exe()?;
    let shown = path.to_string_lossy();
    Ok(shown.strip_suffix(" (deleted)").map_or_else(|| path.clone(), PathBuf::from))
}

fn hand_over(new: &mut Successor, old: Running) -> Result<(), String> {
    new.wait_for(WAITING)?;
    old.signal(Signal::QUIT).map_err(|failure| failure.to_string())?;
    new.wait_for(READY)
}

fn watch_leaving(old: Running, settings: &Settings) -> Result<(), Failure> {
    let patience = settings.server.grace_period + Duration::from_secs(5);
    let start = Instant::now();
    while old.is_alive() {
        if start.elapsed() > patience {
            return Err(Failure::Running(format!(
                "process {} has not ended within {}; the new one serves",
                old.id(),
                show_duration(patience)
            )));
        }
        std::thread::sleep(POLL);
    }
    println!("process {} has ended after {:.1} s", old.id(), start.elapsed().as_secs_f64());
    Ok(())
}

/// The new process, and what it tells of itself over systemd's notification protocol.
struct Successor {
    child: Child,
    told: UnixDatagram,
    socket: PathBuf,
}

impl Successor {
    fn start(binary: &Path, config: Option<&Path>, old: Running) -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            Failure::Running(format!("cannot start {}: {error}; nothing was changed", binary.display()))
        };
        let socket = env::temp_dir().join(format!("approov-gateway-upgrade-{}.sock", std::process::id()));
        let told = UnixDatagram::bind(&socket).map_err(failed)?;
        told.set_read_timeout(Some(POLL)).map_err(failed)?;
        let mut command = Command::new(binary);
        command.args(["run", "--upgrade"]).args(config.map(|_| "-c")).args(config);
        command.env(UPGRADE_VARIABLE, &socket).stdin(Stdio::null()).process_group(0);
        // It logs where its predecessor does, if that can be opened again.
        for (number, set) in
            [(1, Command::stdout as fn(&mut Command, File) -> &mut Command), (2, Command::stderr)]
        {
            let path = format!("/proc/{}/fd/{number}", old.id());
            if let Ok(file) = OpenOptions::new().append(true).open(path) {
                set(&mut command, file);
            }
        }
        let child = command.spawn().map_err(|error| {
            // Ours alone; a failure to remove it harms nobody.
            let _ = std::fs::remove_file(&socket);
            failed(error)
        })?;
        Ok(Self { child, told, socket })
    }

    fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a message that has the line `wanted`.
    fn wait_for(&mut self, wanted: &str) -> Result<(), String> {
        let deadline = Instant::now() + START;
        let mut message = [0; 1024];
        loop {
            if let Ok(length) = self.told.recv(&mut message)
                && String::from_utf8_lossy(&message[..length]).lines().any(|line| line == wanted)
            {
                return Ok(());
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("the new process ended with {}", describe(status)));
            }
            if Instant::now() >= deadline {
                return Err(format!("the new process was not ready within {}", show_duration(START)));
            }
        }
    }

    /// Ends it; it has no sockets yet, or shares them.
    fn stop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        // Ours alone; a failure to remove it harms nobody.
        let _ = std::fs::remove_file(&self.socket);
    }
}

fn describe(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("status {code}; its log says why"),
        None => format!("{status}"),
    }
}
