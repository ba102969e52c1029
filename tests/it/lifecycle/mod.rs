//! Start, reload, upgrade and stop of real processes while requests are in progress.

mod activation;
mod commands;
mod container;
mod drain_delay;
mod failed_upgrade;
mod fifo;
mod handed_state;
mod handover;
mod health;
mod logs;
mod or_upgrade;
mod pid_file;
pub mod reload;
mod sessions;
mod stalled_reader;
mod stop;
mod upgrade;
mod user;
mod watch;
mod weaker;

use std::fs;
use std::net::SocketAddr;

use crate::harness::{Client, Exchange, Folder, Gate, Gateway, Origin, Setup, Then, config_before, get};

impl Folder {
    /// A configuration that permits upgrades, on free ports, with `rest`.
    pub fn config(&self, origin: &Origin, rest: &str) -> String {
        format!(
            "server: {{ threads: 2, pid_file: {}, upgrade_sock: {} }}\n\
             listeners: [ {{ address: \"127.0.0.1:0\" }} ]\nadmin: {{ address: \"127.0.0.1:0\" }}\n{}",
            self.path("pid").display(),
            self.path("sock").display(),
            config_before(origin, rest),
        )
    }

    /// The configuration of a successor: it has the ports of `gateway`.
    fn config_like(&self, gateway: &Gateway, origin: &Origin, rest: &str) -> String {
        let config = self.config(origin, rest);
        let config = config.replacen("127.0.0.1:0", &gateway.address().to_string(), 1);
        config.replacen("127.0.0.1:0", &gateway.admin_address().to_string(), 1)
    }

    /// A gateway that is configured by the file `name` alone.
    fn setup(&self, name: &str, arguments: &[&str]) -> Setup {
        let path = self.path(name);
        Setup::bare()
            .without("GATEWAY_LISTEN")
            .without("GATEWAY_ADMIN_LISTEN")
            .without("GATEWAY_THREADS")
            .arguments(arguments)
            .arguments(&["-c", path.to_str().unwrap()])
    }

    /// Starts a gateway with this configuration.
    pub fn start(&self, config: &str) -> Gateway {
        self.write("gateway.yaml", config);
        self.setup("gateway.yaml", &["run"]).start()
    }

    fn pid(&self) -> u32 {
        fs::read_to_string(self.path("pid")).unwrap().trim().parse().unwrap()
    }
}

/// An origin that answers each request with its target.
///
/// `/slow…` waits at the gate first. `/download` waits at the gate after half of the body.
/// `/tunnel` accepts an upgrade and sends back every byte.
fn gated(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::scripted(move |exchange| respond(exchange, &gate))
}

/// Half of the bytes of `/download`.
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

/// Asserts that a request on this connection is answered with its target.
fn assert_echoes(client: &mut Client, target: &str) {
    let response = client.ask(&get(target));
    assert_eq!((response.status, response.text().as_str()), (200, target));
}

/// Starts a download and reads its first half.
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
