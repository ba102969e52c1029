//! nghttp2's `h2load`.

use std::process::Command;

use crate::gateway::tls::serving::Edge;
use crate::harness::{Gateway, tokens};

/// What it says of so many requests on so many connections; none where it is not installed.
fn load(gateway: &Gateway, requests: usize, connections: usize, more: &[&str]) -> Option<String> {
    let mut command = Command::new("h2load");
    command.args(["-n", &requests.to_string(), "-c", &connections.to_string(), "-m", "20"]).args(more);
    command.arg(format!("https://{}/load", gateway.address()));
    let Ok(output) = command.output() else {
        eprintln!("left out: h2load is not installed");
        return None;
    };
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    Some(told)
}

#[test]
fn every_request_of_h2load_is_answered_over_tls_and_http_2() {
    let edge = Edge::new();
    let gateway = edge.start(&edge.config("", ""));
    let token = format!("Approov-Token: {}", tokens::valid());
    let Some(told) = load(&gateway, 2000, 10, &["-H", &token]) else { return };
    assert!(told.contains("Application protocol: h2"), "{told}");
    let all = "requests: 2000 total, 2000 started, 2000 done, 2000 succeeded, 0 failed, 0 errored, 0 timeout";
    assert!(told.contains(all), "{told}");
    assert!(told.contains("status codes: 2000 2xx, 0 3xx, 0 4xx, 0 5xx"), "{told}");
    assert_eq!(edge.origin.count("/load"), 2000);
    // Those that are refused, on connections that are kept all the same.
    let told = load(&gateway, 500, 5, &[]).unwrap();
    assert!(told.contains("status codes: 0 2xx, 0 3xx, 500 4xx, 0 5xx"), "{told}");
    assert_eq!(edge.origin.count("/load"), 2000);
    gateway.wait_for_requests(&[("verdict", "rejected"), ("reason", "missing_token")], 500.0);
    gateway.wait_for_count("approov_gateway_tls_handshakes_total", &[("result", "full")], 15.0);
}
