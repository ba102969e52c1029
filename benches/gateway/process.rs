//! A process on a core of its own, and what it has used.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::usage;

/// A server process; killed when dropped.
pub struct Process {
    child: Child,
    address: SocketAddr,
}

const PROXY_CORE: &str = "0";
const LOAD_CORE: &str = "1";

impl Process {
    pub fn origin() -> Self {
        // The load runs in this process: pin it beside the origin.
        let this = std::process::id().to_string();
        let pinned = Command::new("taskset").args(["-cp", LOAD_CORE, &this]).stdout(Stdio::null()).status();
        if !pinned.is_ok_and(|status| status.success()) {
            eprintln!("taskset is missing or refused: nothing is pinned, expect more noise");
        }
        Self::this_program(LOAD_CORE, &["--role-origin"])
    }

    pub fn bare(origin: &Process) -> Self {
        Self::this_program(PROXY_CORE, &["--role-bare", &origin.address.to_string()])
    }

    pub fn gateway(origin: &Process, secret: &str) -> Self {
        let mut command = pinned(PROXY_CORE, env!("CARGO_BIN_EXE_approov-gateway"));
        command
            .arg("run")
            .env("APPROOV_SECRET_BASE64", secret)
            .env("API_DOMAIN", format!("http://{}", origin.address))
            .env("APPROOV_VERIFICATION_STRATEGY", "token-binding")
            .env("GATEWAY_LISTEN", "127.0.0.1:0")
            .env("GATEWAY_ADMIN_LISTEN", "127.0.0.1:0")
            .env("GATEWAY_THREADS", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the gateway starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.split_once("listening on http://")?.1.parse().ok())
            .expect("the gateway says where it listens");
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    fn this_program(core: &str, arguments: &[&str]) -> Self {
        let program = std::env::current_exe().expect("this program has a path");
        let mut command = pinned(core, &program.to_string_lossy());
        let mut child = command.args(arguments).stdout(Stdio::piped()).spawn().expect("this program starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        Self { address: line.trim().parse().expect("the line is an address"), child }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// User and system time of all its threads since it started.
    pub fn cpu(&self) -> Duration {
        usage::cpu(self.child.id())
    }

    pub fn resident_kib(&self) -> u64 {
        usage::resident_kib(self.child.id())
    }
}

/// `program` on one core, if taskset is there.
fn pinned(core: &str, program: &str) -> Command {
    if Command::new("taskset").arg("--version").stdout(Stdio::null()).status().is_ok() {
        let mut command = Command::new("taskset");
        command.args(["-c", core, program]);
        command
    } else {
        Command::new(program)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
