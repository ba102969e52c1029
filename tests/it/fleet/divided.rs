//! `fleet.nodes` without a store: each node has an even part of the limits that clients share.

use crate::harness::{Folder, Gateway, Message, Origin, Setup, config_before, gateway_command, run, tokens};
use crate::lifecycle::reload::reload;

fn config(origin: &Origin, nodes: u32) -> String {
    let limits = "rate: [ { by: total, rate: 30/h }, { by: device, rate: 4/h } ]";
    config_before(origin, &format!("limits: {{ allow: [], {limits} }}\nfleet: {{ nodes: {nodes} }}\n"))
}

/// The status and the `RateLimit-Policy` of the answer to a request of this device.
fn ask(gateway: &Gateway, device: &str) -> (u16, Vec<String>) {
    let token = tokens::of_device(device);
    let answer = gateway.ask(&Message::get("/").token(&token));
    let policy = answer.values("ratelimit-policy").iter().map(ToString::to_string).collect();
    (answer.status, policy)
}

#[test]
fn limits_that_clients_share_are_divided_by_the_nodes_and_others_are_not() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let file = folder.write("gateway.yaml", config(&origin, 3));
    let gateway = Setup::bare().env("GATEWAY_CONFIG", file.to_str().unwrap()).start();
    for device in ["one", "two"] {
        let statuses: Vec<_> = (0..5).map(|_| ask(&gateway, device).0).collect();
        assert_eq!(statuses, [200, 200, 200, 200, 429], "the limit by device is not divided");
    }
    let total = |burst: u32| (429, vec![format!("\"total\";q={burst};w=3600")]);
    assert_eq!(ask(&gateway, "three"), total(10), "a third of the total");

    folder.write("gateway.yaml", config(&origin, 2));
    reload(&gateway, 2);
    assert_eq!(ask(&gateway, "three"), total(15), "a reload divides anew and fills no bucket");
    assert_eq!(origin.requests().len(), 8);
}

#[test]
fn check_tells_which_limits_are_divided() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let file = folder.write("gateway.yaml", config(&origin, 3));
    let told = run(&mut gateway_command(&["check", "-c", file.to_str().unwrap()]));
    for line in ["by total: 30/h, burst 30, divided by 3 nodes\n", "by device: 4/h, burst 4\n"] {
        assert!(told.stdout.contains(line), "{line}{told:?}");
    }
}
