//! What is compared, and how those are set up that are no part of this bench.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use super::Case;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The gateway itself, whole.
    Gateway,
    Haproxy,
    Nginx,
    Openssl,
    /// The gateway's configuration of rustls, and nothing else of it.
    Ours,
    /// The same with this many tickets in place of two.
    OursWithTickets(usize),
    Ring,
}

impl Kind {
    pub const ALL: [Kind; 8] = [
        Kind::Gateway,
        Kind::Haproxy,
        Kind::Nginx,
        Kind::Openssl,
        Kind::Ours,
        Kind::OursWithTickets(1),
        Kind::OursWithTickets(4),
        Kind::Ring,
    ];

    pub fn name(self) -> String {
        match self {
            Kind::Gateway => "the gateway".to_owned(),
            Kind::Haproxy => "haproxy".to_owned(),
            Kind::Nginx => "nginx".to_owned(),
            Kind::Openssl => "openssl s_server".to_owned(),
            Kind::Ours => "rustls, AWS-LC".to_owned(),
            Kind::OursWithTickets(1) => "rustls, AWS-LC, 1 ticket".to_owned(),
            Kind::OursWithTickets(count) => format!("rustls, AWS-LC, {count} tickets"),
            Kind::Ring => "rustls, ring".to_owned(),
        }
    }

    /// Whether it can do what the case asks for, and the case has anything to say about it.
    pub fn can(self, case: Case) -> bool {
        let is_hybrid = case.group != "X25519";
        match self {
            Kind::Gateway | Kind::Ours => true,
            Kind::OursWithTickets(_) => case.key == "ecdsa" && case.version == "1.3" && !is_hybrid,
            Kind::Ring => !is_hybrid,
            Kind::Haproxy | Kind::Openssl | Kind::Nginx => !is_hybrid || openssl_is_hybrid(),
        }
    }

    pub fn is_installed(self) -> bool {
        let (program, argument) = match self {
            Kind::Gateway | Kind::Ours | Kind::OursWithTickets(_) | Kind::Ring => return true,
            Kind::Haproxy => ("haproxy", "-v"),
            Kind::Nginx => ("nginx", "-v"),
            Kind::Openssl => ("openssl", "version"),
        };
        let asked = Command::new(program).arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    }

    /// What this program is told to serve as.
    pub fn argument(self) -> String {
        match self {
            Kind::Ours => "ours".to_owned(),
            Kind::OursWithTickets(count) => count.to_string(),
            Kind::Ring | Kind::Gateway | Kind::Haproxy | Kind::Nginx | Kind::Openssl => "ring".to_owned(),
        }
    }
}

/// OpenSSL has the hybrid group since 3.5.
fn openssl_is_hybrid() -> bool {
    let version = Command::new("openssl").arg("version").output();
    version.is_ok_and(|output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut parts = text.split([' ', '.']).skip(1).map_while(|part| part.parse::<u32>().ok());
        (parts.next(), parts.next()) >= (Some(3), Some(5))
    })
}

/// It refuses every request, so that it answers by itself as the others do.
pub fn gateway(address: SocketAddr, chain: &str, key: &str) -> String {
    let secret = "c2VjcmV0IGZvciBhIGJlbmNoIHRoYXQgdmVyaWZpZXMgbm90aGluZyBhdCBhbGw=";
    format!(
        "server: {{ threads: 1 }}\n\
         listeners:\n\
         \x20 - address: {address}\n\
         \x20   tls: {{ certificates: [ {{ certificate_file: {chain}, private_key_file: {key} }} ] }}\n\
         admin: {{ address: \"127.0.0.1:0\" }}\n\
         approov: {{ keys: [ {{ secret_base64: \"{secret}\" }} ] }}\n\
         origins: {{ nobody: {{ domain: \"http://127.0.0.1:9\" }} }}\n\
         routes: [ {{ path: /, policy: deny }} ]\n\
         log: {{ access: off }}\n"
    )
}

pub fn haproxy(address: SocketAddr, case: Case, both: &str) -> String {
    let Case { version, group, .. } = case;
    format!(
        "global\n\
         \x20   nbthread 1\n\
         defaults\n\
         \x20   mode http\n\
         \x20   timeout client 5s\n\
         frontend edge\n\
         \x20   bind {address} ssl crt {both} ssl-min-ver TLSv{version} ssl-max-ver TLSv{version} curves {group}\n\
         \x20   http-request return status 200 content-type text/plain string x\n"
    )
}

pub fn nginx(address: SocketAddr, case: Case, chain: &str, key: &str, folder: &Path) -> String {
    let folder = folder.display();
    let Case { version, group, .. } = case;
    format!(
        "daemon off; master_process off; pid {folder}/nginx-{port}.pid; events {{ }}\n\
         http {{ access_log off; keepalive_timeout 0; client_body_temp_path {folder};\n\
         proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder};\n\
         scgi_temp_path {folder};\n\
         server {{ listen {address} ssl; ssl_certificate {chain}; ssl_certificate_key {key};\n\
         ssl_protocols TLSv{version}; ssl_ecdh_curve {group}; ssl_session_cache off;\n\
         ssl_session_tickets on; location / {{ return 200 x; }} }} }}\n",
        port = address.port(),
    )
}
