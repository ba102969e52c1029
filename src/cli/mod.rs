//! The commands.

pub mod inspect;
pub mod token;

use std::fmt;
use std::process::ExitCode;

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
