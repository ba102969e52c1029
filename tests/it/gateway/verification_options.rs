//! What routes ask beyond a token, and what the origin, the log and the app are told.

use serde_json::{Value, json};

use crate::harness::tokens::{self, in_seconds};
use crate::harness::{Gateway, Message, Origin, Setup, config_before};

fn gateway(origin: &Origin, rest: &str) -> Gateway {
    Setup::bare().config(&config_before(origin, rest)).start()
}

fn token(claims: &Value) -> String {
    let mut all = json!({ "exp": in_seconds(3600) });
    for (name, value) in claims.as_object().unwrap() {
        all[name] = value.clone();
    }
    tokens::with_claims(all)
}

#[test]
fn conditions_on_claims_keep_web_tokens_out() {
    let origin = Origin::new();
    let rest = "routes: [ { path: /, require_claims: { did: present, embed: absent, aud: [a, b] } } ]\n";
    let gateway = gateway(&origin, rest);
    for (claims, expected) in [
        (json!({ "did": "d", "aud": "a" }), 200),
        (json!({ "did": "d", "aud": "b" }), 200),
        (json!({ "did": "d", "aud": "c" }), 401),
        (json!({ "did": null, "aud": "a" }), 401),
        (json!({ "did": "d", "aud": "a", "embed": { "hcap:site": "x" } }), 401),
        (json!({}), 401),
    ] {
        let message = Message::get("/a").token(&token(&claims));
        assert_eq!(gateway.ask(&message).status, expected, "{claims}");
    }
    assert_eq!(origin.requests().len(), 2);
    gateway.wait_for_requests(&[("reason", "claim_not_allowed")], 4.0);
}

#[test]
fn verified_claims_are_forwarded_and_no_client_can_send_them() {
    let origin = Origin::new();
    let gateway = gateway(&origin, "forward_claims: { X-Approov-Device: did, X-Approov-ARC: arc }\n");
    let forged = |message: Message| {
        message
            .field("X-Approov-Device", "forged")
            .field("x_approov_device", "forged")
            .field("X.Approov.ARC", "forged")
            .field("Approov-Gateway-Verdict", "forged")
            .field("approov_gateway_verdict", "forged")
    };
    assert_eq!(
        gateway
            .ask(&forged(Message::get("/a").token(&token(&json!({ "did": "ExampleApproovTokenDID==" })))))
            .status,
        200
    );
    assert_eq!(
        gateway.ask(&forged(Message::get("/b").token(&token(&json!({ "did": "a\r\nb", "arc": 1 }))))).status,
        200
    );
    let requests = origin.requests();
    assert_eq!(requests[0].values("x-approov-device"), ["ExampleApproovTokenDID=="]);
    assert!(requests[1].values("x-approov-device").is_empty());
    for request in &requests {
        let head = String::from_utf8_lossy(&request.head);
        assert!(!head.contains("forged"), "{head}");
        assert!(!request.has("x-approov-arc") && !request.has("approov-gateway-verdict"), "{head}");
    }
}

#[test]
fn the_origin_of_an_observed_route_is_told_the_verdict() {
    let origin = Origin::new();
    let gateway = gateway(&origin, "routes: [ { path: /, policy: observe } ]\n");
    for (message, verdict) in [
        (Message::get("/a").token(&tokens::valid()), "accepted"),
        (Message::get("/b").token(&tokens::expired()), "rejected; reason=expired"),
        (Message::get("/c").field("Approov-Gateway-Verdict", "accepted"), "rejected; reason=missing_token"),
    ] {
        assert_eq!(gateway.ask(&message).status, 200);
        assert_eq!(origin.requests().last().unwrap().values("approov-gateway-verdict"), [verdict]);
    }
}

#[test]
fn preflights_are_answered_or_forwarded_without_a_token_and_nothing_else_is() {
    let preflight = |target: &str| {
        Message::new("OPTIONS", target)
            .field("Origin", "https://app.test")
            .field("Access-Control-Request-Method", "PUT")
            .field("Access-Control-Request-Headers", "approov-token")
    };
    let origin = Origin::new();
    let rest = "routes: [ { path: /answer/, preflight: answer }, { path: /forward/, preflight: forward }, { path: / } ]\n";
    let gateway = gateway(&origin, rest);
    let answer = gateway.ask(&preflight("/answer/a"));
    assert_eq!((answer.status, answer.text().as_str()), (204, ""));
    assert_eq!(answer.values("access-control-allow-origin"), ["https://app.test"]);
    assert_eq!(answer.values("access-control-allow-methods"), ["PUT"]);
    assert_eq!(answer.values("access-control-allow-headers"), ["approov-token"]);
    assert_eq!(origin.bytes(), 0);
    for message in [
        preflight("/verify"),
        Message::new("OPTIONS", "/answer/a"),
        Message::new("OPTIONS", "/forward/a").field("Origin", "https://app.test"),
        Message::new("OPTIONS", "/forward/a").field("Access-Control-Request-Method", "PUT"),
        preflight("/forward/a").field("Origin", "https://other.test"),
        preflight("/forward/a").body("x"),
        Message::get("/forward/a")
            .field("Origin", "https://app.test")
            .field("Access-Control-Request-Method", "PUT"),
    ] {
        assert_eq!(gateway.ask(&message).status, 401, "{message:?}");
    }
    assert_eq!(origin.bytes(), 0);
    assert_eq!(gateway.ask(&preflight("/forward/a")).status, 200);
    assert_eq!(origin.only_request().method, "OPTIONS");
}

