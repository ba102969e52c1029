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
    let [one, other] = ["/one", "/other"].map(|target| app.get(target));
    assert_eq!(nodes[0].ask(&one).status, 200);
    assert_eq!(nodes[1].ask(&other).status, 200);
    nodes.iter().for_each(wait_for_sync);
    nodes.iter().for_each(wait_for_sync);
    let late = node();
    wait_for_sync(&late);
    for node in nodes.iter().chain([&late]) {
        assert_eq!((node.ask(&one).status, node.ask(&other).status), (401, 401));
        assert_eq!(node.ask(&app.get("/new")).status, 200);
    }
    assert_eq!((fleet.origin.count("/one"), fleet.origin.count("/other")), (1, 1));
}
