//! Bodies with a digest that is signed: what reaches the origin, and when.

use serde_json::json;

use super::{App, HELLO, HELLO_DIGEST, HOST, digested, gateway, gateway_with_h2c};
use crate::harness::{Http2Client, Message, Origin};

const EMPTY_DIGEST: &str = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";

/// The body in one chunk, with a trailer section.
fn with_trailer(fields: &str) -> Message {
    let body = format!("{:x}\r\n{HELLO}\r\n0\r\n{fields}\r\n", HELLO.len());
    Message::new("POST", "/a").field("Transfer-Encoding", "chunked").raw_body(body)
}

fn chunked(parts: &[&str]) -> Message {
    let chunks: String = parts.iter().map(|part| format!("{:x}\r\n{part}\r\n", part.len())).collect();
    // The body is written as it is: the harness would add a length.
    Message::new("POST", "/a").field("Transfer-Encoding", "chunked").raw_body(format!("{chunks}0\r\n\r\n"))
}

#[test]
fn a_body_reaches_the_origin_only_with_the_digest_that_was_signed() {
    let origin = Origin::new();
    let gateway = gateway(&origin, "mode: required", "");
    let app = App::install();
    let as_string = HELLO_DIGEST.replacen(':', "\"", 1).replace("=:", "=\"");
    let sha512 = {
        use base64::Engine;
        use sha2::Digest;
        let hash = sha2::Sha512::digest(HELLO);
        format!("sha-512=:{}:", base64::engine::general_purpose::STANDARD.encode(hash))
    };
    let post = |body: &str| Message::post("/a", body);
    let uncovered =
        app.sign(post(HELLO).host(HOST).field("Content-Digest", HELLO_DIGEST), "http://api.test/a", &[]);
    let mut arrived = 0;
    for (name, message, expected) in [
        ("right", digested(&app, post(HELLO), HELLO_DIGEST), 200),
        ("a string", digested(&app, post(HELLO), &as_string), 200),
        ("sha-512", digested(&app, post(HELLO), &sha512), 200),
        ("both", digested(&app, post(HELLO), &format!("{sha512}, {HELLO_DIGEST}")), 200),
        ("chunked", digested(&app, chunked(&["{\"hello\"", ":\"world\"}"]), HELLO_DIGEST), 200),
        ("empty", digested(&app, post(""), EMPTY_DIGEST), 200),
        ("empty and chunked", digested(&app, chunked(&[]), EMPTY_DIGEST), 200),
        ("without a body", digested(&app, Message::new("POST", "/a"), EMPTY_DIGEST), 200),
        ("a body without a digest", app.sign(post(HELLO).host(HOST), "http://api.test/a", &[]), 200),
        (
            "with trailers",
            digested(
                &app,
                with_trailer(&format!("X-Trailer: 1\r\nContent-Digest: {EMPTY_DIGEST}\r\n")),
                HELLO_DIGEST,
            ),
            200,
        ),
        ("wrong", digested(&app, post("{\"hello\":\"World\"}"), HELLO_DIGEST), 401),
        ("one of two wrong", digested(&app, post(HELLO), &format!("{sha512}, {EMPTY_DIGEST}")), 401),
        ("chunked and wrong", digested(&app, chunked(&["{}"]), HELLO_DIGEST), 401),
        ("no body and wrong", digested(&app, Message::new("POST", "/a"), HELLO_DIGEST), 401),
        ("uncovered", uncovered, 401),
        ("unknown", digested(&app, post(HELLO), "md5=:AA==:"), 401),
    ] {
        let before = origin.bytes();
        assert_eq!(gateway.ask(&message).status, expected, "{name}");
        if expected == 200 {
            arrived += 1;
            let requests = origin.requests();
            assert_eq!(requests.len(), arrived, "{name}");
            let body = if name.contains("empty") || name == "without a body" { "" } else { HELLO };
            assert_eq!(String::from_utf8_lossy(&requests[arrived - 1].body), body, "{name}");
        } else {
            assert_eq!(origin.bytes(), before, "{name}");
        }
    }
    gateway.wait_for_requests(&[("reason", "content_digest_mismatch")], 4.0);
}

/// Both happen at once, so that two copies of a request cannot pass side by side.
#[test]
fn a_signature_is_spent_by_the_first_request_even_if_its_body_is_wrong() {
    let origin = Origin::new();
    let gateway = gateway(&origin, "mode: required, replay: { mode: enforce }", "");
    let app = App::install();
    let right = digested(&app, Message::post("/a", HELLO), HELLO_DIGEST);
    let wrong = String::from_utf8(right.bytes()).unwrap().replace("world", "World");
    let mut client = gateway.connect();
    client.send(wrong);
    assert_eq!(client.response().status, 401);
    gateway.wait_for_requests(&[("reason", "content_digest_mismatch")], 1.0);
    assert_eq!(gateway.ask(&right).status, 401);
    gateway.wait_for_requests(&[("reason", "replayed_signature")], 1.0);
    assert_eq!(origin.bytes(), 0);
}

