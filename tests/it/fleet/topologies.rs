//! A store with TLS, behind sentinels, and as a cluster.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::redis::{Connection, Redis, Reply, free_port};
use super::slots::start_cluster;
use super::{Fleet, admitted, at, limit, wait_for_sync, wait_until_connected};
use crate::harness::tls::{Authority, Identity};
use crate::harness::{Folder, Gateway, Process, Setup, eventually, has_program};

/// Asserts that two nodes agree.
fn assert_agree(nodes: &[Gateway; 2]) {
    nodes.iter().for_each(|node| wait_until_connected(node, true));
    assert_eq!(admitted(&nodes[0], 6), 6);
    wait_for_sync(&nodes[0]);
    assert_eq!(admitted(&nodes[1], 1), 1);
    wait_for_sync(&nodes[1]);
    assert_eq!(admitted(&nodes[1], 5), 3);
}

/// A Redis with TLS on a port of its own, for `localhost`, and the authority that has signed its certificate.
struct TlsRedis {
    redis: Redis,
    port: u16,
    ca: PathBuf,
    folder: Folder,
}

impl TlsRedis {
    fn start(arguments: &[&str]) -> Self {
        let (authority, folder) = (Authority::new(), Folder::new());
        folder.identity("store", &Identity::new(&authority, &["localhost"]));
        let [certificate, key, ca] = [
            ("--tls-cert-file", folder.path("store.pem")),
            ("--tls-key-file", folder.path("store.key")),
            ("--tls-ca-cert-file", folder.write("ca.pem", &authority.pem)),
        ];
        let (redis, port) = eventually("a Redis with TLS", || {
            let tls_port = free_port();
            let port = tls_port.to_string();
            let mut all = vec!["--tls-port", &port, "--tls-auth-clients", "no"];
            for (name, path) in [&certificate, &key, &ca] {
                all.extend([*name, path.to_str().unwrap()]);
            }
            all.extend(arguments);
            Some((Redis::try_start(free_port(), &all)?, tls_port))
        });
        Self { redis, port, ca: ca.1, folder }
    }

    fn store(&self, ca_file: &Path) -> String {
        format!("url: \"rediss://localhost:{}\", ca_file: {}", self.port, ca_file.display())
    }
}

#[test]
fn nodes_agree_over_tls_and_trust_no_other_authority() {
    if !has_program("redis-server") {
        return;
    }
    let (store, fleet) = (TlsRedis::start(&[]), Fleet::new());
    let limits = limit("by: device, rate: 10/h");
    assert_agree(&[(); 2].map(|()| fleet.node(&store.store(&store.ca), &limits)));
    let other = store.folder.write("other.pem", Authority::new().pem);
    fleet.node(&store.store(&other), "").wait_for_message("the TLS handshake fails");
}

#[test]
fn a_store_with_its_own_authority_needs_none_of_the_system() {
    if !has_program("redis-server") {
        return;
    }
    let (store, fleet) =
        (TlsRedis::start(&["--cluster-enabled", "yes", "--tls-cluster", "yes"]), Fleet::new());
    store.redis.ask(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    eventually("a cluster", || {
        store.redis.lines(&["CLUSTER", "INFO"]).contains(&"cluster_state:ok".to_owned()).then_some(())
    });
    let (own, system) = (store.store(&store.ca), format!("url: \"rediss://localhost:{}\"", store.port));
    let garbage = store.folder.write("garbage.pem", "garbage");
    let node = |store: &str| {
        let config = fleet.config(store, "");
        Setup::bare().env("SSL_CERT_FILE", garbage.to_str().unwrap()).config(&config).start()
    };
    wait_until_connected(&node(&own), true);
    wait_until_connected(&node(&format!("{own}, cluster: true")), true);
    node(&system).wait_for_message("the system has no certificates of authorities");
}

#[test]
fn nodes_agree_over_a_cluster() {
    if !has_program("redis-server") {
        return;
    }
    let fleet = Fleet::new();
    let servers = start_cluster();
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
    let alone = Redis::start();
    fleet.node(&format!("{}, cluster: true", at(alone.port)), "").wait_for_message("it is not a cluster");
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
