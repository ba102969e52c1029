//! A ban of one node is a ban of all, and so is its end.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::redis::{Connection, Redis, Reply};
use super::{Fleet, at, count, wait_for_sync, wait_until_connected};
use crate::harness::{Client, Gateway, Message, eventually, get, has_program, tokens};

const THREE: &str = "limits: { allow: [], offenders: { failures: 3, within: 1h, ban: 1h, max_ban: 2h } }\n";

fn fail(gateway: &Gateway, host: u8) {
    let mut client = gateway.connect_from(host);
    for _ in 0..3 {
        assert_eq!(client.ask(&Message::get("/").token(&tokens::wrongly_signed())).status, 401);
    }
}

/// The addresses that are banned at this node.
fn banned(gateway: &Gateway) -> Vec<String> {
    let told: Value = serde_json::from_str(&gateway.admin("/offenders").text()).unwrap();
    let offenders = told["offenders"].as_array().unwrap().iter();
    let mut banned: Vec<_> =
        offenders.map(|offender| offender["address"].as_str().unwrap().to_owned()).collect();
    banned.sort();
    banned
}

fn wait_until_banned(gateway: &Gateway, addresses: &[&str]) {
    eventually("the same bans", || (banned(gateway) == addresses).then_some(()));
}

/// Lifts the ban of `address`, written as `/ADDRESS`, or all bans if it is empty.
fn forgive(gateway: &Gateway, address: &str) {
    let delete = Message::new("DELETE", &format!("/offenders{address}"))
        .host("localhost")
        .field("Connection", "close");
    assert_eq!(Client::connect(gateway.admin_address()).ask(&delete).status, 200);
}

#[test]
fn bans_and_their_lifting_travel_to_all_nodes() {
    if !has_program("redis-server") {
        return;
    }
    let (redis, fleet) = (Redis::start(), Fleet::new());
    let nodes = [(); 3].map(|()| fleet.node(&at(redis.port), THREE));
    nodes.iter().for_each(|node| wait_until_connected(node, true));
    let began = Instant::now();
    fail(&nodes[0], 2);
    for node in &nodes[1..] {
        wait_until_banned(node, &["127.0.0.2"]);
        assert_eq!(node.metrics().sum("approov_gateway_banned_addresses", &[]), 1.0);
        if let Ok(mut client) = node.try_connect_from(2) {
            let _ = client.try_send(get("/banned").bytes());
            client.assert_closed();
        }
        assert_eq!(node.connect_from(3).ask(&get("/x")).status, 200);
    }
    println!("a ban took {:?}", began.elapsed());
    // Each node reads an entry several times, and follows it once.
    for node in &nodes[1..] {
        (0..5).for_each(|_| wait_for_sync(node));
        let diagnostics = String::from_utf8(node.stderr()).unwrap();
        assert_eq!(diagnostics.matches("by another node").count(), 1, "{diagnostics}");
    }

    let began = Instant::now();
    forgive(&nodes[1], "/127.0.0.2");
    for node in &nodes {
        wait_until_banned(node, &[]);
        assert_eq!(node.connect_from(2).ask(&get("/x")).status, 200);
    }
    println!("its end took {:?}", began.elapsed());

    fail(&nodes[0], 2);
    fail(&nodes[1], 3);
    nodes.iter().for_each(|node| wait_until_banned(node, &["127.0.0.2", "127.0.0.3"]));
    let late = fleet.node(&at(redis.port), THREE);
    wait_until_banned(&late, &["127.0.0.2", "127.0.0.3"]);
    forgive(&late, "");
    nodes.iter().for_each(|node| wait_until_banned(node, &[]));
    let later = fleet.node(&at(redis.port), THREE);
    wait_until_connected(&later, true);
    wait_for_sync(&later);
    assert_eq!(banned(&later), [""; 0], "bans that were lifted do not come back");
    assert_eq!(fleet.origin.count("/banned"), 0);
}

