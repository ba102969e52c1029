//! NGINX as an origin over TLS that lets nobody in without a certificate, where it is installed.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use super::{Reloadable, config, get};
use crate::gateway::tls::{Folder, Identity};
use crate::harness::eventually;
use crate::harness::tls::Authority;

/// A server at a unix socket, stopped at the end of the test.
struct Nginx {
    child: Child,
    socket: PathBuf,
}

impl Nginx {
    /// None where it is not installed.
    fn start(folder: &Folder, origin: &str, clients: &Authority) -> Option<Self> {
        Command::new("nginx").arg("-v").stderr(Stdio::null()).status().ok()?;
        // The path of a socket must be short.
        let socket = std::env::temp_dir().join(format!("approov-it-nginx-{}.sock", std::process::id()));
        let clients = folder.write("clients.pem", &clients.pem);
        let place = clients.parent().unwrap();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .into_iter()
            .map(|kind| format!("{kind}_temp_path {};\n", place.join(kind).display()))
            .collect();
        let text = format!(
            "daemon off; master_process off; pid {place}/nginx.pid; error_log stderr;\n\
             events {{}}\n\
             http {{\n{temporary}access_log off; keepalive_timeout 0;\n\
             server {{\n  listen unix:{} ssl;\n  {origin}\n  ssl_client_certificate {clients};\n\
               ssl_verify_client on; ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:sessions:1m;\n\
               location / {{ return 200 \"$ssl_client_verify $ssl_session_reused $ssl_protocol\"; }}\n}}\n}}\n",
            socket.display(),
            place = place.display(),
            clients = clients.display(),
        );
        let file = folder.write("nginx.conf", text);
        let child = Command::new("nginx").arg("-c").arg(&file).stdout(Stdio::null()).spawn().unwrap();
        let nginx = Self { child, socket };
        eventually("nginx", || std::os::unix::net::UnixStream::connect(&nginx.socket).ok());
        Some(nginx)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.socket);
    }
}

#[test]
fn nginx_lets_the_gateway_in_and_resumes_its_sessions() {
    let (servers, clients) = (Authority::named("servers"), Authority::named("clients"));
    let folder = Arc::new(Folder::new());
    let server = Identity::new(&servers, &["api.test"]);
    let (chain, key) = (folder.write("server.pem", &server.chain), folder.write("server.key", &server.key));
    let origin = format!("ssl_certificate {}; ssl_certificate_key {};", chain.display(), key.display());
    let Some(nginx) = Nginx::start(&folder, &origin, &clients) else {
        eprintln!("nginx is not installed: nothing was tried");
        return;
    };
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
    // NGINX tells over HTTP that a certificate is missing.
    assert_eq!(running.gateway.ask(&get("/")).status, 400);
}
