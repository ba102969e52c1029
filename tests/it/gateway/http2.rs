//! HTTP/2 clients in clear text.

use std::net::SocketAddr;

use crate::harness::{
    Client, Gateway, Http2Client, Message, Origin, Setup, config_before, eventually, get, latin1, tokens,
};

/// A gateway whose listener speaks HTTP/2 in clear text.
fn gateway_with_h2c(origin: &Origin) -> Gateway {
    let config = config_before(origin, "listeners: [ { address: \"127.0.0.1:0\", h2c: true } ]\n");
    Setup::bare().without("GATEWAY_LISTEN").config(&config).start()
}

#[test]
fn verifies_and_forwards_requests_over_http_2() {
    let origin = Origin::new();
    let gateway = gateway_with_h2c(&origin);
    let mut client = Http2Client::connect(gateway.address());
    let response = client.ask(&get("/a/../b?c=%20{}").field("x-custom", "1").field("x-custom", "2"));
    assert_eq!((response.status, response.text().as_str()), (200, "hello"));
    let request = origin.only_request();
    assert_eq!((request.method.as_str(), request.target.as_str()), ("GET", "/a/../b?c=%20{}"));
    assert_eq!(request.values("x-custom"), ["1", "2"]);
    assert_eq!(request.values("x-forwarded-host"), ["gateway.test"]);
    assert_eq!(request.values("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(request.values("host").len(), 1);
    assert!(
        request.values("host")[0].starts_with("localhost:") || request.values("host")[0].starts_with("127.")
    );
    assert!(!request.has("approov-token"), "{}", latin1(&request.head));
    let entry = gateway.wait_for_entry(|entry| entry["http.response.status_code"] == 200);
    assert_eq!(
        (&entry["network.protocol.version"], &entry["client.address"]),
        (&"2".into(), &"127.0.0.1".into())
    );
}

#[test]
fn refusals_over_http_2_look_alike_and_keep_the_connection() {
    let origin = Origin::new();
    let gateway = gateway_with_h2c(&origin);
    let mut client = Http2Client::connect(gateway.address());
    let mut answers = Vec::new();
    for message in [
        Message::get("/"),
        Message::get("/").token(""),
        Message::get("/").token(&tokens::wrongly_signed()),
        Message::get("/").token(&tokens::expired()),
        get("/").token(&tokens::valid()),
        Message::post("/", "unwanted"),
        Message::post("/", vec![b'x'; 300_000]),
    ] {
        answers.push(client.ask(&message).undated());
    }
    assert!(answers[0].starts_with("HTTP/2 401\r\n") && answers[0].ends_with("\r\n\r\n{}"), "{}", answers[0]);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    assert_eq!(origin.bytes(), 0);
    assert_eq!(client.ask(&get("/honest")).status, 200);
    assert_eq!(origin.count("/honest"), 1);
}

#[test]
fn a_refused_grpc_call_gets_a_grpc_status() {
    let origin = Origin::new();
    let gateway = gateway_with_h2c(&origin);
    let mut client = Http2Client::connect(gateway.address());
    for media_type in ["application/grpc", "application/grpc+proto", "application/grpc;x=y"] {
        let call = Message::new("POST", "/posts.Posts/List").field("content-type", media_type);
        let call = call.field("te", "trailers");
        let response = client.ask(&call);
        assert_eq!((response.status, response.values("grpc-status")), (200, vec!["16"]), "{media_type}");
        assert_eq!((response.values("content-type"), response.body.len()), (vec!["application/grpc"], 0));
    }
    let other = Message::new("POST", "/").field("content-type", "application/grpc-web");
    assert_eq!(client.ask(&other).status, 401);
    gateway.wait_for_requests(&[("verdict", "rejected"), ("reason", "missing_token")], 4.0);
    assert_eq!(origin.bytes(), 0);
}

#[test]
fn an_h2c_listener_speaks_http_1_too() {
    let origin = Origin::new();
    let gateway = gateway_with_h2c(&origin);
    gateway.assert_serves(&origin);
    // The bytes arrive one by one, so that the gateway compares each with the preface of HTTP/2.
    let mut client = gateway.connect();
    for byte in get("/slow").bytes() {
        client.send([byte]);
    }
    assert_eq!(client.response().status, 200);
    // Bytes that begin like the preface and differ later are a malformed request.
    let mut client = gateway.connect();
    client.send("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n");
    assert_eq!(client.response().status, 400);
}

#[test]
fn http_2_is_refused_unless_configured() {
    let origin = Origin::new();
    let gateway = crate::harness::gateway_before(&origin);
    let mut client = Client::connect(gateway.address());
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    assert_eq!(client.response().status, 400);
    client.assert_closed();
}

#[test]
fn a_hundred_streams_at_a_time_on_one_connection() {
    let origin = Origin::new();
    let gateway = gateway_with_h2c(&origin);
    let mut client = Http2Client::connect(gateway.address());
    for round in 0..3 {
        let pending: Vec<_> =
            (0..100).map(|number| client.send(&get(&format!("/{round}/{number}")))).collect();
        let statuses: Vec<_> = pending.into_iter().map(|pending| client.response(pending).status).collect();
        assert_eq!(statuses, [200; 100]);
    }
    assert_eq!(origin.requests().len(), 300);
}

#[test]
fn bodies_stream_both_ways() {
    let origin = Origin::scripted(|exchange| {
        exchange.body()?;
        exchange.answer("200 OK", &"a".repeat(1_000_000))
    });
    let gateway = gateway_with_h2c(&origin);
    let mut client = Http2Client::connect(gateway.address());
    let body = vec![b'b'; 2_000_000];
    let response = client.ask(&Message::post("/", body.clone()).token(&tokens::valid()));
    assert_eq!((response.status, response.body.len()), (200, 1_000_000));
    assert_eq!(origin.only_request().body, body);
    // The body has no length and is sent in parts.
    let mut pending = client.begin(&Message::new("POST", "/parts").token(&tokens::valid()), false);
    client.send_body(&mut pending, b"one", false);
    origin.wait_until("the first part", |record| record.requests.len() == 2);
    client.send_body(&mut pending, b"two", true);
    assert_eq!(client.response(pending).status, 200);
    let request = origin.requests().pop().unwrap();
    assert_eq!(request.values("transfer-encoding"), ["chunked"]);
    assert_eq!(request.body, b"onetwo");
}

#[test]
fn split_cookie_fields_are_joined_for_the_origin() {
    let origin = Origin::new();
    let gateway = gateway_with_h2c(&origin);
    let mut client = Http2Client::connect(gateway.address());
    let message = get("/").field("cookie", "a=1").field("cookie", "b=2").field("cookie", "c=3; d=4");
    assert_eq!(client.ask(&message).status, 200);
    assert_eq!(origin.only_request().values("cookie"), ["a=1; b=2; c=3; d=4"]);
}

#[test]
fn forged_and_ambiguous_requests_meet_the_same_defences() {
    let origin = Origin::new();
    let gateway = gateway_with_h2c(&origin);
    let mut client = Http2Client::connect(gateway.address());
    for (message, status) in [
        (get("/").host("a"), 200),
        (get("/").field("x-forwarded-for", "6.6.6.6").field("x_forwarded_for", "6.6.6.6"), 200),
        (get("/").field("host", "other.test"), 400),
        (get("/").field("content-length", "5").field("content-length", "6"), 0),
        (Message::new("TRACE", "/").token(&tokens::valid()), 405),
        (get("/").host("a_b.test:80"), 200),
    ] {
        let pending = client.begin(&message, true);
        let answered = client.try_response(pending).map_or(0, |response| response.status);
        assert_eq!(answered, status, "{message:?}");
    }
    for request in origin.requests() {
        assert_eq!(request.values("x-forwarded-for"), ["127.0.0.1"]);
        assert!(!latin1(&request.head).contains("6.6.6.6"));
    }
    assert_eq!(client.ask(&get("/honest")).status, 200);
}

#[test]
fn a_draining_gateway_sends_goaway_and_answers_open_streams() {
    let gate = std::sync::Arc::new(std::sync::Barrier::new(2));
    let at_origin = gate.clone();
    let origin = Origin::scripted(move |exchange| {
        exchange.body()?;
        if exchange.request.target == "/slow" {
            at_origin.wait();
        }
        exchange.answer("200 OK", "hello")
    });
    let mut gateway = gateway_with_h2c(&origin);
    let address: SocketAddr = gateway.address();
    let mut client = Http2Client::connect(address);
    let mut idle = Http2Client::connect(address);
    assert_eq!(idle.ask(&get("/idle")).status, 200);
    let slow = client.send(&get("/slow"));
    origin.wait_until("the slow request", |record| {
        record.requests.iter().any(|request| request.target == "/slow")
    });
    gateway.signal("TERM");
    idle.wait_for_end().expect("a GOAWAY without an error");
    eventually("refused connections", || std::net::TcpStream::connect(address).err().map(drop));
    gate.wait();
    assert_eq!(client.response(slow).status, 200);
    client.wait_for_end().expect("a GOAWAY without an error");
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
}

#[test]
fn a_request_that_the_client_cancels_is_cancelled_at_the_origin_and_logged() {
    let origin = Origin::scripted(|exchange| {
        exchange.body()?;
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nh")?;
        exchange.wait_for_hangup()
    });
    let gateway = gateway_with_h2c(&origin);
    let mut client = Http2Client::connect(gateway.address());
    let mut pending = client.send(&get("/cancelled"));
    origin.wait_until("the request", |record| record.requests.len() == 1);
    pending.body.send_reset(h2::Reason::CANCEL);
    let entry = gateway.wait_for_entry(|entry| entry["url.path"] == "/cancelled");
    assert_eq!(entry["error.type"], "client_closed");
}

#[test]
fn a_client_that_resets_streams_rapidly_is_disconnected() {
    let origin = Origin::new();
    let gateway = gateway_with_h2c(&origin);
    let mut client = Http2Client::connect(gateway.address());
    let mut error = None;
    // Each stream is reset before the gateway handles it.
    for _ in 0..10_000 {
        let mut sent = client.send_and_reset(&get("/reset"), 200);
        if let Some(found) = sent.take() {
            error = Some(found);
            break;
        }
    }
    assert!(error.is_some(), "the gateway accepted two million resets");
    gateway.assert_serves(&origin);
}
