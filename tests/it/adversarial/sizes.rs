//! Size limits: head, fields, target, token, body.

use super::{configured, get, limited, refused};
use crate::harness::{Gateway, Http2Client, Message, Origin, Response, tokens};

const SMALL: &str =
    "requests: { header_bytes: 4KiB, header_count: 20, target_bytes: 1KiB, body_bytes: 10000 }";

/// Sends the request over HTTP/1 and over HTTP/2, each on a new connection.
fn ask_both(gateway: &Gateway, message: &Message) -> [Response; 2] {
    [gateway.ask(message), Http2Client::connect(gateway.address()).ask(message)]
}

fn statuses(answers: &[Response; 2]) -> [u16; 2] {
    [answers[0].status, answers[1].status]
}

#[test]
fn requests_at_each_size_limit_are_served_and_larger_ones_refused() {
    let origin = Origin::new();
    let gateway = limited(&origin, SMALL);
    for (what, fits, exceeds, status, cause) in [
        (
            "target",
            get(&format!("/{}", "x".repeat(1023))),
            get(&format!("/{}", "x".repeat(1024))),
            414,
            "target_size",
        ),
        // `Host` (`:authority` in HTTP/2) and the token count as two fields.
        ("fields", with_fields(18), with_fields(19), 431, "header_size"),
        ("declared body", post(10_000), post(10_001), 413, "body_size"),
    ] {
        let fit = ask_both(&gateway, &fits);
        assert_eq!(statuses(&fit), [200, 200], "{what}: {}", fit[0].undated());
        let before = (origin.requests().len(), refused(&gateway, cause));
        let answers = ask_both(&gateway, &exceeds);
        assert_eq!(statuses(&answers), [status; 2], "{what}");
        assert!(answers.iter().all(|answer| answer.text() == "{}"), "{what}");
        assert_eq!(origin.requests().len(), before.0, "{what}: nothing reaches the origin");
        assert_eq!(refused(&gateway, cause), before.1 + 2.0, "{what}");
        gateway.assert_serves(&origin);
    }
}

fn with_fields(count: usize) -> Message {
    (0..count).fold(get("/fields"), |message, number| message.field(&format!("x-{number}"), "1"))
}

fn post(length: usize) -> Message {
    Message::post("/body", vec![b'x'; length]).token(&tokens::valid())
}

#[test]
fn a_head_that_is_too_long_is_refused() {
    let origin = Origin::new();
    let gateway = limited(&origin, SMALL);
    let large = get("/x").field("x-large", &"x".repeat(5000));
    assert_eq!(gateway.ask(&large).status, 431);
    // Over HTTP/2 the `h2` library refuses the head, before the gateway sees it.
    let mut client = Http2Client::connect(gateway.address());
    let pending = client.send(&large);
    match client.try_response(pending) {
        Ok(answer) => assert_eq!(answer.status, 431),
        Err(error) => assert!(error.is_reset() || error.is_go_away(), "{error}"),
    }
    // A line of one megabyte is not read to its end.
    let mut client = gateway.connect();
    let _ = client.try_send([b"GET /".as_slice(), &vec![b'x'; 1 << 20]].concat());
    assert_eq!(client.response().status, 414);
    let mut client = gateway.connect();
    let _ = client.try_send([b"GET / HTTP/1.1\r\nX: ".as_slice(), &vec![b'x'; 1 << 20]].concat());
    assert_eq!(client.response().status, 431);
    assert_eq!(origin.bytes(), 0);
    gateway.assert_serves(&origin);
}

#[test]
fn large_tokens_and_heads_are_refused_by_default() {
    let origin = Origin::new();
    let gateway = crate::harness::gateway_before(&origin);
    for message in [
        Message::get("/").token(&"x".repeat(64 * 1024)),
        Message::get("/").token(&"x".repeat(9000)),
        get("/").field("x", &"x".repeat(1 << 20)),
        (0..1000).fold(get("/"), |message, number| message.field(&format!("x-{number}"), "1")),
    ] {
        let mut client = gateway.connect();
        let _ = client.try_send(message.bytes());
        assert!((400..500).contains(&client.response().status));
    }
    assert_eq!(origin.bytes(), 0);
    gateway.assert_serves(&origin);
}

#[test]
fn an_endless_body_is_cut_off_and_never_completes_at_the_origin() {
    let origin = Origin::new();
    let gateway = limited(&origin, SMALL);
    let mut client = gateway.connect();
    client.send(format!(
        "POST /endless HTTP/1.1\r\nHost: a\r\nApproov-Token: {}\r\nTransfer-Encoding: chunked\r\n\r\n",
        tokens::valid()
    ));
    let chunk = format!("400\r\n{}\r\n", "x".repeat(0x400));
    for _ in 0..100 {
        if client.try_send(&chunk).is_err() {
            break;
        }
    }
    let answer = client.response();
    assert_eq!((answer.status, answer.values("connection")), (413, vec!["close"]));
    let mut http2 = Http2Client::connect(gateway.address());
    let mut pending = http2.begin(&Message::new("POST", "/endless").token(&tokens::valid()), false);
    http2.send_body(&mut pending, &vec![b'x'; 60_000], false);
    assert_eq!(http2.response(pending).status, 413);
    assert_eq!(http2.ask(&get("/x")).status, 200, "the connection is kept");
    let received: Vec<_> = origin
        .requests()
        .into_iter()
        .filter(|request| request.target == "/endless")
        .map(|request| request.body.len())
        .collect();
    assert!(!received.is_empty() && received.iter().all(|length| *length <= 10_000), "{received:?}");
    assert_eq!(refused(&gateway, "body_size"), 2.0);
    let entry = gateway.wait_for_entry(|entry| entry["approov.limit"] == "body_size");
    assert_eq!(
        (&entry["http.response.status_code"], &entry["error.type"]),
        (&413.into(), &"client_too_large".into())
    );
    gateway.assert_serves(&origin);
}

#[test]
fn a_route_has_its_own_body_limit() {
    let origin = Origin::new();
    let gateway = configured(
        &origin,
        "limits: { requests: { body_bytes: 100 } }\n\
         routes: [ { path: /photos, limits: { body_bytes: 1MiB } }, { path: /none, limits: { body_bytes: 0 } }, { path: / } ]\n",
    );
    let ask = |target: &str, length: usize| {
        gateway.ask(&Message::post(target, vec![b'x'; length]).token(&tokens::valid())).status
    };
    assert_eq!([ask("/photos", 1 << 20), ask("/photos", (1 << 20) + 1)], [200, 413]);
    assert_eq!([ask("/x", 100), ask("/x", 101)], [200, 413]);
    assert_eq!([ask("/none", 1), gateway.ask(&get("/none")).status], [413, 200]);
}

#[test]
fn a_client_that_expects_100_continue_is_refused_before_it_sends_a_large_body() {
    let origin = Origin::new();
    let gateway = limited(&origin, SMALL);
    let mut client = gateway.connect();
    client.send(format!(
        "POST /x HTTP/1.1\r\nHost: a\r\nApproov-Token: {}\r\nContent-Length: 10001\r\nExpect: 100-continue\r\n\r\n",
        tokens::valid()
    ));
    assert_eq!(client.response().status, 413);
    assert_eq!(origin.bytes(), 0);
}
