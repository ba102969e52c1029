//! Attacks on the admin listener: floods, slow clients, and pages in an operator's browser.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::harness::{Client, Gateway, Message, Origin, Setup, gateway_before};

fn ask(gateway: &Gateway, message: &Message) -> u16 {
    Client::connect(gateway.admin_address()).ask(&message.clone().field("Connection", "close")).status
}

#[test]
fn flood_of_the_admin_listener_takes_no_descriptor_from_clients() {
    let origin = Origin::new();
    // Many systems permit this number of open files by default.
    let limit = ["sh", "-c", "ulimit -n 1024; exec \"$0\" \"$@\""];
    let gateway = Setup::before(&origin).under(&limit).start();
    let mut silent: Vec<TcpStream> = Vec::new();
    for number in 0..1100 {
        silent.push(TcpStream::connect(gateway.admin_address()).unwrap());
        if number % 100 == 0 {
            gateway.assert_serves(&origin);
            assert_eq!(gateway.admin("/readyz").status, 200);
        }
    }
    let open = std::fs::read_dir(format!("/proc/{}/fd", gateway.pid())).unwrap().count();
    assert!(open < 200, "{open} descriptors");
    gateway.assert_serves(&origin);
    assert_eq!(gateway.admin("/metrics").status, 200);
    // Connections that send a byte now and then are not better off.
    for stream in &mut silent {
        let _ = stream.write_all(b"G");
    }
    assert_eq!(gateway.admin("/readyz").status, 200);
    assert!(!String::from_utf8_lossy(&gateway.stderr()).contains("cannot accept"));
}

#[test]
fn silent_client_of_the_admin_listener_is_closed() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let mut client = Client::connect(gateway.admin_address());
    client.send("GET /livez HTTP/1.1\r\nHost: loc");
    // Time is what this is about.
    let start = Instant::now();
    client.assert_closed();
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn clients_never_use_up_the_descriptors() {
    let origin = Origin::new();
    let limit = ["sh", "-c", "ulimit -n 300; exec \"$0\" \"$@\""];
    let gateway = Setup::before(&origin).under(&limit).start();
    let _silent: Vec<TcpStream> =
        (0..400).map_while(|_| TcpStream::connect(gateway.address()).ok()).collect();
    assert_eq!(gateway.admin("/readyz").status, 200);
    gateway.signal("HUP");
    gateway.wait_for_message("configuration reloaded, generation 2");
    assert!(!String::from_utf8_lossy(&gateway.stderr()).contains("cannot accept"));
}

#[test]
fn foreign_host_is_misdirected() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let own = gateway.admin_address().to_string();
    for path in ["/metrics", "/version", "/livez", "/offenders", "/"] {
        for host in ["localhost", "127.0.0.1", "[::1]:8788", own.as_str()] {
            assert_eq!(ask(&gateway, &Message::get(path).host(host)), 200, "{path} {host}");
        }
        for host in ["rebound.example", "rebound.example:8788", "localhost.example", "127.0.0.1.example"] {
            assert_eq!(ask(&gateway, &Message::get(path).host(host)), 421, "{path} {host}");
        }
    }
    let forgive = Message::new("DELETE", "/offenders").host("rebound.example");
    assert_eq!(ask(&gateway, &forgive), 421);
}

#[test]
fn page_of_another_origin_changes_nothing() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let own = gateway.admin_address().to_string();
    let forgive = || Message::new("DELETE", "/offenders").host(&own);
    for foreign in ["https://evil.example", "null", "http://127.0.0.1:1", &format!("https://{own}")] {
        assert_eq!(ask(&gateway, &forgive().field("Origin", foreign)), 403, "{foreign}");
    }
    let twice = forgive().field("Origin", &format!("http://{own}")).field("Origin", "https://evil.example");
    assert_eq!(ask(&gateway, &twice), 403);
    assert_eq!(ask(&gateway, &forgive().field("Origin", &format!("http://{own}"))), 200);
    assert_eq!(ask(&gateway, &forgive()), 200);
}
