//! `upgrade`: replace the running gateway with a new process without losing a request.

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use super::CommandFailure;
use super::running::{RunningGateway, Which};
use super::successor::Successor;
use crate::clock;
use crate::config::{Environment, ProcessSettings, show_duration};
use crate::server::{READY, WAITING};

/// Replace the running gateway with a new process without losing a request, and report the result.
///
/// Starts the new binary, which validates everything and then waits for the sockets. Sends SIGQUIT to
/// the running process, so that it hands them over. Then waits until that process has finished its
/// requests.
/// If a step fails before the new process accepts connections, the old process serves on and
/// nothing is left behind.
#[derive(clap::Args, Debug)]
pub struct UpgradeArgs {
    #[command(flatten)]
    which: Which,
    /// The new binary; this one if it is not given
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Only check: the running gateway, the configuration, the new binary
    #[arg(long)]
    dry_run: bool,
}

/// How often it is checked whether a process has ended.
const POLL: Duration = Duration::from_millis(20);

/// Runs the command.
///
/// # Errors
/// [`CommandFailure::Configuration`] with every problem; [`CommandFailure::Running`] with what went wrong and
/// which process serves now.
pub fn run(args: &UpgradeArgs, environment: &Environment) -> Result<(), CommandFailure> {
    let settings = args.which.settings(environment)?;
    let old = RunningGateway::find(&settings)?;
    let binary = match &args.binary {
        Some(binary) => binary.clone(),
        None => this_binary()
            .map_err(|error| CommandFailure::Running(format!("cannot find this binary: {error}")))?,
    };
    upgrade_socket(old, &settings)?;
    check_with(&binary, args.which.config.as_deref())?;
    if args.dry_run {
        println!("{} could replace process {}", binary.display(), old.id());
        return Ok(());
    }
    let new = Successor::start(&binary, args.which.config.as_deref(), old, settings.server.user.as_ref())
        .map_err(|error| {
            let binary = binary.display();
            CommandFailure::Running(format!("cannot start {binary}: {error}; nothing was changed"))
        })?;
    replace(new, old, &settings)
}

/// Replaces the running gateway by the file that it was started from. The running gateway starts the new
/// process, so that this command needs no right to read the secrets. The new process validates the
/// configuration.
///
/// # Errors
/// [`CommandFailure::Running`] with what went wrong and which process serves now.
pub(super) fn by_running_gateway(
    old: RunningGateway,
    settings: &ProcessSettings,
) -> Result<(), CommandFailure> {
    let socket = upgrade_socket(old, settings)?;
    let new = Successor::order(old, socket, settings.server.user.as_ref())
        .map_err(|problem| CommandFailure::Running(format!("{problem}; nothing was changed")))?;
    replace(new, old, settings)
}

/// Where `old` hands its sockets over.
///
/// # Errors
/// If it cannot be replaced.
fn upgrade_socket(old: RunningGateway, settings: &ProcessSettings) -> Result<&Path, CommandFailure> {
    if old.id() == 1 {
        return Err(CommandFailure::Running(
            "process 1 cannot be replaced, since its container ends with it; start a container of the new \
             version, and stop this one with SIGTERM"
                .into(),
        ));
    }
    settings.server.upgrade_sock.as_deref().ok_or_else(|| {
        CommandFailure::Running("server.upgrade_sock is not configured, so nothing can be handed over".into())
    })
}

/// Waits until `new` serves and `old` has ended.
fn replace(
    mut new: Successor,
    old: RunningGateway,
    settings: &ProcessSettings,
) -> Result<(), CommandFailure> {
    if let Err(failure) = hand_over(&mut new, old) {
        new.stop();
        let consequence = if old.is_alive() {
            format!("process {} serves on", old.id())
        } else {
            format!("process {} has ended too: no gateway serves; start one with `run`", old.id())
        };
        return Err(CommandFailure::Running(format!("{failure}; {consequence}")));
    }
    println!("process {} serves; process {} finishes its requests", new.id(), old.id());
    watch_leaving(old, settings)
}

/// Checks that the new binary accepts the configuration.
fn check_with(binary: &Path, config: Option<&Path>) -> Result<(), CommandFailure> {
    let mut command = Command::new(binary);
    command.arg("check").args(config.map(|_| "-c")).args(config).stdin(Stdio::null());
    let output = command.output().map_err(|error| {
        CommandFailure::Running(format!("cannot run {}: {error}; nothing was changed", binary.display()))
    })?;
    if output.status.success() {
        return Ok(());
    }
    let problems = String::from_utf8_lossy(&output.stderr);
    Err(CommandFailure::Configuration(format!(
        "{problems}{} does not accept the configuration; nothing was changed",
        binary.display()
    )))
}

/// The path of this binary, even if another file has replaced it.
pub(super) fn this_binary() -> io::Result<PathBuf> {
    let path = env::current_exe()?;
    let shown = path.to_string_lossy();
    Ok(shown.strip_suffix(" (deleted)").map_or_else(|| path.clone(), PathBuf::from))
}

fn hand_over(new: &mut Successor, old: RunningGateway) -> Result<(), String> {
    new.wait_for(WAITING)?;
    old.signal(Signal::QUIT).map_err(|failure| failure.to_string())?;
    new.wait_for(READY)
}

fn watch_leaving(old: RunningGateway, settings: &ProcessSettings) -> Result<(), CommandFailure> {
    let patience = settings.server.grace_period + Duration::from_secs(5);
    let start = clock::now();
    while old.is_alive() {
        if clock::since(start) > patience {
            return Err(CommandFailure::Running(format!(
                "process {} has not ended within {}; the new one serves",
                old.id(),
                show_duration(patience)
            )));
        }
        std::thread::sleep(POLL);
    }
    println!("process {} has ended after {:.1} s", old.id(), clock::since(start).as_secs_f64());
    Ok(())
}