#[test]
fn a_digest_over_http2_is_verified_as_well() {
    let origin = Origin::new();
    let gateway = gateway_with_h2c(&origin);
    let app = App::install();
    let mut client = Http2Client::connect(gateway.address());
    assert_eq!(client.ask(&digested(&app, Message::post("/a", HELLO), HELLO_DIGEST)).status, 200);
    assert_eq!(client.ask(&digested(&app, Message::post("/a", "{}"), HELLO_DIGEST)).status, 401);
    assert_eq!(origin.requests().len(), 1);
    assert_eq!(origin.requests()[0].body, HELLO.as_bytes());
}

#[test]
fn a_body_longer_than_the_buffer_gets_413_and_a_required_digest_must_be_there() {
    let origin = Origin::new();
    let gateway = gateway(&origin, "mode: required, body_digest: required, digest_buffer: 1KiB", "");
    let app = App::install();
    let long = "x".repeat(1025);
    assert_eq!(gateway.ask(&digested(&app, Message::post("/a", &*long), HELLO_DIGEST)).status, 413);
    assert_eq!(gateway.ask(&digested(&app, chunked(&[&long]), HELLO_DIGEST)).status, 413);
    let bare = app.sign(Message::post("/a", HELLO).host(HOST), "http://api.test/a", &[]);
    assert_eq!(gateway.ask(&bare).status, 401);
    // A trailer comes after the decision.
    let late = with_trailer(&format!("Content-Digest: {HELLO_DIGEST}\r\n")).host(HOST);
    assert_eq!(gateway.ask(&app.sign(late, "http://api.test/a", &[])).status, 401);
    gateway.wait_for_requests(&[("reason", "missing_content_digest")], 2.0);
    assert_eq!(origin.bytes(), 0);
    assert_eq!(gateway.ask(&app.get("/a")).status, 200, "no body, no digest");
    assert_eq!(gateway.ask(&digested(&app, Message::post("/a", HELLO), HELLO_DIGEST)).status, 200);
}

#[test]
fn an_observed_route_forwards_a_body_whatever_its_digest_and_length() {
    let origin = Origin::new();
    let routes = "routes: [ { path: /, policy: observe } ]\n";
    let gateway = gateway(&origin, "mode: required, digest_buffer: 1KiB", routes);
    let app = App::install();
    for body in [HELLO, "{\"hello\":\"World\"}", &"x".repeat(1025)] {
        assert_eq!(gateway.ask(&digested(&app, Message::post("/a", body), HELLO_DIGEST)).status, 200);
        let requests = origin.requests();
        let arrived = requests.last().map(|request| String::from_utf8_lossy(&request.body).into_owned());
        assert_eq!(arrived.as_deref(), Some(body));
    }
}

#[test]
fn a_client_that_waits_for_100_is_asked_for_its_body() {
    let origin = Origin::new();
    let gateway = gateway(&origin, "mode: required", "");
    let app = App::install();
    let message = digested(&app, Message::post("/a", HELLO).field("Expect", "100-continue"), HELLO_DIGEST);
    let bytes = message.bytes();
    let (head, body) = bytes.split_at(bytes.len() - HELLO.len());
    let mut client = gateway.connect();
    client.send(head);
    assert_eq!(client.head().status, 100);
    client.send(body);
    assert_eq!(client.response_to("POST").status, 200);
    assert_eq!(origin.only_request().body, HELLO.as_bytes());
}

/// A request with `Expect` goes through Pingora's proxy, whatever the exchange is.
#[test]
fn a_body_that_breaks_off_before_its_digest_is_verified_is_recorded() {
    let (app, origin) = (App::install(), Origin::new());
    let gateway = gateway(&origin, "mode: required", "");
    for (path, fields) in [("/direct", &[][..]), ("/pingora", &[("Expect", "100-continue")])] {
        let message = Message::post(path, HELLO).host(HOST).field("Content-Digest", HELLO_DIGEST);
        let message = fields.iter().fold(message, |message, (name, value)| message.field(name, value));
        let uri = format!("http://{HOST}{path}");
        let bytes = app.sign(message, &uri, &[("\"content-digest\"", HELLO_DIGEST)]).bytes();
        let mut client = gateway.connect();
        client.send(&bytes[..bytes.len() - 1]);
        if !fields.is_empty() {
            assert_eq!(client.head().status, 100, "the gateway waits for the body");
        }
        drop(client);
        let entry = gateway.wait_for_entry(|entry| entry["url.path"] == path);
        assert_eq!(
            (&entry["approov.verdict"], &entry["error.type"]),
            (&json!("accepted"), &json!("client_closed"))
        );
    }
    gateway.wait_for_requests(&[("verdict", "accepted")], 2.0);
    assert!(origin.requests().is_empty());
}
