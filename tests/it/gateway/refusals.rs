//! Requests that are not from a genuine app: the answer, and the connection after it.

use std::thread;

use approov_gateway::approov::Rejection;
use serde_json::{Value, json};

use crate::harness::tokens::{self, in_seconds};
use crate::harness::{Gateway, Message, Origin, Setup, config_before, gateway_before};

const BEARER: &str = "Bearer abc";

/// The key for the tokens of apps that failed attestation.
const FAILED: &str = "a secret that signs the tokens of failed attestations";

/// A gateway with every check enabled.
fn demanding_gateway(origin: &Origin) -> Gateway {
    let config = config_before(origin, "").replace(
        "approov:\n",
        "approov:\n  strategy: token-binding\n  issuers: [approov.test]\n  audiences: [api.test]\n  \
         max_token_length: 2000\n",
    );
    let failed = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, FAILED);
    let key = format!("keys: [ {{ id: failed, role: failed_attestation, secret_base64: \"{failed}\" }}, ");
    Setup::bare().config(&config.replace("keys: [ ", &key)).start()
}

/// Claims that pass every check, with `changes`. `null` removes a claim.
fn claims(changes: &Value) -> Value {
    let bound = tokens::bound_to(BEARER);
    let payload = bound.split('.').nth(1).unwrap();
    let payload = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, payload).unwrap();
    let mut claims: Value = serde_json::from_slice(&payload).unwrap();
    claims["iss"] = json!("approov.test");
    claims["aud"] = json!("api.test");
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

fn token(changes: &Value) -> String {
    tokens::with_claims(claims(changes))
}

/// Header fields that cause each rejection.
fn cases() -> Vec<(Rejection, Vec<(&'static str, String)>)> {
    let good = token(&json!({}));
    let bound = |token: String| vec![("Approov-Token", token), ("Authorization", BEARER.to_owned())];
    let with_header = |header| tokens::with_header(&header, &claims(&json!({})));
    vec![
        (Rejection::MissingToken, vec![("Authorization", BEARER.to_owned())]),
        (Rejection::EmptyToken, bound(String::new())),
        (Rejection::ClientStatus, bound("NO_APPROOV_SERVICE".to_owned())),
        (Rejection::RepeatedToken, [bound(good.clone()), bound(good.clone())[..1].to_vec()].concat()),
        (Rejection::OversizedToken, bound("x".repeat(2001))),
        (Rejection::EncryptedToken, bound("a.b.c.d.e".to_owned())),
        (Rejection::MalformedToken, bound("a.b".to_owned())),
        (Rejection::UnsupportedAlgorithm, bound(with_header(json!({ "alg": "none" })))),
        (Rejection::UnknownKey, bound(with_header(json!({ "alg": "HS256", "kid": "other" })))),
        (Rejection::BadSignature, bound(tokens::wrongly_signed())),
        (Rejection::FailedAttestation, bound(tokens::signed_with(FAILED.as_bytes(), &claims(&json!({}))))),
        (Rejection::MissingExpiry, bound(token(&json!({ "exp": null })))),
        (Rejection::Expired, bound(token(&json!({ "exp": in_seconds(-1) })))),
        (Rejection::NotYetValid, bound(token(&json!({ "nbf": in_seconds(3600) })))),
        (Rejection::WrongIssuer, bound(token(&json!({ "iss": "other.test" })))),
        (Rejection::WrongAudience, bound(token(&json!({ "aud": "other.test" })))),
        (Rejection::MissingBindingClaim, bound(token(&json!({ "pay": null })))),
        (Rejection::MissingBindingHeader, bound(good.clone())[..1].to_vec()),
        (
            Rejection::RepeatedBindingHeader,
            [bound(good.clone()), vec![("authorization", BEARER.to_owned())]].concat(),
        ),
        (
            Rejection::StatusInBoundHeader,
            vec![("Approov-Token", good.clone()), ("Authorization", "Bearer rejected".to_owned())],
        ),
        (
            Rejection::BindingMismatch,
            vec![("Approov-Token", good), ("Authorization", "Bearer other".to_owned())],
        ),
    ]
}

fn with_fields(message: Message, fields: &[(&str, String)]) -> Message {
    fields.iter().fold(message, |message, (name, value)| message.field(name, value))
}

#[test]
fn every_rejection_gets_the_same_answer_and_is_counted_by_its_reason() {
    let origin = Origin::new();
    let gateway = demanding_gateway(&origin);
    let cases = cases();
    let mut tried: Vec<Rejection> = cases.iter().map(|(rejection, _)| *rejection).collect();
    tried.sort_unstable();
    // What a route asks beyond the token has tests of its own, and so have key sets.
    let of_tokens = Rejection::ALL.into_iter().filter(|rejection| {
        *rejection != Rejection::KeysUnavailable && *rejection < Rejection::ClaimNotAllowed
    });
    assert_eq!(tried, of_tokens.collect::<Vec<_>>());
    let mut answers = Vec::new();
    for (rejection, fields) in &cases {
        let response = gateway.ask(&with_fields(Message::get("/x"), fields));
        assert_eq!((response.status, response.text().as_str()), (401, "{}"), "{rejection:?}");
        assert_eq!(response.values("content-type"), ["application/json"]);
        assert_eq!(response.values("content-length"), ["2"]);
        answers.push(response.undated());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "answers differ: {answers:#?}");
    for (rejection, _) in &cases {
        let labels = [("verdict", "rejected"), ("policy", "protect"), ("reason", rejection.label())];
        gateway.wait_for_requests(&labels, 1.0);
    }
    assert_eq!(origin.bytes(), 0);
    let honest = Message::get("/honest").token(&token(&json!({}))).field("Authorization", BEARER);
    assert_eq!(gateway.ask(&honest).status, 200);
    assert_eq!(origin.targets(), ["/honest"]);
}

#[test]
fn the_refusal_does_not_depend_on_the_target() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let first = gateway.ask(&Message::get("/")).undated();
    for message in [
        Message::get("/a/b?c=d").field("Accept", "text/html").field("Origin", "https://a.test"),
        Message::new("DELETE", "/").host("other.test"),
        Message::new("OPTIONS", "/").field("Access-Control-Request-Method", "GET"),
        Message::new("MADE-UP", "/"),
        Message::post("/", "body").field("Content-Type", "application/json"),
        Message::get("/").field("Upgrade", "websocket").field("Connection", "Upgrade"),
        Message::get("/").field("If-None-Match", "*").field("Range", "bytes=0-"),
    ] {
        assert_eq!(gateway.ask(&message).undated(), first, "{message:?}");
    }
    gateway.assert_serves(&origin);
    assert_eq!(origin.targets(), ["/honest"]);
}

