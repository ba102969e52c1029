//! NGINX as an origin that requires a client certificate.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use super::{Reloadable, config, get};
use crate::harness::tls::{Authority, Identity};
use crate::harness::{Folder, Process, eventually, has_program};

/// An NGINX process that listens on a unix socket.
struct Nginx {
    socket: PathBuf,
    _process: Process,
}

impl Nginx {
    fn start(folder: &Folder, origin: &str, clients: &Authority) -> Self {
        let socket = folder.path("nginx.sock");
        let clients = folder.write("clients.pem", &clients.pem);
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .into_iter()
            .map(|kind| format!("{kind}_temp_path {};\n", folder.path(kind).display()))
            .collect();
        let text = format!(
            "daemon off; master_process off; pid {}; error_log stderr;\n\
             events {{}}\n\
             http {{\n{temporary}access_log off; keepalive_timeout 0;\n\
             server {{\n  listen unix:{} ssl;\n  {origin}\n  ssl_client_certificate {clients};\n\
               ssl_verify_client on; ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:sessions:1m;\n\
               location / {{ return 200 \"$ssl_client_verify $ssl_session_reused $ssl_protocol\"; }}\n}}\n}}\n",
            folder.path("nginx.pid").display(),
            socket.display(),
            clients = clients.display(),
        );
        let file = folder.write("nginx.conf", text);
        let process = Process::start(Command::new("nginx").arg("-c").arg(&file).stdin(Stdio::null()));
        eventually("nginx", || std::os::unix::net::UnixStream::connect(&socket).ok());
        Self { socket, _process: process }
    }
}

#[test]
fn nginx_accepts_the_client_certificate_and_resumes_sessions() {
    if !has_program("nginx") {
        return;
    }
    let (servers, clients) = (Authority::named("servers"), Authority::named("clients"));
    let folder = Arc::new(Folder::new());
    let server = Identity::new(&servers, &["api.test"]);
    let (chain, key) = (folder.write("server.pem", &server.chain), folder.write("server.key", &server.key));
    let origin = format!("ssl_certificate {}; ssl_certificate_key {};", chain.display(), key.display());
    let nginx = Nginx::start(&folder, &origin, &clients);
    folder.write("ca.pem", &servers.pem);
    let identity = folder.identity("gateway", &Identity::new(&clients, &["gateway.test"]));
    let tls = |client: &str| {
        let socket = nginx.socket.display();
        config(
            &format!("domain: api.test, addresses: [\"unix:{socket}\"], tls: {{ ca_file: ca.pem{client} }}"),
            "",
        )
    };
    let mut running = Reloadable::start(&folder, &tls(&format!(", client_certificate: {identity}")));
    assert_eq!(running.gateway.ask(&get("/")).text(), "SUCCESS . TLSv1.3");
    for _ in 0..5 {
        assert_eq!(running.gateway.ask(&get("/")).text(), "SUCCESS r TLSv1.3");
    }
    running.reload(&tls(""));
    // NGINX completes the handshake and answers 400 if the certificate is missing.
    assert_eq!(running.gateway.ask(&get("/")).status, 400);
}
