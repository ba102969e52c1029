//! Health checks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Reloadable, at, config, counted, gateway, get, saying};
use crate::harness::{Folder, Origin, eventually};

const LABEL: (&str, &str) = ("origin", "api");
const HEALTHY: &str = "approov_gateway_upstream_healthy_addresses";

/// An origin that answers `/healthz` with 204 or 503, as `is_well` says, and all other requests with
/// 200.
fn checked(is_well: &Arc<AtomicBool>) -> Origin {
    let is_well = Arc::clone(is_well);
    Origin::scripted(move |exchange| {
        exchange.body()?;
        let is_check = exchange.request.target == "/healthz";
        if is_check && !is_well.load(Ordering::Relaxed) {
            return exchange.answer("503 Service Unavailable", "sick");
        }
        exchange
            .answer(if is_check { "204 No Content" } else { "200 OK" }, if is_check { "" } else { "checked" })
    })
}

const CHECK: &str =
    "health_check: { path: /healthz, interval: 100ms, healthy_threshold: 1, unhealthy_threshold: 2 }";

#[test]
fn an_address_that_fails_its_checks_is_not_used_until_it_passes_them() {
    let is_well = Arc::new(AtomicBool::new(true));
    let (checked, other) = (checked(&is_well), saying("other"));
    let gateway = gateway(&format!("{}, {CHECK}", at(&[&checked, &other])));
    let mut answers: Vec<_> = (0..4).map(|_| gateway.ask(&get("/")).text()).collect();
    answers.sort_unstable();
    assert_eq!(answers, ["checked", "checked", "other", "other"]);
    is_well.store(false, Ordering::Relaxed);
    gateway.wait_for_count(HEALTHY, &[LABEL], 1.0);
    assert!((0..10).all(|_| gateway.ask(&get("/")).text() == "other"));
    gateway.wait_for_message("fails its health checks and is not used: it answers 503");
    is_well.store(true, Ordering::Relaxed);
    gateway.wait_for_count(HEALTHY, &[LABEL], 2.0);
    assert_eq!((0..4).filter(|_| gateway.ask(&get("/")).text() == "checked").count(), 2);
    let check = checked.requests().into_iter().find(|request| request.target == "/healthz").unwrap();
    assert_eq!((check.method.as_str(), check.values("host")), ("GET", vec!["api.test"]));
    gateway.wait_for_count("approov_gateway_upstream_in_flight", &[LABEL], 0.0);
}

#[test]
fn the_only_address_that_is_down_is_503_without_an_attempt() {
    let mut dead = Origin::refusing();
    let check = "health_check: { type: tcp, interval: 100ms, healthy_threshold: 1 }";
    let gateway = gateway(&format!("{}, {check}", at(&[&dead])));
    gateway.wait_for_count(HEALTHY, &[LABEL], 0.0);
    let response = gateway.ask(&get("/"));
    assert_eq!((response.status, response.values("retry-after")), (503, vec!["1"]));
    gateway.wait_for_message("and is not used: 127.0.0.1:");
    let entry = gateway.wait_for_entry(|entry| entry["error.type"] == "all_down");
    let message = entry["error.message"].as_str().unwrap();
    assert!(message.contains("no address is used"), "{message}");
    dead.open(|exchange| exchange.answer("200 OK", "back"));
    gateway.wait_for_count(HEALTHY, &[LABEL], 1.0);
    assert_eq!(gateway.ask(&get("/")).text(), "back");
}

#[test]
fn a_health_check_that_times_out_has_failed() {
    let silent = Origin::troubled(|exchange| exchange.wait_for_hangup());
    let check = "health_check: { path: /, interval: 100ms, timeout: 100ms }";
    let gateway = gateway(&format!("{}, {check}", at(&[&silent])));
    gateway.wait_for_count(HEALTHY, &[LABEL], 0.0);
    gateway.wait_for_message("no answer within 100ms");
}

#[test]
fn the_health_of_an_unchanged_origin_survives_a_reload() {
    let (checked, other) = (checked(&Arc::new(AtomicBool::new(false))), saying("other"));
    // The interval is so long that there is only one check.
    let origin = format!(
        "{}, health_check: {{ path: /healthz, interval: 24h, timeout: 20s }}",
        at(&[&checked, &other])
    );
    let folder = Arc::new(Folder::new());
    let mut running = Reloadable::start(&folder, &config(&origin, ""));
    // The other origin answers `/healthz` with 200 too.
    running.gateway.wait_for_count(HEALTHY, &[LABEL], 1.0);
    for route in ["/a", "/b"] {
        running.reload(&config(&origin, &format!("routes: [ {{ path: {route}/ }} ]\n")));
        assert_eq!(counted(&running.gateway, "healthy_addresses", &[LABEL]), 1.0);
        assert!((0..4).all(|_| running.gateway.ask(&get(&format!("{route}/"))).text() == "other"));
    }
    assert_eq!(checked.targets(), ["/healthz"]);
    running.reload(&config(&format!("{origin}, read_timeout: 59s"), ""));
    eventually("a check of the changed origin", || (checked.requests().len() == 2).then_some(()));
}
