//! The limit on concurrent requests to an origin, and its queue.

use super::{at, counted, gateway, get};
use crate::harness::{Client, Gate, Gateway, Origin};

const LABEL: (&str, &str) = ("origin", "api");
const IN_FLIGHT: &str = "approov_gateway_upstream_in_flight";
const QUEUED: &str = "approov_gateway_upstream_queued";

/// An origin that answers requests to `/slow` after the gate has opened.
fn slow(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::scripted(move |exchange| {
        if exchange.request.target == "/slow" {
            gate.pass();
        }
        exchange.answer("200 OK", "hello")
    })
}

fn begin(gateway: &Gateway) -> Client {
    let mut client = gateway.connect();
    client.send(get("/slow").bytes());
    client
}

#[test]
fn requests_over_the_limit_wait_and_requests_over_the_queue_are_refused() {
    let gate = Gate::default();
    let origin = slow(&gate);
    let gateway = gateway(&format!("{}, max_in_flight: 2, queue: 1, queue_timeout: 20s", at(&[&origin])));
    let mut clients = vec![begin(&gateway), begin(&gateway)];
    gateway.wait_for_count(IN_FLIGHT, &[LABEL], 2.0);
    clients.push(begin(&gateway));
    gateway.wait_for_count(QUEUED, &[LABEL], 1.0);
    let response = gateway.ask(&get("/"));
    assert_eq!((response.status, response.text().as_str()), (503, "{}"));
    assert_eq!(response.values("retry-after"), ["1"]);
    assert_eq!(counted(&gateway, "errors_total", &[LABEL, ("kind", "queue_full")]), 1.0);
    let entry = gateway.wait_for_entry(|entry| entry["http.response.status_code"] == 503);
    assert_eq!(entry["error.type"], "queue_full");
    origin.wait_until("two requests", |record| record.requests.len() == 2);
    gate.open();
    for mut client in clients {
        assert_eq!(client.response().status, 200);
    }
    assert_eq!(origin.targets(), ["/slow", "/slow", "/slow"]);
    gateway.wait_for_count(IN_FLIGHT, &[LABEL], 0.0);
    gateway.assert_serves(&origin);
}

#[test]
fn a_request_waits_no_longer_than_the_queue_timeout() {
    let gate = Gate::default();
    let origin = slow(&gate);
    let gateway = gateway(&format!("{}, max_in_flight: 1, queue_timeout: 100ms", at(&[&origin])));
    let mut first = begin(&gateway);
    gateway.wait_for_count(IN_FLIGHT, &[LABEL], 1.0);
    assert_eq!(gateway.ask(&get("/")).status, 503);
    assert_eq!(counted(&gateway, "errors_total", &[LABEL, ("kind", "queue_timeout")]), 1.0);
    gate.open();
    assert_eq!(first.response().status, 200);
    assert_eq!(origin.targets(), ["/slow"]);
}

#[test]
fn a_client_that_closes_frees_its_place() {
    let gate = Gate::default();
    let origin = slow(&gate);
    let gateway = gateway(&format!("{}, max_in_flight: 1, queue: 0", at(&[&origin])));
    let first = begin(&gateway);
    gateway.wait_for_count(IN_FLIGHT, &[LABEL], 1.0);
    drop(first);
    gateway.wait_for_count(IN_FLIGHT, &[LABEL], 0.0);
    assert_eq!(gateway.ask(&get("/")).status, 200);
    gate.open();
}

#[test]
fn a_failed_request_frees_its_place() {
    let origin = super::resetting();
    let gateway = gateway(&format!("{}, max_in_flight: 1, queue: 0", at(&[&origin])));
    for _ in 0..5 {
        assert_eq!(gateway.ask(&get("/")).status, 502);
        gateway.wait_for_count(IN_FLIGHT, &[LABEL], 0.0);
    }
}
