//! Handshakes that clients break off, by certificate, and what `check` says about pins.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Stream};

use super::serving::{Edge, NAME};
use super::wire::Client;
use crate::harness::tls::{Authority, Identity};
use crate::harness::{DEADLINE, Folder, gateway_command, run, tokens};

const REFUSED: &str = "approov_gateway_tls_certificates_refused_total";

/// Makes a handshake for this name, and returns whether it succeeds.
fn shake_hands(config: &Arc<ClientConfig>, address: std::net::SocketAddr, name: &str) -> bool {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = ClientConnection::new(config.clone(), name).unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.set_write_timeout(Some(DEADLINE)).unwrap();
    let mut stream = Stream::new(&mut connection, &mut socket);
    let is_fine = stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").is_ok();
    // The alert is sent before the socket is closed.
    let _ = stream.read(&mut [0; 64]);
    is_fine
}

#[test]
fn certificates_that_clients_refuse_are_counted_by_name() {
    let edge = Edge::new();
    let gateway = edge.start(&edge.config("", ""));
    let address = gateway.address();
    let trusting = Client::trusting(&edge.authority).build();
    let strange = Client::trusting(&Authority::named("Another root")).build();
    let count = |certificate: &str| gateway.metrics().sum(REFUSED, &[("certificate", certificate)]);
    assert_eq!((count(NAME), count("*.other.test")), (0.0, 0.0));
    assert!(gateway.metrics().text.contains("certificate=\"*.other.test\""), "every series is there with 0");
    for _ in 0..3 {
        assert!(!shake_hands(&strange, address, "www.other.test"));
    }
    gateway.wait_for_count(REFUSED, &[("certificate", "*.other.test")], 3.0);
    assert!(!shake_hands(&strange, address, NAME));
    gateway.wait_for_count(REFUSED, &[("certificate", NAME)], 1.0);
    // Honest clients, and bytes that are no handshake, are not counted.
    assert!(shake_hands(&trusting, address, "www.other.test"));
    TcpStream::connect(address).unwrap().write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    drop(TcpStream::connect(address).unwrap());
    gateway.wait_for_count("approov_gateway_tls_handshakes_total", &[("result", "failed")], 6.0);
    assert_eq!((count("*.other.test"), count(NAME)), (3.0, 1.0));
}

#[test]
fn check_says_what_to_register_for_each_name() {
    let (folder, root) = (Folder::new(), Authority::named("root"));
    let authority = root.intermediate("issuer");
    let identity = Identity::new(&authority, &["api.example.com", "*.shop.example.com"]);
    let own = folder.identity("own", &identity.followed_by(&authority.pem));
    let yaml = format!("listeners: [ {{ address: \"127.0.0.1:0\", tls: {{ certificates: [ {own} ] }} }} ]\n");
    let file = folder.write("gateway.yaml", yaml);
    let mut check = gateway_command(&["check", "-c", file.to_str().unwrap()]);
    check.env("APPROOV_SECRET_BASE64", tokens::SECRET_BASE64).env("API_DOMAIN", "origin.example.com");
    let exit = run(&mut check);
    assert!(exit.status.success(), "{exit:?}");
    let pins = run(&mut gateway_command(&["pin", folder.path("own.pem").to_str().unwrap()])).stdout;
    let pins: Vec<&str> = pins.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(pins.len(), 2);
    for line in [
        "approov api -add api.example.com\n".to_owned(),
        "approov api -add NAME.shop.example.com, for each name that apps call\n".to_owned(),
        format!("pin of its key: {}\n", pins[0]),
        format!("pin of its issuer: {}\n", pins[1]),
    ] {
        assert!(exit.stdout.contains(&line), "{line}: {}", exit.stdout);
    }
}
