//! `reload`: tell the running gateway to load its configuration again, and report the result.

use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::running::{RunningGateway, Which};
use super::{CommandFailure, admin_client, upgrade};
use crate::admin::AdminEndpoint;
use crate::clock;
use crate::config::Environment;

/// Tell the running gateway to load its configuration again, and report the result.
///
/// Finds the gateway by `server.pid_file` and asks its admin listener for the result. The same as
/// SIGHUP, with an answer. Reads no key and no certificate: the running gateway validates them, and
/// keeps the old configuration if there is a problem.
#[derive(clap::Args, Debug)]
pub struct ReloadArgs {
    #[command(flatten)]
    which: Which,
    /// Upgrade instead, if the running gateway has another binary than this command, for example after
    /// a new version was installed. The gateway starts its successor from the file that it was started
    /// from, and hands over
    #[arg(long)]
    or_upgrade: bool,
}

/// How long a reload may take. Reading the files may take ten seconds, and resolving the name of a
/// new origin another five.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often the running gateway is asked.
const POLL: Duration = Duration::from_millis(20);

/// Runs the command.
///
/// # Errors
/// [`CommandFailure::Configuration`] with every problem; [`CommandFailure::Running`] if no gateway runs, or it did
/// not answer.
pub fn run(args: &ReloadArgs, environment: &Environment) -> Result<(), CommandFailure> {
    let settings = args.which.settings(environment)?;
    let running = RunningGateway::find(&settings)?;
    let admin = &settings.admin;
    let before = version(admin, running);
    if args.or_upgrade {
        let executable = before.as_ref().ok().and_then(|version| version["executable"].as_str());
        if running.has_another_binary(executable)? {
            return upgrade::by_running_gateway(running, &settings);
        }
    }
    let before = before?;
    running.signal(Signal::HUP)?;
    let deadline = clock::now() + PATIENCE;
    while clock::now() < deadline {
        let now = version(admin, running)?;
        if now["config_generation"] != before["config_generation"] {
            println!("process {} reloaded: configuration {}", running.id(), now["config_generation"]);
            let unapplied = now["config_unapplied"].as_array().into_iter().flatten();
            unapplied.filter_map(Value::as_str).for_each(|sentence| println!("{sentence}"));
            return Ok(());
        }
        if now["config_refused"]["at"] != before["config_refused"]["at"] {
            let problems = now["config_refused"]["problems"].as_array().into_iter().flatten();
            let problems: Vec<&str> = problems.filter_map(Value::as_str).collect();
            let problems = problems.join("\n");
            return Err(CommandFailure::Configuration(format!(
                "{problems}\nthe old configuration stays in force"
            )));
        }
        thread::sleep(POLL);
    }
    Err(CommandFailure::Running(format!("process {} did not reload within {PATIENCE:?}", running.id())))
}

/// What the running gateway says about itself.
fn version(admin: &AdminEndpoint, running: RunningGateway) -> Result<Value, CommandFailure> {
    let answer = admin_client::get(admin, "/version", PATIENCE);
    let address = &admin.address;
    let answer = answer.and_then(|answer| Ok(serde_json::from_str::<Value>(&answer.body)?));
    let version = answer.map_err(|error| {
        CommandFailure::Running(format!(
            "the admin listener at {address} does not answer for the running gateway: {error}"
        ))
    })?;
    if version["pid"] != running.id() {
        return Err(CommandFailure::Running(format!(
            "the admin listener at {address} is that of process {}, not of process {} in the pid file",
            version["pid"],
            running.id()
        )));
    }
    Ok(version)
}
