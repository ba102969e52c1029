//! The arguments of commands that read keys.

use std::path::{Path, PathBuf};

use crate::config::Environment;

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
    pub(super) fn resolve(&self, environment: &Environment) -> (Option<&Path>, Environment) {
        let environment = environment.clone();
        let environment = match &self.secret_base64_file {
            Some(file) => environment.with_secret_file(file),
            None => environment,
        };
        (self.config.as_deref(), environment)
    }
}
