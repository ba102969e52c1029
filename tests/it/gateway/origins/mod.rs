//! Origins: several addresses, health, retries, timeouts, TLS, client certificates, HTTP/2.

mod balancing;
mod capacity;
mod dns;
mod encryption;
mod failover;
mod health;
mod http2;
mod kept_connections;
mod keys;
mod lock;
mod nginx;
mod retries;
mod timeouts;
mod unix_sockets;

use std::path::PathBuf;
use std::sync::Arc;

use crate::harness::{Folder, Gateway, Message, Origin, Setup, Then, get, tokens};

fn post(target: &str) -> Message {
    Message::post(target, "body").token(&tokens::valid())
}

/// A configuration with one origin named `api` that has these settings, and `rest`.
fn config(origin: &str, rest: &str) -> String {
    format!(
        "approov:\n  keys: [ {{ algorithm: HS256, secret_base64: \"{}\" }} ]\n\
         origins:\n  api: {{ {origin} }}\n{rest}",
        tokens::SECRET_BASE64,
    )
}

/// A gateway with this origin.
fn gateway(origin: &str) -> Gateway {
    Setup::bare().config(&config(origin, "")).start()
}

/// The settings of an origin with these addresses.
fn at(origins: &[&Origin]) -> String {
    let addresses: Vec<_> = origins.iter().map(|origin| format!("\"127.0.0.1:{}\"", origin.port())).collect();
    format!("domain: \"http://api.test\", addresses: [{}]", addresses.join(", "))
}

/// An origin that answers every request with this body.
fn saying(body: &'static str) -> Origin {
    Origin::scripted(move |exchange| {
        exchange.body()?;
        exchange.answer("200 OK", body)
    })
}

/// An origin that resets the connection for every request except those to `/honest`.
fn resetting() -> Origin {
    Origin::troubled(|exchange| {
        exchange.body()?;
        Ok(Then::Reset)
    })
}

/// The sum of a counter of the origin `api`.
fn counted(gateway: &Gateway, name: &str, labels: &[(&str, &str)]) -> f64 {
    gateway.metrics().sum(&format!("approov_gateway_upstream_{name}"), labels)
}

/// A gateway whose configuration can be changed while it runs.
struct Reloadable {
    gateway: Gateway,
    folder: Arc<Folder>,
    generation: usize,
}

impl Reloadable {
    fn start(folder: &Arc<Folder>, config: &str) -> Self {
        let file = Self::write(folder, config);
        let setup = Setup::bare().env("GATEWAY_THREADS", "2").arguments(&["run", "-c"]);
        let gateway = setup.arguments(&[file.to_str().unwrap()]).start();
        Self { gateway, folder: Arc::clone(folder), generation: 1 }
    }

    fn write(folder: &Folder, config: &str) -> PathBuf {
        folder.write("gateway.yaml", config)
    }

    /// Loads this configuration and the files that it names.
    fn reload(&mut self, config: &str) {
        Self::write(&self.folder, config);
        self.generation += 1;
        self.gateway.signal("HUP");
        self.gateway.wait_for_message(&format!("configuration reloaded, generation {}", self.generation));
    }
}
