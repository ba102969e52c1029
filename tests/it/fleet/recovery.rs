//! A store that comes back: the nodes agree again soon.

use std::time::{Duration, Instant};

use super::failures::{assert_serves, warnings};
use super::redis::Redis;
use super::{Fleet, admitted, at, count, limit, wait_for_sync, wait_until_connected};
use crate::harness::{Setup, assert_within, eventually, has_program};

#[test]
fn nodes_agree_again_within_two_syncs() {
    if !has_program("redis-server") {
        return;
    }
    const SYNC: Duration = Duration::from_secs(2);
    assert_within(2 * SYNC, || {
        let (mut redis, fleet) = (Redis::start(), Fleet::new());
        let config = fleet.config(&at(redis.port), "").replace("sync: 100ms", "sync: 2s");
        let nodes = [(); 3].map(|()| Setup::bare().config(&config).start());
        nodes.iter().for_each(|node| wait_until_connected(node, true));
        redis.process.kill();
        // Without a limit for pauses, the sixth would be eight syncs long.
        eventually("six failures", || {
            nodes.iter().all(|node| count(node, "failures_total") >= 6.0).then_some(())
        });
        let _redis = Redis::try_start(redis.port, &[]).unwrap();
        let back = Instant::now();
        nodes.iter().for_each(|node| wait_until_connected(node, true));
        back.elapsed()
    });
}

#[test]
fn nodes_agree_again_after_a_frozen_and_after_a_killed_store() {
    if !has_program("redis-server") {
        return;
    }
    let (mut redis, fleet) = (Redis::start(), Fleet::new());
    let node = fleet.node(&at(redis.port), "");
    wait_until_connected(&node, true);
    redis.process.signal("STOP");
    wait_until_connected(&node, false);
    assert_serves(&node);
    redis.process.signal("CONT");
    wait_until_connected(&node, true);
    node.wait_for_message("agreeing with the other nodes");
    assert_eq!(warnings(&node).len(), 1, "{:?}", warnings(&node));

    redis.process.kill();
    wait_until_connected(&node, false);
    assert_serves(&node);
    let _redis = Redis::try_start(redis.port, &[]).unwrap();
    wait_until_connected(&node, true);
    assert_eq!(warnings(&node).len(), 1, "a second warning within a minute is kept back");
}

#[test]
fn a_flushed_store_gets_its_buckets_back_from_the_nodes() {
    if !has_program("redis-server") {
        return;
    }
    let (redis, fleet) = (Redis::start(), Fleet::new());
    let nodes = [(); 2].map(|()| fleet.node(&at(redis.port), &limit("by: device, rate: 10/h")));
    nodes.iter().for_each(|node| wait_until_connected(node, true));
    assert_eq!(admitted(&nodes[0], 6), 6);
    wait_for_sync(&nodes[0]);
    redis.ask(&["FLUSHALL"]);
    redis.ask(&["SCRIPT", "FLUSH"]);
    assert_eq!(admitted(&nodes[0], 1), 1);
    wait_for_sync(&nodes[0]);
    assert_eq!(admitted(&nodes[1], 1), 1);
    wait_for_sync(&nodes[1]);
    assert_eq!(admitted(&nodes[1], 5), 2, "eight are spent");
    assert_eq!(count(&nodes[0], "failures_total"), 0.0);
}
