//! A cluster whose slots move from one server to another.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::failures::warnings;
use super::redis::{Redis, Reply};
use super::{Fleet, admitted, as_user_with_few_rights, count, wait_for_sync, wait_until_connected};
use crate::harness::{Gateway, Message, SetOnDrop, eventually, has_program, tokens};

/// A cluster of two servers, each with half of the slots.
pub fn start_cluster() -> [Redis; 2] {
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
    servers
}

/// The slot of the only bucket by device, on its way from one server to the other.
struct Move<'r> {
    slot: String,
    from: &'r Redis,
    to: &'r Redis,
}

impl<'r> Move<'r> {
    fn begin(servers: &'r [Redis; 2]) -> Self {
        let buckets = |server: &Redis| server.lines(&["KEYS", "ag1:{test:device:*"]);
        let [first, second] = servers;
        let (from, to) = if buckets(first).is_empty() { (second, first) } else { (first, second) };
        let name = &buckets(from)[0];
        let Reply::Number(slot) = from.ask(&["CLUSTER", "KEYSLOT", name]) else { panic!("no slot") };
        let slot = slot.to_string();
        to.ask(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &id(from)]);
        from.ask(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &id(to)]);
        Self { slot, from, to }
    }

    /// Moves the keys that the slot has now.
    fn migrate(&self) {
        for key in self.from.lines(&["CLUSTER", "GETKEYSINSLOT", &self.slot, "1000"]) {
            // Answers NOKEY if the key has expired since.
            self.from.ask(&["MIGRATE", "127.0.0.1", &self.to.port.to_string(), &key, "0", "5000"]);
        }
    }

    fn end(self) {
        for server in [self.to, self.from] {
            server.ask(&["CLUSTER", "SETSLOT", &self.slot, "NODE", &id(self.to)]);
        }
    }
}

fn id(server: &Redis) -> String {
    match server.ask(&["CLUSTER", "MYID"]) {
        Reply::Text(id) => id,
        other => panic!("{other:?}"),
    }
}

fn start_nodes(fleet: &Fleet, servers: &[Redis; 2]) -> [Gateway; 2] {
    let user = as_user_with_few_rights(fleet, &servers.each_ref(), &["+cluster|slots", "+asking"]);
    let store = format!("{user}, cluster: true");
    let limits =
        "limits: { allow: [], connections: { requests: 1000000 }, rate: [ { by: device, rate: 10/h } ] }\n";
    let nodes = [(); 2].map(|()| fleet.node(&store, limits));
    nodes.iter().for_each(|node| wait_until_connected(node, true));
    nodes
}

#[test]
fn nodes_agree_on_a_bucket_while_its_slot_moves_and_afterwards() {
    if !has_program("redis-server") {
        return;
    }
    let (servers, fleet) = (start_cluster(), Fleet::new());
    let nodes = start_nodes(&fleet, &servers);
    let spend = |node: &Gateway, requests: usize| {
        let count = admitted(node, requests);
        wait_for_sync(node);
        count
    };
    assert_eq!(spend(&nodes[0], 3), 3);
    let moving = Move::begin(&servers);
    assert_eq!(spend(&nodes[1], 1), 1, "the bucket is still at the old server");
    moving.migrate();
    assert_eq!(spend(&nodes[0], 1), 1, "the bucket is at the new one, which has to be asked for");
    assert_eq!(spend(&nodes[1], 2), 2);
    moving.end();
    assert_eq!(spend(&nodes[0], 1), 1, "the slot has moved");
    assert_eq!(spend(&nodes[1], 1), 1);
    assert_eq!(spend(&nodes[1], 3), 1, "ten are spent");
    for node in &nodes {
        assert_eq!(count(node, "failures_total"), 0.0);
        assert_eq!(warnings(node), [""; 0]);
    }
}

#[test]
fn a_slot_that_moves_under_load_fails_no_request() {
    if !has_program("redis-server") {
        return;
    }
    let (servers, fleet) = (start_cluster(), Fleet::new());
    let nodes = start_nodes(&fleet, &servers);
    assert_eq!(admitted(&nodes[0], 3), 3);
    wait_for_sync(&nodes[0]);
    let failures = nodes.each_ref().map(|node| count(node, "failures_total"));
    let moving = Move::begin(&servers);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let load = nodes.each_ref().map(|node| {
            let is_over = &is_over;
            scope.spawn(move || {
                let mut client = node.connect();
                let devices = (0..).take_while(|_| !is_over.load(Ordering::Relaxed));
                let tokens = devices.map(|device| tokens::of_device(&format!("load {device}")));
                tokens
                    .map(|token| assert_eq!(client.ask(&Message::get("/").token(&token)).status, 200))
                    .count()
            })
        });
        let end = SetOnDrop(&is_over);
        // The load makes new keys in the slot meanwhile, at the new server.
        for _ in 0..5 {
            moving.migrate();
            nodes.iter().for_each(wait_for_sync);
        }
        moving.migrate();
        moving.end();
        nodes.iter().for_each(wait_for_sync);
        for (node, before) in nodes.iter().zip(failures) {
            let after = count(node, "failures_total");
            // An exchange that was in progress at the end of the move.
            assert!(after <= before + 1.0, "{before} {after}");
        }
        drop(end);
        for requests in load.map(|load| load.join().unwrap()) {
            assert!(requests > 0);
            println!("{requests} requests");
        }
    });
    println!("failed exchanges: {:?}", nodes.each_ref().map(|node| count(node, "failures_total")));
    assert_eq!(admitted(&nodes[1], 1), 1);
    wait_for_sync(&nodes[1]);
    assert_eq!(admitted(&nodes[1], 8), 6, "the bucket was not lost");
}
