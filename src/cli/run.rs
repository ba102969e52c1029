//! `run`: serve until a signal ends the process.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{CommandFailure, successor, upgrade};
use crate::config::{self, Environment};
use crate::server::{LoadError, Server, Start};
use crate::telemetry;

/// Serve: verify every request and forward those of genuine apps.
///
/// Validates the whole configuration first and starts nothing if there is a problem. Access log on
/// standard output, diagnostics on standard error. SIGHUP reloads the configuration, SIGTERM drains
/// and ends, SIGINT ends at once, SIGQUIT hands the sockets to a waiting successor. SIGUSR1 opens log
/// files again; `reload --or-upgrade` sends SIGUSR2.
#[derive(clap::Args, Debug)]
pub struct RunArgs {
    /// The configuration file; the environment overrides it. Without it GATEWAY_CONFIG names the
    /// file, or the environment alone is enough
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Take the listening sockets over from the running process: wait at `server.upgrade_sock`
    /// until SIGQUIT makes it hand them over
    #[arg(short, long)]
    upgrade: bool,
}

/// Serves until a signal ends it.
///
/// # Errors
/// [`CommandFailure::Configuration`] with every problem; [`CommandFailure::Running`] if a socket cannot be bound,
/// for example.
pub fn run(args: &RunArgs, environment: Environment) -> Result<(), CommandFailure> {
    telemetry::init_diagnostics().map_err(|error| CommandFailure::Running(error.to_string()))?;
    let file = args.config.clone();
    let load = move || config::load(file.as_deref(), &environment);
    let settings = load().map_err(|problems| CommandFailure::Configuration(problems.to_string()))?;
    telemetry::set_diagnostics_format(settings.log.format);
    for warning in &settings.warnings {
        log::warn!("{warning}");
    }
    for hint in settings.hints() {
        log::info!("hint: {hint}");
    }
    let start = Start {
        settings,
        reload: Arc::new(move || load().map_err(LoadError::from)),
        take_over: args.upgrade,
        successor: successor_of_this(args.config.as_deref()).unwrap_or_default(),
    };
    Server::start(start)?.run();
    Ok(())
}

/// The command line that starts a successor of this process from the same file, whichever binary is there
/// then.
fn successor_of_this(config: Option<&Path>) -> io::Result<Vec<OsString>> {
    let binary = upgrade::this_binary()?.into_os_string();
    let mut command = vec![binary.clone()];
    command.extend(successor::arguments(&binary, config));
    Ok(command)
}
