//! SIGTERM, SIGINT, and signals that do not stop the process.

use std::io;
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use super::{assert_echoes, begin_download, end_download, gated};
use crate::harness::{
    Client, DEADLINE, Folder, Gate, Message, Origin, Setup, assert_within, eventually, gateway_before, get,
};

/// Time limit for the end of an idle gateway.
const AT_ONCE: Duration = Duration::from_secs(2);

#[test]
fn an_idle_gateway_stops_at_once() {
    let origin = Origin::new();
    for connections in [0, 3] {
        assert_within(AT_ONCE, || {
            let mut gateway = gateway_before(&origin);
            let mut idle: Vec<Client> = (0..connections).map(|_| gateway.connect()).collect();
            for client in &mut idle {
                assert_eq!(client.ask(&get("/")).status, 200);
            }
            let start = Instant::now();
            gateway.signal("TERM");
            assert_eq!(gateway.wait_for_exit().code(), Some(0));
            start.elapsed()
        });
    }
}

#[test]
fn requests_in_progress_finish_and_connections_are_closed() {
    assert_within(AT_ONCE, || {
        let gate = Gate::default();
        let origin = gated(&gate);
        let mut gateway = gateway_before(&origin);
        let mut kept: Vec<Client> = (0..3).map(|_| gateway.connect()).collect();
        for client in &mut kept {
            assert_echoes(client, "/kept");
        }
        let download = begin_download(gateway.address());
        let mut slow = gateway.connect();
        slow.send(get("/slow").bytes());
        origin.wait_until("the slow request", |record| {
            record.requests.iter().any(|request| request.target == "/slow")
        });
        gateway.signal("TERM");
        eventually("/readyz to report draining", || (gateway.admin("/readyz").status == 503).then_some(()));
        eventually("new connections to be refused", || match TcpStream::connect(gateway.address()) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Some(()),
            _ => None,
        });
        for (number, client) in kept.iter_mut().enumerate() {
            let response = client.ask(&get(&format!("/last{number}")));
            assert_eq!((response.status, response.values("connection")), (200, vec!["close"]));
            client.assert_closed();
        }
        assert_eq!(gateway.admin("/livez").status, 200);
        gate.open();
        end_download(download);
        let response = slow.response();
        assert_eq!((response.status, response.text().as_str()), (200, "/slow"));
        let start = Instant::now();
        assert_eq!(gateway.wait_for_exit().code(), Some(0));
        start.elapsed()
    });
}

#[test]
fn the_grace_period_ends_requests_that_do_not_finish() {
    let (folder, origin) = (Folder::new(), gated(&Gate::default()));
    let config = folder.config(&origin, "").replace("threads: 2", "threads: 2, grace_period: 300ms");
    let mut gateway = folder.start(&config);
    let mut download = begin_download(gateway.address());
    gateway.signal("TERM");
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
    gateway.wait_for_message("1 requests were not finished in time");
    download.assert_closed();
    assert!(!folder.path("pid").exists());
}

#[test]
fn a_second_signal_stops_at_once() {
    let origin = gated(&Gate::default());
    for second in ["TERM", "INT"] {
        assert_within(AT_ONCE, || {
            let mut gateway = gateway_before(&origin);
            let _download = begin_download(gateway.address());
            gateway.signal("TERM");
            gateway.wait_for_message("SIGTERM: draining");
            let start = Instant::now();
            gateway.signal(second);
            assert_eq!(gateway.wait_for_exit().code(), Some(0), "{second}");
            start.elapsed()
        });
    }
}

#[test]
fn an_interrupt_stops_at_once() {
    assert_within(AT_ONCE, || {
        let origin = gated(&Gate::default());
        let mut gateway = gateway_before(&origin);
        let _download = begin_download(gateway.address());
        let start = Instant::now();
        gateway.signal("INT");
        assert_eq!(gateway.wait_for_exit().code(), Some(0));
        start.elapsed()
    });
}

#[test]
fn other_signals_stop_nothing_even_while_draining() {
    let gate = Gate::default();
    let origin = gated(&gate);
    let mut gateway = gateway_before(&origin);
    let mut client = gateway.connect();
    for signal in ["HUP", "USR1", "HUP", "QUIT", "PIPE"] {
        gateway.signal(signal);
        assert_echoes(&mut client, "/kept");
    }
    gateway.wait_for_message("SIGUSR1");
    gateway.wait_for_message("SIGQUIT: server.upgrade_sock is not configured");
    let download = begin_download(gateway.address());
    gateway.signal("TERM");
    gateway.wait_for_message("SIGTERM: draining");
    for signal in ["HUP", "USR1", "QUIT"] {
        gateway.signal(signal);
    }
    let response = client.ask(&get("/last"));
    assert_eq!(response.status, 200);
    gate.open();
    end_download(download);
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
}

#[test]
fn the_service_manager_is_notified() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let path = folder.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let next = || {
        let mut message = [0; 1000];
        let count = socket.recv(&mut message).unwrap();
        String::from_utf8(message[..count].to_vec()).unwrap()
    };
    let mut gateway = Setup::before(&origin).env("NOTIFY_SOCKET", path.to_str().unwrap()).start();
    let ready = next();
    assert!(ready.lines().any(|line| line == "READY=1"), "{ready}");
    assert!(ready.lines().any(|line| line == format!("MAINPID={}", gateway.pid())), "{ready}");
    assert_eq!(gateway.ask(&Message::get("/")).status, 401);
    gateway.signal("HUP");
    let reloading = next();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(next(), "READY=1");
    gateway.signal("TERM");
    assert_eq!(next(), "STOPPING=1");
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
}
