//! The admin listener, metrics and the access log.

use serde_json::{Value, json};

use crate::harness::tokens::{self, in_seconds};
use crate::harness::{Message, Origin, Setup, config_before, gateway_before};

#[test]
fn probes_answer_on_the_admin_listener_only() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    for path in ["/livez", "/readyz", "/healthz"] {
        assert_eq!(gateway.admin(path).status, 200, "{path}");
        assert_eq!(gateway.ask(&Message::get(path)).status, 401, "{path}");
        assert_eq!(gateway.ask(&Message::get(path).token(&tokens::valid())).text(), "hello", "{path}");
    }
    assert_eq!(gateway.admin("/nothing").status, 404);
    assert_eq!(origin.targets(), ["/livez", "/readyz", "/healthz"]);
}

#[test]
fn the_version_is_json() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let response = gateway.admin("/version");
    assert_eq!(response.values("content-type"), ["application/json"]);
    let version: Value = serde_json::from_str(&response.text()).unwrap();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(version["pid"], gateway.pid());
    assert_eq!(version["config_generation"], 1);
    assert!(version["started"].as_str().is_some_and(|started| started.starts_with("20")), "{version}");
}

#[test]
fn readiness_ends_when_draining_begins_and_requests_in_progress_finish() {
    let (go_on, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let origin = Origin::scripted(move |exchange| {
        wait.lock().unwrap().recv().unwrap();
        exchange.answer("200 OK", "hello")
    });
    let mut gateway = gateway_before(&origin);
    let mut client = gateway.connect();
    client.send(Message::get("/").token(&tokens::valid()).bytes());
    origin.wait_until("the request", |record| record.requests.len() == 1);
    gateway.signal("TERM");
    crate::harness::eventually("the end of readiness", || {
        (gateway.admin("/readyz").status == 503).then_some(())
    });
    assert_eq!(gateway.admin("/livez").status, 200);
    go_on.send(()).unwrap();
    assert_eq!(client.response().text(), "hello");
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
    gateway.wait_for_entry(|_| true);
    let entries = gateway.entries();
    assert_eq!(entries.len(), 1, "{entries:?}");
}

#[test]
fn metrics_have_the_documented_names_and_labels() {
    let origin = Origin::troubled(|_| Ok(crate::harness::Then::Reset));
    let gateway = gateway_before(&origin);
    gateway.assert_serves(&origin);
    assert_eq!(gateway.ask(&Message::get("/").token(&tokens::valid())).status, 502);
    assert_eq!(gateway.ask(&Message::get("/").host("evil\"label.test")).status / 100, 4);
    gateway.wait_for_count("approov_gateway_request_duration_seconds_count", &[], 3.0);
    let metrics = gateway.metrics();
    let expected: [(&str, &[&str]); 5] = [
        ("approov_gateway_requests_total", &["policy", "reason", "route", "verdict"]),
        ("approov_gateway_request_duration_seconds_count", &["route"]),
        ("approov_gateway_upstream_errors_total", &["kind", "origin"]),
        ("approov_gateway_config_reloads_total", &["result"]),
        ("approov_gateway_config_last_reload_success", &[]),
    ];
    for (name, labels) in expected {
        let samples: Vec<_> = metrics.samples().filter(|sample| sample.name == name).collect();
        assert!(!samples.is_empty(), "{name} is missing:\n{}", metrics.text);
        for sample in samples {
            let mut names: Vec<&str> = sample.labels.iter().map(|(name, _)| *name).collect();
            names.sort_unstable();
            assert_eq!(names, labels, "{sample:?}");
        }
    }
    assert_eq!(metrics.sum("approov_gateway_build_info", &[]), 1.0);
    assert!(!metrics.text.contains("evil"), "{}", metrics.text);
    for sample in metrics.samples() {
        assert!(
            sample.name.starts_with("approov_gateway_") || sample.name.starts_with("process_"),
            "{sample:?}"
        );
    }
}

#[test]
fn metrics_do_not_grow_with_client_input() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let ask = |number: u32| {
        let message =
            Message::new(&format!("M{number}"), &format!("/p{number}")).host(&format!("h{number}.test"));
        assert_eq!(gateway.ask(&message.token(&format!("t{number}.a.b"))).status, 401);
    };
    ask(0);
    gateway.wait_for_requests(&[], 1.0);
    let lines = gateway.metrics().text.lines().count();
    (1..50).for_each(ask);
    gateway.wait_for_requests(&[], 50.0);
    assert_eq!(gateway.metrics().text.lines().count(), lines);
}

