//! The admin listener: unix socket, token, listener for probes, names.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::tls::serving::connect;
use super::tls::wire::Client as Trust;
use crate::harness::tls::{Authority, Identity};
use crate::harness::{Client, Folder, Gateway, Message, Origin, Setup, config_before, eventually};

/// A token for changes.
const TOKEN: &str = "an-admin-token-of-32-characters!";

/// A gateway with these lines of `admin`, and whatever is needed besides.
fn start(folder: &Folder, origin: &Origin, admin: &str) -> Gateway {
    let config = config_before(
        origin,
        &format!("listeners: [ {{ address: \"127.0.0.1:0\" }} ]\nadmin: {{ {admin} }}\n"),
    );
    let path = folder.write("gateway.yaml", config);
    Setup::bare()
        .without("GATEWAY_LISTEN")
        .without("GATEWAY_ADMIN_LISTEN")
        .arguments(&["run", "-c", path.to_str().unwrap()])
        .launch()
}

/// Sends one request over the unix socket and returns the whole response.
fn ask_unix(socket: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    write!(stream, "{request} HTTP/1.1\r\nHost: any.name\r\nConnection: close\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

fn delete(gateway: &Gateway, fields: &[(&str, &str)]) -> u16 {
    let mut message = Message::new("DELETE", "/offenders").host("localhost").field("Connection", "close");
    for (name, value) in fields {
        message = message.field(name, value);
    }
    Client::connect(gateway.admin_address()).ask(&message).status
}

#[test]
fn unix_socket_is_private_and_may_change_things_without_a_token() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let socket = folder.path("admin.sock");
    folder.write("token", TOKEN);
    let admin = format!("address: \"unix:{}\", token_file: token", socket.display());
    let mut gateway = start(&folder, &origin, &admin);
    gateway.wait_for_message("admin on unix:");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(ask_unix(&socket, "GET /readyz").starts_with("HTTP/1.1 200 "));
    assert!(ask_unix(&socket, "GET /version").contains("\"pid\""));
    assert!(ask_unix(&socket, "DELETE /offenders").starts_with("HTTP/1.1 200 "));
    // Commands find the gateway there.
    let health = Setup::bare()
        .without("GATEWAY_ADMIN_LISTEN")
        .arguments(&["health", "-c", folder.path("gateway.yaml").to_str().unwrap()])
        .run_to_exit();
    assert_eq!(health.status.code(), Some(0), "{}", health.stderr);
    // The path of a running gateway is taken, and is left to no other.
    let mut second = start(&folder, &origin, &admin);
    assert_eq!(second.wait_for_exit().code(), Some(1));
    second.wait_for_message("another process listens there");
    assert!(ask_unix(&socket, "GET /livez").starts_with("HTTP/1.1 200 "));
    gateway.signal("TERM");
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
    assert!(!socket.exists());
    // A socket that a killed process has left behind is no obstacle.
    let mut killed = start(&folder, &origin, &admin);
    killed.wait_for_message("admin on unix:");
    killed.signal("KILL");
    killed.wait_for_exit();
    assert!(socket.exists());
    let next = start(&folder, &origin, &admin);
    next.wait_for_message("admin on unix:");
    assert!(ask_unix(&socket, "GET /livez").starts_with("HTTP/1.1 200 "));
}

#[test]
fn token_is_asked_for_with_every_change() {
    let (folder, origin) = (Folder::new(), Origin::new());
    folder.write("token", format!("{TOKEN}\n"));
    let mut gateway = start(&folder, &origin, "address: \"127.0.0.1:0\", token_file: token");
    gateway.wait_until_listening();
    assert_eq!(gateway.admin("/version").status, 200);
    assert_eq!(delete(&gateway, &[]), 401);
    assert_eq!(delete(&gateway, &[("Authorization", "Bearer wrong-token-of-32-characters!!!!")]), 401);
    assert_eq!(delete(&gateway, &[("Authorization", TOKEN)]), 401);
    let right = format!("Bearer {TOKEN}");
    assert_eq!(delete(&gateway, &[("Authorization", &right)]), 200);
    assert_eq!(delete(&gateway, &[("Authorization", &right), ("Origin", "https://evil.example")]), 403);
    // A reload takes another token.
    let next = "another-token-of-32-characters!!";
    folder.write("token", next);
    gateway.signal("HUP");
    let next = format!("Bearer {next}");
    eventually("the next token", || (delete(&gateway, &[("Authorization", &next)]) == 200).then_some(()));
    assert_eq!(delete(&gateway, &[("Authorization", &right)]), 401);
    let log = String::from_utf8(gateway.stderr()).unwrap();
    assert!(!log.contains(TOKEN), "{log}");
}

#[test]
fn with_a_certificate_the_listener_speaks_tls_only() {
    let (folder, origin, authority) = (Folder::new(), Origin::new(), Authority::new());
    let entry = folder.identity("admin", &Identity::new(&authority, &["localhost"]));
    let mut gateway = start(&folder, &origin, &format!("address: \"127.0.0.1:0\", tls: {entry}"));
    gateway.wait_until_listening();
    gateway.wait_for_message("admin on https://");
    let address = gateway.admin_address();
    let trust = Trust::trusting(&authority).build();
    let ask = |method: &str, path: &str, origin: &str| {
        let message = Message::new(method, path).host("localhost").field("Origin", origin);
        connect(address, &trust, "localhost").ask(&message.field("Connection", "close"))
    };
    let metrics = ask("GET", "/metrics", "https://localhost").text();
    assert!(metrics.contains("approov_gateway_certificate_expiry_timestamp_seconds{"), "{metrics}");
    assert_eq!(ask("DELETE", "/offenders", "https://localhost").status, 200);
    assert_eq!(ask("DELETE", "/offenders", "http://localhost").status, 403, "a page in clear text");
    let mut plain = Client::connect(address);
    plain.send(Message::get("/metrics").host("localhost").bytes());
    assert!(!plain.read_to_end().starts_with(b"HTTP/"), "no answer in clear text");
    // The command asks over TLS, too.
    let health = Setup::bare()
        .env("GATEWAY_ADMIN_LISTEN", &address.to_string())
        .arguments(&["health", "-c", folder.path("gateway.yaml").to_str().unwrap()])
        .run_to_exit();
    assert_eq!(health.status.code(), Some(0), "{}", health.stderr);
    // A reload takes another certificate.
    let next = Authority::new();
    folder.identity("admin", &Identity::new(&next, &["localhost"]));
    gateway.signal("HUP");
    let next = Trust::trusting(&next).build();
    eventually("the next certificate", || {
        Client::try_connect_tls(address, next.clone(), "localhost", b"").ok().map(drop)
    });
}

#[test]
fn health_listener_answers_probes_and_nothing_else() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let mut gateway = start(&folder, &origin, "address: \"127.0.0.1:0\", health_address: \"127.0.0.1:0\"");
    gateway.wait_until_listening();
    gateway.wait_for_message("health on http://");
    let log = String::from_utf8(gateway.stderr()).unwrap();
    let address = log.split("health on http://").nth(1).unwrap().lines().next().unwrap();
    let ask = |method: &str, path: &str, host: &str| {
        let message = Message::new(method, path).host(host).field("Connection", "close");
        Client::connect(address.parse().unwrap()).ask(&message)
    };
    for path in ["/livez", "/readyz", "/healthz"] {
        // Probes ask by whatever name they know.
        assert_eq!(ask("GET", path, "probe.example").status, 200, "{path}");
        assert_eq!(ask("DELETE", path, "probe.example").status, 405, "{path}");
    }
    for path in ["/", "/metrics", "/version", "/offenders", "/status.json", "/livez/"] {
        let answer = ask("GET", path, "localhost");
        assert_eq!((answer.status, answer.text().as_str()), (404, "not found\n"), "{path}");
    }
    assert_eq!(ask("DELETE", "/offenders", "localhost").status, 405);
}

