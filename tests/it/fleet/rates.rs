//! Nodes agree on rates through a store.

use std::time::Duration;

use super::redis::{Connection, Redis, Reply};
use super::{Fleet, admitted, ask, at, limit, wait_for_sync, wait_until_connected};
use crate::harness::{Message, has_program, tokens};

/// A device that has spent 6 of 10 at one node has at most 4 left at another, once that has asked. The first
/// request at a node is its question.
#[test]
fn nodes_agree_on_limits_of_every_kind() {
    if !has_program("redis-server") {
        return;
    }
    let (redis, fleet) = (Redis::start(), Fleet::new());
    for by in ["address", "total", "route", "device", "token", "origin"] {
        let limit = limit(&format!("by: {by}, rate: 10/h"));
        let nodes = [(); 2].map(|()| fleet.node(&at(redis.port), &limit));
        nodes.iter().for_each(|node| wait_until_connected(node, true));
        let token = tokens::valid();
        let ask = |node: usize| nodes[node].ask(&Message::get("/").token(&token)).status;
        assert_eq!([(); 6].map(|()| ask(0)), [200; 6], "{by}");
        wait_for_sync(&nodes[0]);
        assert_eq!(ask(1), 200, "{by}");
        wait_for_sync(&nodes[1]);
        assert_eq!([(); 5].map(|()| ask(1)), [200, 200, 200, 429, 429], "{by}");
        wait_for_sync(&nodes[1]);
        if matches!(by, "address" | "device" | "token") {
            // A node asks about a key when it spends something.
            assert_eq!(ask(0), 200, "{by}");
        }
        wait_for_sync(&nodes[0]);
        assert_eq!(ask(0), 429, "{by}");
        redis.ask(&["FLUSHALL"]);
    }
}

#[test]
fn buckets_of_other_limits_routes_and_devices_stay_apart() {
    if !has_program("redis-server") {
        return;
    }
    let (redis, fleet) = (Redis::start(), Fleet::new());
    let first = fleet.node(&at(redis.port), &limit("by: device, rate: 10/h"));
    wait_until_connected(&first, true);
    assert_eq!(admitted(&first, 11), 10);
    wait_for_sync(&first);
    for (what, store, limits, device) in [
        ("another device", at(redis.port), limit("by: device, rate: 10/h"), "two"),
        ("another rate", at(redis.port), limit("by: device, rate: 20/h"), "one"),
        ("another name", at(redis.port), limit("by: device, rate: 10/h, name: mine"), "one"),
        (
            "a limit of a route",
            at(redis.port),
            "routes: [ { path: /, limits: { rate: [ { by: device, rate: 10/h } ] } } ]\nlimits: { allow: [] }\n".into(),
            "one",
        ),
    ] {
        let node = fleet.node(&store, &limits);
        wait_until_connected(&node, true);
        assert_eq!(ask(&node, device), 200);
        wait_for_sync(&node);
        assert_eq!([(); 9].map(|()| ask(&node, device)), [200; 9], "{what}");
    }
}

#[test]
fn the_store_sees_no_address_device_or_token() {
    if !has_program("redis-server") {
        return;
    }
    let (redis, fleet) = (Redis::start(), Fleet::new());
    let mut monitor = Connection::new(redis.port);
    assert_eq!(monitor.ask(&["MONITOR"]), Reply::Text("OK".into()));
    let rates =
        ["address", "device", "token", "total"].map(|by| format!("{{ by: {by}, rate: 10/h }}")).join(", ");
    let node = fleet.node(&at(redis.port), &format!("limits: {{ allow: [], rate: [ {rates} ] }}\n"));
    wait_until_connected(&node, true);
    let token = tokens::valid();
    assert_eq!(node.connect_from(77).ask(&Message::get("/").token(&token)).status, 200);
    wait_for_sync(&node);
    let told = monitor.monitored(&redis).join("\n");
    for by in ["address", "device", "token", "total"] {
        assert!(told.contains(&format!("ag1:{{test:{by}:")), "{by}: {told}");
    }
    let signature = token.rsplit('.').next().unwrap();
    for secret in
        ["127.0.0.77", "ExampleApproovTokenDID", &token, signature, tokens::SECRET_BASE64, "0123456789abcdef"]
    {
        assert!(!told.contains(secret), "{secret}: {told}");
    }
    let hexadecimal: String = "ExampleApproovTokenDID".bytes().map(|byte| format!("\\x{byte:02x}")).collect();
    assert!(!told.contains(&hexadecimal));
    // Nothing stays for ever.
    let names = redis.lines(&["KEYS", "*"]);
    assert!(names.len() >= 4, "{names:?}");
    for name in names {
        assert!(name.starts_with("ag1:"), "{name}: versions with other formats have other names");
        let Reply::Number(left) = redis.ask(&["PTTL", &name]) else { panic!("{name}") };
        assert!(
            left >= 0 && Duration::from_millis(left as u64) < Duration::from_secs(2 * 3600),
            "{name}: {left}"
        );
    }
}
