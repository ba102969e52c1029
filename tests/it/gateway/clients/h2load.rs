//! HTTP/2 load from `h2load` of nghttp2.

use std::process::Command;

use crate::gateway::tls::serving::Edge;
use crate::harness::{Gateway, has_program, run, tokens};

/// The report of `h2load` about this number of requests and connections.
fn load(gateway: &Gateway, requests: usize, connections: usize, more: &[&str]) -> String {
    let mut command = Command::new("h2load");
    command.args(["-n", &requests.to_string(), "-c", &connections.to_string(), "-m", "20"]).args(more);
    command.arg(format!("https://{}/load", gateway.address()));
    let exit = run(&mut command);
    assert!(exit.status.success(), "{exit:?}");
    exit.stdout
}

#[test]
fn every_request_of_h2load_is_answered_over_tls_and_http_2() {
    if !has_program("h2load") {
        return;
    }
    let edge = Edge::new();
    let gateway = edge.start(&edge.config("", ""));
    let token = format!("Approov-Token: {}", tokens::valid());
    let told = load(&gateway, 2000, 10, &["-H", &token]);
    assert!(told.contains("Application protocol: h2"), "{told}");
    let all = "requests: 2000 total, 2000 started, 2000 done, 2000 succeeded, 0 failed, 0 errored, 0 timeout";
    assert!(told.contains(all), "{told}");
    assert!(told.contains("status codes: 2000 2xx, 0 3xx, 0 4xx, 0 5xx"), "{told}");
    assert_eq!(edge.origin.count("/load"), 2000);
    // Refused requests: their connections are kept open too.
    let told = load(&gateway, 500, 5, &[]);
    assert!(told.contains("status codes: 0 2xx, 0 3xx, 500 4xx, 0 5xx"), "{told}");
    assert_eq!(edge.origin.count("/load"), 2000);
    gateway.wait_for_requests(&[("verdict", "rejected"), ("reason", "missing_token")], 500.0);
    gateway.wait_for_count("approov_gateway_tls_handshakes_total", &[("result", "full")], 15.0);
}
