//! A store with TLS, behind sentinels, and as a cluster.

use std::process::{Command, Stdio};

use super::redis::{Connection, Redis, Reply, free_port};
use super::{Fleet, admitted, at, limit, wait_for_sync, wait_until_connected};
use crate::harness::tls::{Authority, Identity};
use crate::harness::{Folder, Gateway, Process, eventually, has_program};

/// Asserts that two nodes agree.
fn assert_agree(nodes: &[Gateway; 2]) {
    nodes.iter().for_each(|node| wait_until_connected(node, true));
    assert_eq!(admitted(&nodes[0], 6), 6);
    wait_for_sync(&nodes[0]);
    assert_eq!(admitted(&nodes[1], 1), 1);
    wait_for_sync(&nodes[1]);
    assert_eq!(admitted(&nodes[1], 5), 3);
}

#[test]
fn nodes_agree_over_tls_and_trust_no_other_authority() {
    if !has_program("redis-server") {
        return;
    }
    let (authority, folder, fleet) = (Authority::new(), Folder::new(), Fleet::new());
    folder.identity("store", &Identity::new(&authority, &["localhost"]));
    let [certificate, key, ca, other] =
        ["store.pem", "store.key", "ca.pem", "other.pem"].map(|name| folder.path(name));
    folder.write("ca.pem", &authority.pem);
    folder.write("other.pem", &Authority::new().pem);
    let [certificate, key, ca_file] = [&certificate, &key, &ca].map(|path| path.to_str().unwrap());
    let tls = |port: &str| {
        ["--port", "0", "--tls-port", port, "--tls-auth-clients", "no", "--tls-cert-file", certificate]
            .into_iter()
            .chain(["--tls-key-file", key, "--tls-ca-cert-file", ca_file])
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let redis = eventually("a Redis with TLS", || {
        let port = free_port();
        let arguments = tls(&port.to_string());
        Redis::try_start(port, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    });
    let store = |ca: &std::path::Path| {
        format!("url: \"rediss://localhost:{}\", ca_file: {}", redis.port, ca.display())
    };
    let limits = limit("by: device, rate: 10/h");
    assert_agree(&[(); 2].map(|()| fleet.node(&store(&ca), &limits)));
    let node = fleet.node(&store(&other), "");
    node.wait_for_message("the TLS handshake fails");
}

#[test]
fn nodes_agree_over_a_cluster() {
    if !has_program("redis-server") {
        return;
    }
    let fleet = Fleet::new();
    let servers = [(); 2].map(|()| Redis::start_with(&["--cluster-enabled", "yes"]));
    servers[0].ask(&["CLUSTER", "ADDSLOTSRANGE", "0", "8191"]);
    servers[1].ask(&["CLUSTER", "ADDSLOTSRANGE", "8192", "16383"]);
    servers[0].ask(&["CLUSTER", "MEET", "127.0.0.1", &servers[1].port.to_string()]);
    for server in &servers {
        eventually("a cluster", || {
            let lines = server.lines(&["CLUSTER", "INFO"]);
            let has = |wanted: &str| lines.iter().any(|line| line == wanted);
            (has("cluster_state:ok") && has("cluster_known_nodes:2")).then_some(())
        });
    }
    let store = format!("{}, cluster: true", at(servers[0].port));
    let rates =
        ["device", "total", "address", "token", "route"].map(|by| format!("{{ by: {by}, rate: 10/h }}"));
    let limits = format!("limits: {{ allow: [], rate: [ {} ] }}\n", rates.join(", "));
    assert_agree(&[(); 2].map(|()| fleet.node(&store, &limits)));
    assert!(
        servers.iter().all(|server| !server.lines(&["KEYS", "ag1:*"]).is_empty()),
        "both servers have buckets"
    );
    let node = fleet.node(&at(servers[0].port), &limits);
    assert_eq!(admitted(&node, 1), 1);
    node.wait_for_message("check that cluster: true is written");
}

#[test]
fn nodes_follow_sentinels_to_the_next_server() {
    if !has_program("redis-server") {
        return;
    }
    let (fleet, folder) = (Fleet::new(), Folder::new());
    let mut first = Redis::start();
    let second = Redis::start_with(&["--replicaof", "127.0.0.1", &first.port.to_string()]);
    eventually("a replica", || {
        second.lines(&["INFO", "replication"]).contains(&"master_link_status:up".to_owned()).then_some(())
    });
    let port = free_port();
    let monitored = format!(
        "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor main 127.0.0.1 {} 1\n\
         sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 2000\n",
        folder.path("").display(),
        first.port
    );
    let file = folder.write("sentinel.conf", monitored);
    let mut command = Command::new("redis-server");
    let sentinel = Process::start(command.arg(file).arg("--sentinel").stdin(Stdio::null()));
    eventually("a sentinel that knows the replica", || {
        std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
        match Connection::new(port).ask(&["SENTINEL", "REPLICAS", "main"]) {
            Reply::List(replicas) if replicas.len() == 1 => Some(()),
            _ => None,
        }
    });
    let store = format!("{}, sentinel: main", at(port));
    let nodes = [(); 2].map(|()| fleet.node(&store, &limit("by: device, rate: 10/h")));
    assert_agree(&nodes);
    first.process.kill();
    wait_until_connected(&nodes[0], false);
    nodes.iter().for_each(|node| wait_until_connected(node, true));
    assert!(second.lines(&["INFO", "replication"]).contains(&"role:master".to_owned()));
    drop(sentinel);
}
