//! Failover: one failing address, or all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::{at, config, counted, gateway, get, post, saying};
use crate::harness::{Client, Origin, Setup, eventually};

const LABEL: (&str, &str) = ("origin", "api");

#[test]
fn an_address_that_refuses_connections_costs_no_request() {
    let (dead, live) = (Origin::refusing(), Origin::new());
    let gateway = gateway(&format!("{}, ejection: {{ base_time: 10m, max_time: 10m }}", at(&[&dead, &live])));
    for _ in 0..10 {
        assert_eq!(gateway.ask(&get("/")).status, 200);
        assert_eq!(gateway.ask(&post("/")).status, 200);
    }
    assert_eq!(live.requests().len(), 20);
    // After three consecutive failures the address gets no requests.
    assert_eq!(counted(&gateway, "errors_total", &[LABEL, ("kind", "connect")]), 3.0);
    assert_eq!(counted(&gateway, "retries_total", &[LABEL, ("reason", "connect")]), 3.0);
    assert_eq!(counted(&gateway, "ejections_total", &[LABEL]), 1.0);
    assert_eq!(counted(&gateway, "addresses", &[LABEL]), 2.0);
    gateway.wait_for_entry(|entry| entry["http.request.resend_count"] == 1);
    assert!(gateway.entries().iter().all(|entry| entry.get("error.type").is_none()), "no request failed");
}

#[test]
fn with_every_address_dead_the_answer_is_503_with_retry_after() {
    let (one, two) = (Origin::refusing(), Origin::refusing());
    let gateway = gateway(&format!("{}, ejection: {{ base_time: 10m, max_time: 10m }}", at(&[&one, &two])));
    for _ in 0..3 {
        assert_eq!(gateway.ask(&get("/")).status, 502);
    }
    let failures = counted(&gateway, "errors_total", &[LABEL, ("kind", "connect")]);
    assert_eq!(failures, 6.0);
    for method in ["GET", "POST"] {
        let message = if method == "GET" { get("/") } else { post("/") };
        let response = gateway.ask(&message);
        assert_eq!((response.status, response.text().as_str()), (503, "{}"));
        let seconds: u64 = response.values("retry-after")[0].parse().unwrap();
        assert!((580..=600).contains(&seconds), "{seconds}");
    }
    assert_eq!(
        counted(&gateway, "errors_total", &[LABEL, ("kind", "connect")]),
        failures,
        "no address got a request"
    );
    assert_eq!(counted(&gateway, "errors_total", &[LABEL, ("kind", "all_down")]), 2.0);
    assert_eq!(counted(&gateway, "healthy_addresses", &[LABEL]), 0.0);
    let entry = gateway.wait_for_entry(|entry| entry["http.response.status_code"] == 503);
    assert_eq!((&entry["error.type"], &entry["approov.origin"]), (&"all_down".into(), &"api".into()));
}

#[test]
fn an_address_that_comes_back_is_used_again() {
    let (mut dead, live) = (Origin::refusing(), saying("live"));
    let gateway =
        gateway(&format!("{}, ejection: {{ base_time: 50ms, max_time: 50ms }}", at(&[&dead, &live])));
    for _ in 0..10 {
        assert_eq!(gateway.ask(&get("/")).text(), "live");
    }
    assert!(counted(&gateway, "ejections_total", &[LABEL]) >= 1.0);
    dead.open(|exchange| exchange.answer("200 OK", "back"));
    eventually("the address that is back", || (gateway.ask(&get("/")).text() == "back").then_some(()));
    gateway.wait_for_count("approov_gateway_upstream_healthy_addresses", &[LABEL], 2.0);
}

#[test]
fn the_only_address_is_ejected_only_if_configured() {
    let mut dead = Origin::refusing();
    let usual = gateway(&at(&[&dead]));
    let sparing = gateway(&format!("{}, ejection: {{ base_time: 50ms, max_time: 50ms }}", at(&[&dead])));
    for _ in 0..6 {
        assert_eq!(usual.ask(&get("/")).status, 502);
    }
    eventually("an answer without an attempt", || (sparing.ask(&get("/")).status == 503).then_some(()));
    dead.open(|exchange| exchange.answer("200 OK", "back"));
    assert_eq!(usual.ask(&get("/")).text(), "back");
    eventually("the origin that is back", || (sparing.ask(&get("/")).text() == "back").then_some(()));
    assert_eq!(sparing.ask(&get("/")).text(), "back");
}

#[test]
fn an_address_with_consecutive_errors_is_ejected_unless_it_is_the_last() {
    let failing = || {
        Origin::scripted(|exchange| {
            exchange.body()?;
            exchange.answer("500 Internal Server Error", "broken")
        })
    };
    let (broken, live) = (failing(), saying("live"));
    let rules = "ejection: { errors: 3, base_time: 10m, max_time: 10m }";
    let gateway_before_both = gateway(&format!("{}, {rules}", at(&[&broken, &live])));
    for _ in 0..12 {
        gateway_before_both.ask(&get("/"));
    }
    assert_eq!((broken.requests().len(), live.requests().len()), (3, 9));
    let (one, two) = (failing(), failing());
    let gateway = gateway(&format!("{}, {rules}", at(&[&one, &two])));
    for _ in 0..12 {
        let response = gateway.ask(&get("/"));
        assert_eq!((response.status, response.text().as_str()), (500, "broken"));
    }
    assert_eq!(one.requests().len() + two.requests().len(), 12);
    assert_eq!(counted(&gateway, "healthy_addresses", &[LABEL]), 1.0);
}

#[test]
fn error_answers_do_not_eject_by_default() {
    let broken = Origin::scripted(|exchange| exchange.answer("500 Internal Server Error", "broken"));
    let live = saying("live");
    let gateway = gateway(&at(&[&broken, &live]));
    for _ in 0..12 {
        gateway.ask(&get("/"));
    }
    assert_eq!((broken.requests().len(), live.requests().len()), (6, 6));
}

/// Clients send requests continuously while one of three addresses dies.
#[test]
fn no_idempotent_request_is_lost_when_one_of_three_addresses_dies_under_load() {
    let mut origins = [saying("one"), saying("two"), saying("three")];
    let rules = "retries: { attempts: 2, on: [error], budget: 20% }";
    let config = config(&format!("{}, {rules}", at(&origins.each_ref())), "");
    let gateway = Setup::bare().env("GATEWAY_THREADS", "2").config(&config).start();
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            let address = gateway.address();
            thread::spawn(move || {
                let mut client = Client::connect(address);
                let message = get("/");
                let mut lost = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let answer = client.ask(&message);
                    if answer.status != 200 {
                        lost.push(answer.status);
                        return lost;
                    }
                    // The number of requests on a connection is limited.
                    if answer.values("connection") == ["close"] {
                        client = Client::connect(address);
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                lost
            })
        })
        .collect();
    let wait_for = |count: usize| {
        eventually("more answers", || (answered.load(Ordering::Relaxed) >= count).then_some(()));
    };
    wait_for(300);
    assert!(origins.iter().all(|origin| !origin.requests().is_empty()), "all three addresses were used");
    origins[1].kill();
    let before = answered.load(Ordering::Relaxed);
    wait_for(before + 1000);
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        assert_eq!(client.join().unwrap(), [0; 0], "no request was lost");
    }
    assert!(counted(&gateway, "ejections_total", &[LABEL]) >= 1.0);
}
