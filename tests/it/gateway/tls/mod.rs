//! TLS on the listeners: files, handshakes, and connections of real clients.

mod certificate_routes;
mod client_certificates;
mod configuration;
mod handshakes;
mod pins;
mod refused_certificates;
mod reload;
mod resumption;
pub mod serving;
mod trusted;
pub mod wire;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use approov_gateway::config::{Environment, Settings, load};
use approov_gateway::tls::Tickets;
use rustls::ServerConfig;

use crate::harness::Folder;
use crate::harness::tls::Identity;
use crate::harness::tokens::SECRET_BASE64;

impl Folder {
    /// Loads a configuration with one listener that has this `tls`, and `rest`.
    pub fn load(&self, tls: &str, rest: &str) -> Result<Settings, String> {
        let yaml = format!("listeners: [ {{ address: \"127.0.0.1:0\", tls: {{ {tls} }} }} ]\n{rest}");
        let file = self.write("gateway.yaml", yaml);
        let environment = [("APPROOV_SECRET_BASE64", SECRET_BASE64), ("API_DOMAIN", "api.example.com")];
        let loaded = load(Some(&file), &Environment::from_pairs(environment));
        loaded.map_err(|problems| self.without_path(&problems.to_string()))
    }

    /// The server configuration that rustls gets.
    pub fn server(&self, tls: &str, tickets: &Tickets) -> Arc<ServerConfig> {
        let settings = self.load(tls, "").unwrap_or_else(|problems| panic!("{problems}"));
        let tls = settings.listeners[0].tls.as_ref().expect("tls was configured");
        tls.server_config(tickets).unwrap()
    }

    /// The warnings about a configuration that loads.
    pub fn warnings(&self, tls: &str, rest: &str) -> String {
        let settings = self.load(tls, rest).unwrap_or_else(|problems| panic!("{problems}"));
        let lines: Vec<_> = settings.warnings.iter().map(ToString::to_string).collect();
        self.without_path(&lines.join("\n"))
    }
}

/// New ticket keys, as a process makes them at its start.
pub fn tickets() -> Tickets {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Tickets::new(now.as_secs()).unwrap()
}

/// The `certificates` entry of a configuration.
pub fn certificates(list: &[String]) -> String {
    format!("certificates: [ {} ]", list.join(", "))
}

/// Bytes in PEM.
pub fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    let base64 = base64::engine::general_purpose::STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in base64.as_bytes().chunks(64) {
        let _ = writeln!(text, "{}", std::str::from_utf8(line).unwrap());
    }
    text + &format!("-----END {label}-----\n")
}
