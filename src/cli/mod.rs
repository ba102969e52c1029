//! The commands.

mod admin_client;
pub mod check;
mod completions;
pub mod demo;
mod health;
pub mod inspect;
mod limits;
mod listeners;
mod man;
mod pin;
mod reload;
mod request;
mod run;
mod running;
mod schema;
mod show;
mod sign;
mod successor;
pub mod token;
mod upgrade;
mod version;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::Environment;
use crate::server::ServerError;

/// Lets only genuine mobile apps, attested by Approov, reach an API.
///
/// Without a command it serves, as `run` does.
#[derive(Debug, Parser)]
#[command(
    name = "approov-gateway",
    version,
    long_version = version::LONG,
    propagate_version = true,
    args_conflicts_with_subcommands = true
)]
#[command(after_help = "\
New here?   approov-gateway demo
From the Cloudflare worker's variables:
            APPROOV_SECRET_BASE64=… API_DOMAIN=api.example.com approov-gateway run

Exit status: 0 fine, 1 failed while running, 2 usage, 78 configuration.")]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: run::RunArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::RunArgs),
    Demo(demo::DemoArgs),
    Check(check::CheckArgs),
    Token(token::TokenArgs),
    Inspect(inspect::InspectArgs),
    Sign(sign::SignArgs),
    Pin(pin::PinArgs),
    Reload(reload::ReloadArgs),
    Upgrade(upgrade::UpgradeArgs),
    Health(health::HealthArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
    Schema(schema::SchemaArgs),
    #[command(hide = true)]
    Launch(successor::Launch),
}

/// Carries out the command.
///
/// # Errors
/// [`CommandFailure`], to be printed and turned into the exit status.
pub fn run(arguments: Arguments) -> Result<(), CommandFailure> {
    let environment = Environment::from_process();
    match arguments.command {
        None => run::run(&arguments.run, environment),
        Some(Command::Run(args)) => run::run(&args, environment),
        Some(Command::Demo(args)) => demo::run(&args),
        Some(Command::Check(args)) => check::run(&args, &environment),
        Some(Command::Token(args)) => token::run(args, &environment),
        Some(Command::Inspect(args)) => inspect::run(args, &environment),
        Some(Command::Sign(args)) => sign::run(&args, &environment),
        Some(Command::Pin(args)) => pin::run(&args),
        Some(Command::Reload(args)) => reload::run(&args, &environment),
        Some(Command::Upgrade(args)) => upgrade::run(&args, &environment),
        Some(Command::Health(args)) => health::run(&args, &environment),
        Some(Command::Completions(args)) => completions::run(&args),
        Some(Command::Man(args)) => man::run(&args),
        Some(Command::Schema(args)) => schema::run(&args),
        Some(Command::Launch(args)) => successor::launch(&args),
    }
}

/// Where a command that reads tokens finds the keys.
#[derive(Clone, Debug, clap::Args)]
pub struct KeySource {
    /// The configuration file; without it GATEWAY_CONFIG, or the environment alone
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The file with the account secret, in base64 or base64url; it replaces all configured keys
    #[arg(long, value_name = "FILE")]
    secret_base64_file: Option<PathBuf>,
}

impl KeySource {
    /// The configuration file and the environment to load from.
    fn resolve(&self, environment: &Environment) -> (Option<&Path>, Environment) {
        let environment = environment.clone();
        let environment = match &self.secret_base64_file {
            Some(file) => environment.with_secret_file(file),
            None => environment,
        };
        (self.config.as_deref(), environment)
    }
}

/// Why a command failed. Each kind has its exit status.
#[derive(Debug)]
pub enum CommandFailure {
    /// The configuration cannot be used: status 78 (`EX_CONFIG`). The text lists every problem.
    Configuration(String),
    /// The command line cannot be used: status 2.
    Usage(String),
    /// Something went wrong while running: status 1.
    Running(String),
}

impl CommandFailure {
    /// The exit status of the process.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            CommandFailure::Configuration(_) => ExitCode::from(78),
            CommandFailure::Usage(_) => ExitCode::from(2),
            CommandFailure::Running(_) => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for CommandFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommandFailure::Configuration(text)
            | CommandFailure::Usage(text)
            | CommandFailure::Running(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for CommandFailure {}

impl From<ServerError> for CommandFailure {
    fn from(error: ServerError) -> Self {
        match error {
            ServerError::Configuration(text) => CommandFailure::Configuration(text),
            ServerError::Running(text) => CommandFailure::Running(text),
        }
    }
}
