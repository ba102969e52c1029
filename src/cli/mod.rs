//! The commands.

pub mod demo;
pub mod token;

use std::fmt;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Lets only genuine mobile apps, attested by Approov, reach an API.
#[derive(Debug, Parser)]
#[command(name = "approov-gateway", version, propagate_version = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
}

/// Carries out the command.
///
/// # Errors
/// [`Failure`], to be printed and turned into the exit status.
pub fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        Some(Command::Demo(args)) => demo::run(&args),
        None => Err(Failure::Usage("not yet".into())),
    }
}

/// Why a command failed. Each kind has its exit status.
#[derive(Debug)]
pub enum Failure {
    /// The configuration cannot be used: status 78 (`EX_CONFIG`). The text lists every problem.
    Configuration(String),
    /// The command line cannot be used: status 2.
    Usage(String),
    /// Something went wrong while running: status 1.
    Running(String),
}

impl Failure {
    /// The exit status of the process.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Failure::Configuration(_) => ExitCode::from(78),
            Failure::Usage(_) => ExitCode::from(2),
            Failure::Running(_) => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Configuration(text) | Failure::Usage(text) | Failure::Running(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Failure {}