#[test]
fn an_accepted_request_is_logged_with_its_details() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let claims = json!({ "exp": in_seconds(60), "did": "ExampleApproovTokenDID==", "arc": "0123456789" });
    let message = Message::post("/v1/posts?secret=1", "body")
        .token(&tokens::with_claims(claims))
        .field("User-Agent", "app/1.0");
    assert_eq!(gateway.ask(&message).status, 200);
    let entry = gateway.wait_for_entry(|entry| entry["url.path"] == "/v1/posts");
    for (name, value) in [
        ("http.request.method", json!("POST")),
        ("http.response.status_code", json!(200)),
        ("client.address", json!("127.0.0.1")),
        ("network.protocol.version", json!("1.1")),
        ("server.address", json!("gateway.test")),
        ("user_agent.original", json!("app/1.0")),
        ("http.request.body.size", json!(4)),
        ("http.response.body.size", json!(5)),
        ("approov.verdict", json!("accepted")),
        ("approov.reason", json!("ok")),
        ("approov.policy", json!("protect")),
        ("approov.did", json!("ExampleApproovTokenDID==")),
        ("approov.arc", json!("0123456789")),
        ("approov.origin", json!("api")),
    ] {
        assert_eq!(entry[name], value, "{name} in {entry}");
    }
    let duration = entry["http.server.request.duration"].as_f64().unwrap();
    assert!(duration > 0.0 && duration < 20.0, "{entry}");
    assert!(!entry.to_string().contains("secret"), "{entry}");
}

#[test]
fn a_refused_request_is_logged_with_its_reason() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let cases = [
        ("/missing", Message::get("/missing"), "missing_token"),
        ("/expired", Message::get("/expired").token(&tokens::expired()), "expired"),
        ("/signature", Message::get("/signature").token(&tokens::wrongly_signed()), "bad_signature"),
        ("/status", Message::get("/status").token("NO_NETWORK"), "client_status"),
    ];
    for (path, message, reason) in cases {
        assert_eq!(gateway.ask(&message).status, 401);
        let entry = gateway.wait_for_entry(|entry| entry["url.path"] == path);
        assert_eq!(entry["approov.verdict"], "rejected");
        assert_eq!(entry["approov.reason"], reason);
        assert_eq!(entry["http.response.status_code"], 401);
        assert_eq!(entry.get("approov.origin"), None);
        // The device id is logged only if the signature is valid.
        assert_eq!(entry.get("approov.did").is_some(), reason == "expired", "{entry}");
    }
}

#[test]
fn malformed_requests_are_logged_too() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let mut client = gateway.connect();
    client.send("GET /twice HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n");
    assert_eq!(client.response().status, 400);
    let entry = gateway.wait_for_entry(|entry| entry["url.path"] == "/twice");
    assert_eq!(
        (&entry["http.response.status_code"], &entry["approov.verdict"]),
        (&json!(400), &json!("denied"))
    );
}

#[test]
fn the_access_log_can_be_disabled() {
    let origin = Origin::new();
    let gateway = Setup::bare().config(&config_before(&origin, "log: { access: off }\n")).start();
    gateway.assert_serves(&origin);
    gateway.wait_for_requests(&[("verdict", "accepted")], 1.0);
    assert_eq!(gateway.ask(&Message::get("/")).status, 401);
    let mut gateway = gateway;
    gateway.signal("TERM");
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
    assert_eq!(gateway.stdout(), b"");
}

#[test]
fn sample_leaves_out_ordinary_requests_only() {
    let origin = Origin::scripted(|exchange| {
        exchange.body()?;
        let is_broken = exchange.request.target.starts_with("/broken");
        exchange.answer(if is_broken { "500 Internal Server Error" } else { "200 OK" }, "")
    });
    let config = crate::harness::config_before(&origin, "log: { sample: 10% }\n");
    let gateway = crate::harness::Setup::bare().config(&config).start();
    let mut client = gateway.connect();
    for number in 0..50 {
        assert_eq!(client.ask(&crate::harness::get("/ordinary")).status, 200);
        if number < 5 {
            assert_eq!(client.ask(&crate::harness::get("/broken")).status, 500);
            assert_eq!(client.ask(&crate::harness::Message::get("/refused")).status, 401);
        }
    }
    gateway.wait_for_requests(&[], 60.0);
    // A request of a second or more is notable, and this machine may be that slow.
    let is_slow = |entry: &serde_json::Value| entry["http.server.request.duration"].as_f64().unwrap() >= 1.0;
    let entries = crate::harness::eventually("all lines", || {
        let entries = gateway.entries();
        let ordinary = |entry: &&serde_json::Value| entry["url.path"] == "/ordinary";
        let slow = entries.iter().filter(ordinary).filter(|entry| is_slow(entry)).count();
        (entries.iter().filter(ordinary).count() == slow + (50 - slow) / 10).then_some(entries)
    });
    let count = |path: &str| entries.iter().filter(|entry| entry["url.path"] == path).count();
    assert_eq!((count("/broken"), count("/refused")), (5, 5));
    for entry in &entries {
        let is_sampled = entry["url.path"] == "/ordinary" && !is_slow(entry);
        let rate = entry.get("sample_rate").and_then(serde_json::Value::as_f64);
        assert_eq!(rate, is_sampled.then_some(0.1), "{entry}");
    }
}
