//! Reload, upgrade and stop, with real processes and requests under way.

mod activation;
mod commands;
mod container;
mod fifo;
mod handover;
mod health;
mod logs;
pub mod reload;
mod sessions;
mod stop;
mod upgrade;
mod user;
mod watch;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::harness::{Client, Exchange, Gate, Gateway, Message, Origin, Setup, Then, config_before, tokens};

/// A private folder for a configuration, a pid file and the socket of upgrades. In the system's
/// folder for temporary files, for the path of a socket must be short.
pub struct Place(PathBuf);

impl Place {
    pub fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("approov-it-{}-{number}", std::process::id()));
        fs::DirBuilder::new().mode(0o700).create(&folder).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    /// The beginning of a configuration of which another process can take over, on free ports.
    pub fn config(&self, origin: &Origin, rest: &str) -> String {
        format!(
            "server: {{ threads: 2, pid_file: {}, upgrade_sock: {} }}\n\
             listeners: [ {{ address: \"127.0.0.1:0\" }} ]\nadmin: {{ address: \"127.0.0.1:0\" }}\n{}",
            self.path("pid").display(),
            self.path("sock").display(),
            config_before(origin, rest),
        )
    }

    /// The same on the ports that `gateway` has got.
    fn config_like(&self, gateway: &Gateway, origin: &Origin, rest: &str) -> String {
        let config = self.config(origin, rest);
        let config = config.replacen("127.0.0.1:0", &gateway.address().to_string(), 1);
        config.replacen("127.0.0.1:0", &gateway.admin_address().to_string(), 1)
    }

    /// To be started with the configuration `name`, as it is.
    fn setup(&self, name: &str, arguments: &[&str]) -> Setup {
        let path = self.path(name);
        Setup::bare()
            .without("GATEWAY_LISTEN")
            .without("GATEWAY_ADMIN_LISTEN")
            .without("GATEWAY_THREADS")
            .arguments(arguments)
            .arguments(&["-c", path.to_str().unwrap()])
    }

    /// A gateway with this configuration.
    pub fn start(&self, config: &str) -> Gateway {
        self.write("gateway.yaml", config);
        self.setup("gateway.yaml", &["run"]).start()
    }

    fn pid(&self) -> u32 {
        fs::read_to_string(self.path("pid")).unwrap().trim().parse().unwrap()
    }
}

/// Whether this runs as root, without which a test cannot be done; says so where it is not.
fn is_root(test: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("{test}: left out, since it needs root");
    }
    is_root
}

/// Whether there is a program of this name; says so where there is none.
fn is_there(program: &str, test: &str) -> bool {
    let found = std::process::Command::new(program).arg("--version").output().is_ok();
    if !found {
        eprintln!("{test}: left out, since it needs {program}");
    }
    found
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl AsRef<Path> for Place {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

/// An origin that answers with what was asked for: `/slow…` behind the gate, `/download` half
/// before it and half behind it, `/tunnel` with an echo.
fn gated(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::scripted(move |exchange| respond(exchange, &gate))
}

/// Half of the slow download.
const HALF: usize = 300_000;

fn respond(exchange: &mut Exchange<'_>, gate: &Gate) -> std::io::Result<Then> {
    let target = exchange.request.target.clone();
    if target.starts_with("/tunnel") {
        exchange.switch_protocols()?;
        return exchange.echo();
    }
    exchange.body()?;
    if target.starts_with("/download") {
        exchange.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 2 * HALF))?;
        exchange.send("a".repeat(HALF))?;
        gate.pass();
        exchange.send("b".repeat(HALF))?;
        return Ok(Then::KeepAlive);
    }
    if target.starts_with("/slow") {
        gate.pass();
    }
    exchange.answer("200 OK", &target)
}

fn get(target: &str) -> Message {
    Message::get(target).token(&tokens::valid())
}

/// A request on this connection is answered with its target.
fn assert_echoes(client: &mut Client, target: &str) {
    let response = client.ask(&get(target));
    assert_eq!((response.status, response.text().as_str()), (200, target));
}

/// The first half of a download has come.
fn begin_download(address: SocketAddr) -> Client {
    let mut client = Client::connect(address);
    client.send(get("/download").bytes());
    assert_eq!(client.head().status, 200);
    assert_eq!(client.exactly(HALF), vec![b'a'; HALF]);
    client
}

fn end_download(mut client: Client) {
    assert_eq!(client.exactly(HALF), vec![b'b'; HALF]);
}

fn begin_tunnel(address: SocketAddr) -> Client {
    let mut client = Client::connect(address);
    assert_eq!(client.ask(&get("/tunnel").websocket()).status, 101);
    assert_tunnel(&mut client, "before");
    client
}

fn assert_tunnel(client: &mut Client, text: &str) {
    client.send(text);
    assert_eq!(client.exactly(text.len()), text.as_bytes());
}
