//! SIGQUIT without a successor, or with one that fails: the running process serves on.

use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use super::upgrade::WAITING;
use super::{assert_echoes, begin_download, end_download, gated};
use crate::harness::{DEADLINE, Folder, Gate, Origin, assert_within, eventually};

#[test]
fn without_a_successor_the_process_continues_to_serve() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let gateway = folder.start(&folder.config(&origin, ""));
    gateway.signal("QUIT");
    gateway.wait_for_message("SIGQUIT: no successor took the sockets");
    gateway.assert_serves(&origin);
    // A stale socket file: no process listens.
    drop(UnixListener::bind(folder.path("sock")).unwrap());
    gateway.signal("QUIT");
    gateway.wait_for_log(|_, stderr| {
        String::from_utf8_lossy(stderr).matches("SIGQUIT: no successor took the sockets").count() == 2
    });
    gateway.assert_serves(&origin);
    assert_eq!(folder.pid(), gateway.pid());
    // The stale file does not stop a later successor.
    let mut gateway = gateway;
    let mut new = folder.successor(&gateway, &origin);
    gateway.signal("QUIT");
    new.wait_until_listening();
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
    new.assert_serves(&origin);
}

#[test]
fn a_killed_successor_leaves_the_old_process_serving() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let mut old = folder.start(&folder.config(&origin, ""));
    // Killed before it binds, after it binds, and while it waits.
    folder.write("next.yaml", folder.config_like(&old, &origin, ""));
    folder.setup("next.yaml", &["run", "--upgrade"]).launch().signal("KILL");
    folder.successor(&old, &origin).signal("KILL");
    old.signal("QUIT");
    old.wait_for_message("SIGQUIT: no successor took the sockets");
    old.assert_serves(&origin);
    // Stopped and then killed between taking the sockets and accepting.
    let taken = folder.successor(&old, &origin);
    taken.signal("STOP");
    old.signal("QUIT");
    for _ in 0..20 {
        old.assert_serves(&origin);
    }
    taken.signal("KILL");
    old.wait_for_log(|_, stderr| {
        String::from_utf8_lossy(stderr).matches("SIGQUIT: no successor took the sockets").count() == 2
    });
    old.assert_serves(&origin);
    assert_eq!(folder.pid(), old.pid());
    let mut new = folder.successor(&old, &origin);
    old.signal("QUIT");
    new.wait_until_listening();
    assert_eq!(old.wait_for_exit().code(), Some(0));
    new.assert_serves(&origin);
    assert_eq!(folder.pid(), new.pid());
}

#[test]
fn a_successor_that_dies_restores_the_old_pid_file() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let old = folder.start(&folder.config(&origin, ""));
    // The test acts as a successor, up to the message that it accepts connections.
    let socket = UnixListener::bind(folder.path("sock")).unwrap();
    old.signal("QUIT");
    let (connection, _) = socket.accept().unwrap();
    folder.write("pid", "1\n");
    drop(connection);
    old.wait_for_message("SIGQUIT: no successor took the sockets");
    eventually("the pid file", || (folder.pid() == old.pid()).then_some(()));
    old.assert_serves(&origin);
}

#[test]
fn a_successor_with_a_bad_configuration_does_not_disturb_the_old_process() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let old = folder.start(&folder.config(&origin, ""));
    let before = old.stderr();
    folder.write("next.yaml", folder.config_like(&old, &origin, "rejection: { statsu: 403 }\n"));
    let exit = folder.setup("next.yaml", &["run", "--upgrade"]).run_to_exit();
    assert_eq!(exit.status.code(), Some(78), "{}", exit.stderr);
    assert!(exit.stderr.contains("statsu"), "{}", exit.stderr);
    old.assert_serves(&origin);
    assert_eq!(old.stderr(), before);
    assert_eq!(folder.pid(), old.pid());
}

#[test]
fn a_successor_that_cannot_listen_leaves_the_old_process_serving() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let old = folder.start(&folder.config(&origin, ""));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = folder.config_like(&old, &origin, "");
    let address = taken.local_addr().unwrap();
    let config = config.replace("listeners: [ ", &format!("listeners: [ {{ address: \"{address}\" }}, "));
    folder.write("next.yaml", &config);
    let mut new = folder.setup("next.yaml", &["run", "--upgrade"]).launch();
    new.wait_for_message(WAITING);
    old.signal("QUIT");
    assert_eq!(new.wait_for_exit().code(), Some(1));
    old.wait_for_message("SIGQUIT: no successor took the sockets");
    old.assert_serves(&origin);
    assert_eq!(folder.pid(), old.pid());
}

#[test]
fn a_successor_that_hangs_does_not_delay_requests() {
    assert_within(Duration::from_secs(2), || {
        let gate = Gate::default();
        let (folder, origin) = (Folder::new(), gated(&gate));
        let mut old = folder.start(&folder.config(&origin, ""));
        let hanging = UnixListener::bind(folder.path("sock")).unwrap();
        old.signal("QUIT");
        let (_connection, _) = hanging.accept().unwrap();
        let mut kept = old.connect();
        for number in 0..20 {
            assert_echoes(&mut kept, &format!("/kept/{number}"));
            assert_echoes(&mut old.connect(), &format!("/new/{number}"));
        }
        // The old process can be stopped as usual.
        let download = begin_download(old.address());
        old.signal("TERM");
        old.wait_for_message("SIGTERM: draining");
        gate.open();
        end_download(download);
        drop(kept);
        let start = Instant::now();
        assert_eq!(old.wait_for_exit().code(), Some(0));
        start.elapsed()
    });
}

#[test]
fn a_successor_waits_for_its_turn_and_can_be_stopped() {
    assert_within(DEADLINE / 4, || {
        let (folder, origin) = (Folder::new(), Origin::new());
        let old = folder.start(&folder.config(&origin, ""));
        let mut waiting = folder.successor(&old, &origin);
        let second = folder.setup("next.yaml", &["run", "--upgrade"]).run_to_exit();
        assert_eq!(second.status.code(), Some(1));
        assert!(second.stderr.contains("another successor is waiting there"), "{}", second.stderr);
        let start = Instant::now();
        waiting.signal("TERM");
        waiting.wait_for_exit();
        let took = start.elapsed();
        old.assert_serves(&origin);
        assert_eq!(folder.pid(), old.pid());
        took
    });
}
