//! `health`: whether the running gateway takes requests.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{CommandFailure, admin_client};
use crate::admin::{AdminAddress, AdminEndpoint};
use crate::config::{self, Environment};

/// Ask the running gateway whether it takes requests: exit status 0 if it does, else 1.
///
/// Asks `/readyz` of the configuration's admin listener. For health checks of containers that have
/// no shell and no other program.
#[derive(clap::Args, Debug)]
pub struct HealthArgs {
    /// The configuration file of the running gateway; without it GATEWAY_CONFIG, or the
    /// environment alone
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Ask this address and read no configuration; clear text is tried first, then TLS
    #[arg(long, value_name = "ADDRESS", conflicts_with = "config")]
    address: Option<SocketAddr>,
    /// The longest time for the connection, and then for the answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = clap::value_parser!(u64).range(1..=60))]
    timeout: u64,
}

/// Runs the command.
///
/// # Errors
/// [`CommandFailure::Running`] if the gateway does not answer or is not ready.
pub fn run(args: &HealthArgs, environment: &Environment) -> Result<(), CommandFailure> {
    let admin = match args.address {
        Some(address) => AdminEndpoint { address: AdminAddress::Tcp(address), is_tls: false },
        None => {
            config::load_process(args.config.as_deref(), environment)
                .map_err(|problems| CommandFailure::Configuration(problems.to_string()))?
                .admin
        }
    };
    let address = &admin.address;
    let timeout = Duration::from_secs(args.timeout);
    let answer = admin_client::get(&admin, "/readyz", timeout).map_err(|error| {
        CommandFailure::Running(format!("the admin listener at {address} does not answer: {error}"))
    })?;
    let state = answer.body.lines().next().unwrap_or_default();
    match answer.status {
        200 => {
            println!("ready");
            Ok(())
        }
        503 => Err(CommandFailure::Running(format!("not ready: {}", super::show::printable(state)))),
        _ => Err(CommandFailure::Running(format!(
            "what listens at {address} is not the gateway's admin listener"
        ))),
    }
}
