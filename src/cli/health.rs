//! `health`: whether the running gateway takes requests.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use super::Failure;
use crate::config::{self, Environment};

/// Ask the running gateway whether it takes requests: exit status 0 if it does, else 1.
///
/// Asks `/readyz` of the configuration's admin listener. For health checks of containers that have
/// no shell and no other program.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The configuration file of the running gateway; without it GATEWAY_CONFIG, or the
    /// environment alone
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Ask this address and read no configuration
    #[arg(long, value_name = "ADDRESS", conflicts_with = "config")]
    address: Option<SocketAddr>,
    /// How long connecting and the answer may take, each, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = clap::value_parser!(u64).range(1..=60))]
    timeout: u64,
}

/// The largest answer that is read, in bytes.
const MAX_ANSWER: u64 = 4096;

/// Runs the command.
///
/// # Errors
/// [`Failure::Running`] if the gateway does not answer or is not ready.
pub fn run(args: &Args, environment: &Environment) -> Result<(), Failure> {
    let address = match args.address {
        Some(address) => address,
        None => {
            config::load(args.config.as_deref(), environment)
                .map_err(|problems| Failure::Configuration(problems.to_string()))?
                .admin
                .address
        }
    };
    let timeout = Duration::from_secs(args.timeout);
    let answer = ask(reachable(address), timeout).map_err(|error| {
        Failure::Running(format!("the admin listener at {address} does not answer: {error}"))
    })?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let state = body.lines().next().unwrap_or_default();
    match head.split(' ').nth(1) {
        Some("200") => {
            println!("ready");
            Ok(())
        }
        Some("503") => Err(Failure::Running(format!("not ready: {}", super::show::printable(state)))),
        _ => Err(Failure::Running(format!("what listens at {address} is not the gateway's admin listener"))),
    }
}

/// A listener on all addresses is asked on loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn ask(address: SocketAddr, timeout: Duration) -> io::Result<String> {
    let mut connection = TcpStream::connect_timeout(&address, timeout)?;
    connection.set_read_timeout(Some(timeout))?;
    connection.set_write_timeout(Some(timeout))?;
    connection.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    connection.take(MAX_ANSWER).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