#[test]
fn a_node_follows_no_ban_against_its_own_exemptions_and_none_for_longer_than_its_own() {
    if !has_program("redis-server") {
        return;
    }
    let (redis, fleet) = (Redis::start(), Fleet::new());
    let node = |limits: &str| {
        let node = fleet.node(&at(redis.port), limits);
        wait_until_connected(&node, true);
        node
    };
    let strict = node(THREE);
    let exempting = node("limits: { allow: [127.0.0.2] }\n");
    let lenient = node("limits: { allow: [], offenders: { ban: 1s, max_ban: 30s } }\n");
    let off = node("limits: { allow: [], offenders: off }\n");
    fail(&strict, 2);
    fail(&strict, 3);
    wait_until_banned(&exempting, &["127.0.0.3"]);
    assert_eq!(exempting.connect_from(2).ask(&get("/x")).status, 200);
    lenient.wait_for_message("127.0.0.2 is banned for 30 s by another node");
    wait_for_sync(&off);
    assert_eq!(off.connect_from(2).ask(&get("/x")).status, 200);
}

#[test]
fn a_poisoned_store_bans_no_address() {
    if !has_program("redis-server") {
        return;
    }
    let (redis, fleet) = (Redis::start(), Fleet::new());
    let mut monitor = Connection::new(redis.port);
    monitor.ask(&["MONITOR"]);
    let victim = fleet.node(&at(redis.port), THREE);
    // A fleet with another key.
    let other = Fleet::new();
    other.folder.write("fleet-key", "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=");
    let attacker = other.node(&at(redis.port), THREE);
    [&victim, &attacker].into_iter().for_each(|node| wait_until_connected(node, true));
    fail(&attacker, 9);
    wait_for_sync(&attacker);
    assert_ne!(redis.ask(&["ZCARD", "ag1:{test:bans}"]), Reply::Number(0), "the ban of the other fleet");
    for entry in ["", "x", "127.0.0.9"] {
        redis.ask(&["ZADD", "ag1:{test:bans}", "1e15", entry]);
    }
    wait_for_sync(&victim);
    assert_eq!(banned(&victim), [""; 0]);
    // A name of another type is made anew, and the nodes go on.
    redis.ask(&["DEL", "ag1:{test:bans}"]);
    redis.ask(&["SET", "ag1:{test:bans}", "x"]);
    fail(&victim, 8);
    eventually("the log", || {
        (redis.ask(&["TYPE", "ag1:{test:bans}"]) == Reply::Text("zset".into())).then_some(())
    });
    assert_eq!(banned(&victim), ["127.0.0.8"]);

    let Reply::Number(left) = redis.ask(&["PTTL", "ag1:{test:bans}"]) else { panic!("no time") };
    assert!(left > 0 && Duration::from_millis(left as u64) <= Duration::from_secs(2 * 3600));
    for line in monitor.monitored(&redis) {
        // Redis shows the address of its own client before the command.
        let command = line.split_once(']').map_or("", |(_, command)| command);
        let is_ours = command.contains("ZADD") && command.contains("1e15");
        assert!(is_ours || !command.contains("127.0.0."), "{line}");
    }
}

#[test]
fn entries_that_others_wrote_hide_no_ban() {
    if !has_program("redis-server") {
        return;
    }
    let (redis, fleet) = (Redis::start(), Fleet::new());
    let nodes = [(); 2].map(|()| fleet.node(&at(redis.port), THREE));
    nodes.iter().for_each(|node| wait_until_connected(node, true));
    let long = "x".repeat(1 << 20);
    let mut write = vec!["ZADD", "ag1:{test:bans}", "+inf", "late", "0", "early", "9000000000000000", &long];
    let names: Vec<String> = (0..10_000).map(|number| format!("late {number}")).collect();
    names.iter().for_each(|name| write.extend(["8000000000000000", name]));
    redis.ask(&write);
    nodes.iter().for_each(wait_for_sync);
    fail(&nodes[0], 2);
    wait_until_banned(&nodes[1], &["127.0.0.2"]);
    for node in &nodes {
        assert_eq!(count(node, "failures_total"), 0.0);
    }
}
