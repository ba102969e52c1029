//! Why the process could not start.

use std::fmt;

/// Why the process could not start.
#[derive(Debug)]
pub enum ServerError {
    /// The configuration cannot be used. The text lists every problem.
    Configuration(String),
    /// The process cannot start for another reason.
    Running(String),
}

impl ServerError {
    pub(super) fn new(what: impl fmt::Display, cause: impl fmt::Display) -> Self {
        Self::Running(format!("{what}: {cause}"))
    }
}

impl From<String> for ServerError {
    fn from(text: String) -> Self {
        Self::Running(text)
    }
}

impl From<&str> for ServerError {
    fn from(text: &str) -> Self {
        Self::Running(text.to_owned())
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(text) | Self::Running(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for ServerError {}
