//! Every failure of the store: no request fails or waits, and one warning is logged.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::redis::{Redis, free_port};
use super::{
    Fleet, admitted, as_user_with_few_rights, ask, at, count, limit, wait_for_more, wait_for_sync,
    wait_until_connected,
};
use crate::harness::{
    Gateway, Origin, Setup, config_before, eventually, gateway_command, get, has_program, run,
};
use crate::lifecycle::reload::{fail_to_reload, reload};

/// Asserts that requests are served without a wait.
pub(super) fn assert_serves(gateway: &Gateway) {
    // The machine may be busy for a while. A store that requests wait for is late each time.
    eventually("requests without a wait", || {
        let mut times = [(); 20].map(|()| {
            let began = Instant::now();
            assert_eq!(ask(gateway, "any"), 200);
            began.elapsed()
        });
        times.sort();
        (times[10] < Duration::from_millis(40)).then_some(())
    });
}

pub(super) fn warnings(gateway: &Gateway) -> Vec<String> {
    let text = String::from_utf8_lossy(&gateway.stderr()).into_owned();
    text.lines()
        .filter(|line| line.contains("WARN") && line.contains("fleet store"))
        .map(str::to_owned)
        .collect()
}

/// A node with a store that never works: it serves, and says once what is wrong.
fn assert_goes_on_alone(fleet: &Fleet, store: &str, why: &str) {
    let node = fleet.node(store, "");
    wait_for_more(&node, "failures_total", 3.0);
    assert_serves(&node);
    assert_eq!(count(&node, "connected"), 0.0, "{why}");
    let warnings = warnings(&node);
    assert!(warnings.len() == 1 && warnings[0].contains(why), "{why}: {warnings:?}");
}

/// A server that does with each connection what `serve` does.
pub(super) fn server(serve: impl Fn(TcpStream) + Send + Clone + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, serve) = (stream.unwrap(), serve.clone());
            thread::spawn(move || serve(stream));
        }
    });
    port
}

/// Answers every command with these bytes.
fn answering(bytes: &'static [u8]) -> u16 {
    server(move |mut stream| {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            // Each command is a list. Several can come at once.
            let commands = buffer[..count].split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"*"));
            if stream.write_all(&bytes.repeat(commands.count())).is_err() {
                return;
            }
        }
    })
}

#[test]
fn a_store_that_cannot_be_reached_changes_nothing() {
    let (fleet, refusing) = (Fleet::new(), Origin::refusing());
    assert_goes_on_alone(&fleet, &at(refusing.port()), "refuses the connection");
    assert_goes_on_alone(&fleet, "url: \"redis://store.invalid\"", "cannot be reached");
    let silent = server(|mut stream| drop(stream.read_to_end(&mut Vec::new())));
    assert_goes_on_alone(&fleet, &at(silent), "does not answer in time");
    assert_goes_on_alone(&fleet, &at(server(drop)), "closes the connection");
}

#[test]
fn a_server_that_is_no_store_changes_nothing() {
    let fleet = Fleet::new();
    let (wrong, late) = ("not one of Redis", "does not answer in time");
    for (garbage, why) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], wrong),
        (b"\0\xff\xfe", wrong),
        (b"$-7\r\n", wrong),
        (b"*1000000000\r\n", late),
    ] {
        assert_goes_on_alone(&fleet, &at(answering(garbage)), why);
    }
    // The words of a server are never shown: an old one repeats commands that have a password.
    let telling = answering(b"-ERR unknown command AUTH, with args beginning with hunter2\r\n");
    let node = fleet.node(&at(telling), "");
    wait_for_more(&node, "failures_total", 3.0);
    assert!(!String::from_utf8_lossy(&node.stderr()).contains("hunter2"));
    // Answers of the right protocol that the script never gives.
    for answer in
        [&b"+OK\r\n"[..], b":1\r\n", b"*1\r\n:-5\r\n", b"*1\r\n:999999999999999\r\n", b"*2\r\n:0\r\n:0\r\n"]
    {
        assert_goes_on_alone(&fleet, &at(answering(answer)), wrong);
    }
}

#[test]
fn a_store_that_refuses_changes_nothing() {
    if !has_program("redis-server") {
        return;
    }
    let fleet = Fleet::new();
    let locked = Redis::start_with(&["--requirepass", "right"]);
    let password = fleet.folder.write("password", "wrong\n");
    assert_goes_on_alone(&fleet, &at(locked.port), "asks for a password");
    let store = format!("{}, password_file: {}", at(locked.port), password.display());
    assert_goes_on_alone(&fleet, &store, "refuses the user or the password");
    fleet.folder.write("password", "right\n");
    wait_until_connected(&fleet.node(&store, ""), true);

    let replica = Redis::start_with(&["--replicaof", "127.0.0.1", &free_port().to_string()]);
    assert_goes_on_alone(&fleet, &at(replica.port), "is a replica");
    let full = Redis::start_with(&["--maxmemory", "1", "--maxmemory-policy", "noeviction"]);
    assert_goes_on_alone(&fleet, &at(full.port), "memory is full");
    let strict =
        Redis::start_with(&["--user", "default", "on", "nopass", "~*", "+ping", "+client", "+select"]);
    assert_goes_on_alone(&fleet, &at(strict.port), "lacks rights");

    // The rights that the documentation names are enough.
    let server = Redis::start();
    let node = fleet.node(&as_user_with_few_rights(&fleet, &[&server], &[]), "");
    wait_until_connected(&node, true);
    let mut client = node.connect_from(2);
    wait_for_sync(&node);
    assert_eq!(client.ask(&get("/")).status, 200);
    wait_for_sync(&node);
    assert_eq!(warnings(&node).len(), 0);
}

