//! `reload`: tell the running gateway to load its configuration again, and whether it did.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::running::{Running, Which};
use super::{Failure, upgrade};
use crate::config::Environment;

/// Tell the running gateway to load its configuration again, and say whether it did.
///
/// Validates the configuration first; with a problem nothing is sent. Found by `server.pid_file`,
/// asked over the admin listener. The same as SIGHUP, with an answer.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Where this binary is another than the running one, as after the installation of a new
    /// version, replace the running gateway by it instead, as `upgrade` does
    #[arg(long)]
    or_upgrade: bool,
}

/// How long a reload may take; resolving a new origin's name may take five seconds of it.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often the running gateway is asked.
const POLL: Duration = Duration::from_millis(20);

/// Runs the command.
///
/// # Errors
/// [`Failure::Configuration`] with every problem; [`Failure::Running`] when there is no running
/// gateway, or it did not answer.
pub fn run(args: &Args, environment: &Environment) -> Result<(), Failure> {
    let settings = args.which.settings(environment)?;
    let running = Running::find(&settings)?;
    if args.or_upgrade && running.has_another_binary()? {
        return upgrade::run(&upgrade::Args::to_this_binary(&args.which), environment);
    }
    let admin = settings.admin.address;
    let before = version(admin)?;
    running.signal(Signal::HUP)?;
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let now = version(admin)?;
        if now["config_generation"] != before["config_generation"] {
            println!("process {} reloaded: configuration {}", running.id(), now["config_generation"]);
            return Ok(());
        }
        if now["config_refused"]["at"] != before["config_refused"]["at"] {
            let problems = now["config_refused"]["problems"].as_array().into_iter().flatten();
            let problems: Vec<&str> = problems.filter_map(Value::as_str).collect();
            let problems = problems.join("\n");
            return Err(Failure::Configuration(format!("{problems}\nthe old configuration stays in force")));
        }
        thread::sleep(POLL);
    }
    Err(Failure::Running(format!("process {} did not reload within {PATIENCE:?}", running.id())))
}

/// What the running gateway says of itself.
fn version(admin: SocketAddr) -> Result<Value, Failure> {
    ask(admin).map_err(|error| {
        Failure::Running(format!(
            "the admin listener at {admin} does not answer for the running gateway: {error}"
        ))
    })
}

fn ask(admin: SocketAddr) -> std::io::Result<Value> {
    let mut reached = admin;
    if admin.ip().is_unspecified() {
        let loopback: std::net::IpAddr =
            if admin.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
        reached.set_ip(loopback);
    }
    let mut connection = TcpStream::connect_timeout(&reached, PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.write_all(b"GET /version HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok(serde_json::from_str(body)?)
}