#[test]
fn the_log_names_unverified_claims_as_such_and_the_app_can_be_told_the_arc() {
    let origin = Origin::new();
    let gateway = gateway(&origin, "rejection: { details: [arc] }\n");
    let (arc, did) = ("ABCDEFGHIJKLMNOP", "ExampleApproovTokenDID==");
    let claims = json!({ "exp": in_seconds(3600), "arc": arc, "did": did });
    let failed = tokens::signed_with(b"another secret, as of an app that failed", &claims);
    let answer = gateway.ask(&Message::get("/failed").token(&failed).field("Approov-Status", "rejected"));
    assert_eq!((answer.status, answer.values("approov-arc")), (401, vec![arc]));
    let entry = gateway.wait_for_entry(|entry| entry["url.path"] == "/failed");
    assert_eq!(entry["approov.reason"], "bad_signature");
    assert_eq!(entry["approov.unverified.arc"], arc);
    assert_eq!(entry["approov.unverified.did"], did);
    assert_eq!(entry["approov.status"], "rejected");
    assert_eq!((&entry["approov.arc"], &entry["approov.did"]), (&Value::Null, &Value::Null));

    let odd = json!({ "exp": in_seconds(3600), "arc": "<script>alert(1)", "did": "x".repeat(5000) });
    let odd = tokens::signed_with(b"another secret, as of an app that failed", &odd);
    let answer = gateway.ask(&Message::get("/odd").token(&odd).field("Approov-Status", "\u{e9}vil"));
    assert_eq!((answer.status, answer.values("approov-arc")), (401, Vec::new()));
    let entry = gateway.wait_for_entry(|entry| entry["url.path"] == "/odd");
    assert_eq!(
        (&entry["approov.unverified.arc"], &entry["approov.unverified.did"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(entry["approov.status"], "other");

    let answer = gateway.ask(&Message::get("/ok").token(&tokens::valid()).field("Approov-Status", "success"));
    assert_eq!((answer.status, answer.values("approov-arc")), (200, Vec::new()));
    for (status, count) in [("rejected", 1.0), ("other", 1.0), ("success", 1.0), ("no_network", 0.0)] {
        gateway.wait_for_count("approov_gateway_app_statuses_total", &[("status", status)], count);
    }
    assert_eq!(origin.targets(), ["/ok"]);
}

#[test]
fn app_statuses_are_counted_without_an_access_log_as_well() {
    let origin = Origin::new();
    let gateway = gateway(&origin, "log: { access: off }\n");
    let message = Message::get("/").token(&tokens::valid()).field("Approov-Status", "success");
    assert_eq!(gateway.ask(&message).status, 200);
    gateway.wait_for_count("approov_gateway_app_statuses_total", &[("status", "success")], 1.0);
}

#[test]
fn tokens_of_the_failover_service_are_accepted_only_if_configured() {
    for (failover, expected) in [("reject", 401), ("accept", 200)] {
        let origin = Origin::new();
        let keys = format!(
            "approov:\n  failover: {failover}\n  strategy: token-binding\n  message_signing: {{ mode: required }}\n"
        );
        let config = config_before(&origin, "").replace("approov:\n", &keys);
        let gateway = Setup::bare().config(&config).start();
        let plain = Message::get("/a").field("Authorization", "Bearer a");
        assert_eq!(gateway.ask(&plain.clone().token(&token(&json!({})))).status, expected, "{failover}");
        let wrong = token(&json!({ "pay": "wrong" }));
        assert_eq!(gateway.ask(&plain.clone().token(&wrong)).status, 401, "a wrong binding");
        let keyed = token(&json!({ "ipk": "wrong" }));
        assert_eq!(gateway.ask(&plain.token(&keyed)).status, 401, "a wrong key");
        let count = if failover == "accept" { 1.0 } else { 0.0 };
        gateway.wait_for_count("approov_gateway_failover_tokens_total", &[], count);
    }
}