#[test]
fn a_refusal_keeps_the_connection() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let mut client = gateway.connect();
    for _ in 0..3 {
        assert_eq!(client.ask(&Message::get("/")).status, 401);
        assert_eq!(client.ask(&Message::post("/", "a small body")).status, 401);
        assert_eq!(client.ask(&Message::post("/", "")).status, 401);
        assert_eq!(client.ask(&Message::post("/", vec![b'x'; 64 * 1024])).status, 401);
        assert_eq!(client.ask(&Message::get("/honest").token(&tokens::valid())).status, 200);
    }
    assert_eq!(origin.targets(), ["/honest"; 3]);
}

#[test]
fn a_refused_client_that_asked_for_close_is_disconnected() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let mut client = gateway.connect();
    assert_eq!(client.ask(&Message::get("/").field("Connection", "close")).status, 401);
    client.assert_closed();
    client = gateway.connect();
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.response().status, 401);
    client.assert_closed();
    assert_eq!(origin.bytes(), 0);
}

#[test]
fn the_refusal_of_a_head_request_has_no_body() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let mut client = gateway.connect();
    for _ in 0..2 {
        let response = client.ask(&Message::new("HEAD", "/"));
        assert_eq!(response.status, 401);
        assert_eq!(response.values("content-length"), ["2"]);
    }
    assert_eq!(client.ask(&Message::get("/honest").token(&tokens::valid())).status, 200);
    assert_eq!(origin.targets(), ["/honest"]);
}

#[test]
fn a_refusal_does_not_wait_for_a_large_body() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    for framing in ["Content-Length: 100000000", "Transfer-Encoding: chunked"] {
        let mut client = gateway.connect();
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n"));
        let response = client.response();
        assert_eq!((response.status, response.text().as_str()), (401, "{}"), "{framing}");
        client.assert_closed();
    }
    gateway.assert_serves(&origin);
    assert_eq!(origin.targets(), ["/honest"]);
}

#[test]
fn a_client_that_sends_a_large_body_can_read_its_refusal() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    for _ in 0..5 {
        let mut client = gateway.connect();
        let body = vec![b'x'; 512 * 1024];
        client.send(Message::post("/", body).bytes());
        let response = client.response();
        assert_eq!((response.status, response.text().as_str()), (401, "{}"));
        client.assert_closed();
    }
    gateway.assert_serves(&origin);
    assert_eq!(origin.targets(), ["/honest"]);
}

#[test]
fn a_refused_client_never_gets_100_continue() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    assert_eq!(client.response().status, 401);
    client.assert_closed();
    assert_eq!(origin.bytes(), 0);
}

#[test]
fn many_concurrent_refusals_do_not_stop_honest_requests() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let refused = || (0..50).filter(|_| gateway.ask(&Message::get("/")).status == 401).count();
    thread::scope(|scope| {
        let floods: Vec<_> = (0..4).map(|_| scope.spawn(refused)).collect();
        for _ in 0..20 {
            gateway.assert_serves(&origin);
        }
        for flood in floods {
            assert_eq!(flood.join().unwrap(), 50);
        }
    });
    gateway.wait_for_requests(&[("reason", "missing_token")], 200.0);
    assert_eq!(origin.targets(), ["/honest"; 20]);
}