/// Passes everything on, later.
fn slow(port: u16, delay: Duration) -> u16 {
    server(move |client| {
        let store = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let copies = [(client.try_clone().unwrap(), store.try_clone().unwrap()), (store, client)];
        for (mut from, mut to) in copies {
            thread::spawn(move || {
                let mut buffer = vec![0; 65_536];
                while let Ok(count @ 1..) = from.read(&mut buffer) {
                    thread::sleep(delay);
                    if to.write_all(&buffer[..count]).is_err() {
                        return;
                    }
                }
            });
        }
    })
}

#[test]
fn a_slow_store_holds_up_no_request() {
    if !has_program("redis-server") {
        return;
    }
    let (redis, fleet) = (Redis::start(), Fleet::new());
    let port = slow(redis.port, Duration::from_millis(50));
    let nodes = [(); 2].map(|()| fleet.node(&at(port), &limit("by: device, rate: 100/h")));
    nodes.iter().for_each(|node| wait_until_connected(node, true));
    assert_serves(&nodes[0]);
    wait_for_sync(&nodes[0]);
    let too_slow = fleet.node(&at(slow(redis.port, Duration::from_millis(600))), "");
    wait_for_more(&too_slow, "failures_total", 1.0);
    assert_serves(&too_slow);
}

#[test]
fn a_node_on_its_own_has_its_share_if_that_is_configured() {
    let (fleet, refusing) = (Fleet::new(), Origin::refusing());
    for (on_loss, admits) in [("local", 12), ("share", 4)] {
        let key = fleet.folder.path("fleet-key");
        let store = format!("key_file: {}, {}, on_loss: {on_loss}", key.display(), at(refusing.port()));
        let limits = limit("by: total, rate: 12/h");
        let config = format!("fleet: {{ nodes: 3, store: {{ {store} }} }}\n{limits}");
        let node = Setup::bare().config(&config_before(&fleet.origin, &config)).start();
        // Before the first failure the store counts as reachable.
        wait_for_more(&node, "failures_total", 1.0);
        assert_eq!(admitted(&node, 15), admits, "{on_loss}");
    }
}

#[test]
fn check_connects_to_the_store() {
    if !has_program("redis-server") {
        return;
    }
    let (redis, fleet, refusing) = (Redis::start(), Fleet::new(), Origin::refusing());
    for (port, told) in [(redis.port, "agrees"), (refusing.port(), "refuses the connection")] {
        let key = fleet.folder.path("fleet-key");
        let config = format!("fleet: {{ store: {{ key_file: {}, {} }} }}\n", key.display(), at(port));
        let file = fleet.folder.write("gateway.yaml", config_before(&fleet.origin, &config));
        let told_of = run(&mut gateway_command(&["check", "--connect", "-c", file.to_str().unwrap()]));
        let line = format!("fleet store redis://127.0.0.1:{port}: ");
        let text = told_of.stdout + &told_of.stderr;
        assert!(text.lines().any(|found| found.contains(&line) && found.contains(told)), "{told}: {text}");
        assert_eq!(told_of.status.code(), Some(if told == "agrees" { 0 } else { 78 }));
    }
}

#[test]
fn a_reload_keeps_the_store_and_says_what_waits_for_an_upgrade() {
    let fleet = Fleet::new();
    let server = "server: { pid_file: pid }\n";
    // No store is needed: nothing listens at this port.
    let file = fleet.folder.write("gateway.yaml", fleet.config(&at(1), server));
    let gateway = Setup::bare().env("GATEWAY_CONFIG", file.to_str().unwrap()).start();
    fleet.folder.write("gateway.yaml", fleet.config(&at(2), server));
    reload(&gateway, 2);
    let unapplied = gateway.version()["config_unapplied"].to_string();
    assert!(unapplied.contains("fleet.store: how to reach the store"), "{unapplied}");
    let renamed = fleet.config(&at(1), server).replace("name: test", "name: other");
    fleet.folder.write("gateway.yaml", renamed);
    let problems = fail_to_reload(&gateway);
    assert!(problems[0].contains("name, key_file and on_loss of fleet.store cannot change"), "{problems:?}");
}
