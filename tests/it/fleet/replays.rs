//! A signature that one node has accepted is refused by all.

use super::redis::Redis;
use super::{Fleet, at, wait_for_sync, wait_until_connected};
use crate::gateway::message_signing::App;
use crate::harness::has_program;

#[test]
fn a_signature_is_accepted_by_one_node_only() {
    if !has_program("redis-server") {
        return;
    }
    let (redis, fleet) = (Redis::start(), Fleet::new());
    let routes = "routes: [ { path: /, message_signing: required } ]\n";
    let node = || {
        let node = fleet.signing_node(&at(redis.port), routes);
        wait_until_connected(&node, true);
        node
    };
    let nodes = [(); 2].map(|()| node());
    let app = App::install();
    // One exchange tells of several signatures.
    let targets: Vec<String> = (0..8).map(|number| format!("/one/{number}")).collect();
    let many: Vec<_> = targets.iter().map(|target| app.get(target)).collect();
    let other = app.get("/other");
    assert!(many.iter().all(|message| nodes[0].ask(message).status == 200));
    assert_eq!(nodes[1].ask(&other).status, 200);
    // Twice: each node reads what the other has told.
    nodes.iter().for_each(wait_for_sync);
    nodes.iter().for_each(wait_for_sync);
    let late = node();
    wait_for_sync(&late);
    for node in nodes.iter().chain([&late]) {
        let statuses: Vec<u16> =
            many.iter().chain([&other]).map(|message| node.ask(message).status).collect();
        assert_eq!(statuses, [401; 9]);
        assert_eq!(node.ask(&app.get("/new")).status, 200);
    }
    for target in targets.iter().map(|target| &**target).chain(["/other"]) {
        assert_eq!(fleet.origin.count(target), 1, "{target}");
    }
}
