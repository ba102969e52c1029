//! Why a command failed, and its exit status.

use std::fmt;
use std::process::ExitCode;

use crate::server::ServerError;

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