#[test]
fn configured_names_are_taken() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let mut gateway = start(&folder, &origin, "address: \"127.0.0.1:0\", names: [ gateway.internal ]");
    gateway.wait_until_listening();
    let ask = |host: &str| {
        let message = Message::get("/metrics").host(host).field("Connection", "close");
        Client::connect(gateway.admin_address()).ask(&message).status
    };
    assert_eq!((ask("gateway.internal:8788"), ask("other.internal:8788")), (200, 421));
}

#[test]
fn log_level_changes_for_a_while_and_returns() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let mut gateway = start(&folder, &origin, "address: \"127.0.0.1:0\"");
    gateway.wait_until_listening();
    let ask = |method: &str, path: &str| {
        let message = Message::new(method, path).host("localhost").field("Connection", "close");
        Client::connect(gateway.admin_address()).ask(&message)
    };
    assert_eq!(ask("GET", "/log-level").text(), "{\"configured\":\"info\",\"level\":\"info\"}\n");
    for query in ["", "?level=verbose", "?level=debug&seconds=99999"] {
        assert_eq!(ask("PUT", &format!("/log-level{query}")).status, 400, "{query}");
    }
    assert_eq!(ask("PUT", "/log-level?level=debug&seconds=5").status, 200);
    gateway.wait_for_message("audit: log level debug for 5 s, set by 127.0.0.1:");
    assert_eq!(ask("GET", "/log-level").text(), "{\"configured\":\"info\",\"level\":\"debug\"}\n");
    gateway.wait_for_message("audit: log level info again");
    assert_eq!(ask("GET", "/log-level").text(), "{\"configured\":\"info\",\"level\":\"info\"}\n");
    assert_eq!(ask("DELETE", "/log-level").status, 405);
}

#[test]
fn log_level_is_configured_and_checked() {
    let origin = Origin::new();
    let debug = Setup::before(&origin).env("GATEWAY_LOG_LEVEL", "debug").start();
    let level = debug.admin("/log-level").text();
    assert_eq!(level, "{\"configured\":\"debug\",\"level\":\"debug\"}\n");
    let wrong = Setup::before(&origin).env("GATEWAY_LOG_LEVEL", "loud").arguments(&["check"]).run_to_exit();
    assert_eq!(wrong.status.code(), Some(78));
    assert!(wrong.stderr.contains("GATEWAY_LOG_LEVEL: `loud` is not known"), "{}", wrong.stderr);
}
