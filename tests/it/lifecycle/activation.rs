//! Sockets that the service manager passes (`sd_listen_fds(3)`).

use std::net::TcpListener;
use std::os::fd::OwnedFd;

use crate::harness::{Client, Folder, Message, Origin, Setup, tokens};

/// Passes a socket like a service manager: as descriptor 3, with the variables that announce it. The
/// script gets the socket as standard input.
const PASS: &str = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=${PID:-$$} exec \"$0\" \"$@\"";

impl Folder {
    /// A gateway whose public listener is at `address`, with `socket` passed to it.
    fn setup_with(&self, origin: &Origin, address: &str, socket: impl Into<OwnedFd>) -> Setup {
        let config = self.config(origin, "").replacen("127.0.0.1:0", address, 1);
        self.write("gateway.yaml", &config);
        self.setup("gateway.yaml", &["run"]).under(&["sh", "-c", PASS]).input(socket)
    }
}

fn listening() -> (TcpListener, String) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    (socket, address)
}

#[test]
fn a_passed_socket_is_used_if_its_address_is_configured() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let (socket, address) = listening();
    // A connection made before the start waits in the socket's backlog.
    let mut early = Client::connect(socket.local_addr().unwrap());
    early.send(Message::get("/early").token(&tokens::valid()).bytes());
    let mut gateway = folder.setup_with(&origin, &address, socket.try_clone().unwrap()).start();
    assert_eq!(gateway.address().to_string(), address);
    assert_eq!(early.response().status, 200);
    gateway.assert_serves(&origin);
    // The successor takes over this socket like any other.
    folder.write("next.yaml", folder.config_like(&gateway, &origin, ""));
    let mut next = folder.setup("next.yaml", &["run", "--upgrade"]).launch();
    next.wait_for_message("waiting for the sockets");
    gateway.signal("QUIT");
    next.wait_until_listening();
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
    next.assert_serves(&origin);
    next.signal("TERM");
    assert_eq!(next.wait_for_exit().code(), Some(0));
    // The service manager keeps the socket open. A connection waits for the next start.
    let mut waiting = Client::connect(socket.local_addr().unwrap());
    waiting.send(Message::get("/waiting").token(&tokens::valid()).bytes());
    let _again = folder.setup_with(&origin, &address, socket).start();
    assert_eq!(waiting.response().status, 200);
}

#[test]
fn a_passed_socket_that_is_not_configured_stops_the_start() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let (socket, address) = listening();
    let exit = folder.setup_with(&origin, "127.0.0.1:0", socket).run_to_exit();
    assert_eq!(exit.status.code(), Some(1), "{}", exit.stderr);
    let told = format!("the service manager passed a socket for {address}, and no listener has that address");
    assert!(exit.stderr.contains(&told), "{}", exit.stderr);
}

#[test]
fn a_passed_descriptor_that_does_not_listen_stops_the_start() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let (socket, address) = listening();
    let connected = std::net::TcpStream::connect(socket.local_addr().unwrap()).unwrap();
    let file = std::fs::File::open("/dev/null").unwrap();
    let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for passed in [OwnedFd::from(connected), OwnedFd::from(file), OwnedFd::from(datagrams)] {
        let exit = folder.setup_with(&origin, &address, passed).run_to_exit();
        assert_eq!(exit.status.code(), Some(1), "{}", exit.stderr);
        assert!(exit.stderr.contains("socket 1 of those that the service manager passed"), "{}", exit.stderr);
    }
}

#[test]
fn sockets_for_another_process_are_ignored() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let (socket, _) = listening();
    let gateway = folder.setup_with(&origin, "127.0.0.1:0", socket).env("PID", "1").start();
    gateway.assert_serves(&origin);
}
