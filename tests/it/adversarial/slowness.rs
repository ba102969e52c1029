//! Slow senders, slow readers and silent clients. The tests wait for the gateway's time limits, which
//! are set to their minimum.

use std::time::{Duration, Instant};

use super::{get, hostile, limited, refused};
use crate::harness::tls::{Authority, Identity};
use crate::harness::{
    Client, Folder, Gateway, Http2Client, Message, Origin, Setup, Then, config_before, eventually, tokens,
};

/// Limits of one second.
const SHORT: &str =
    "requests: { body_rate: 1KiB }, time: { handshake: 1s, header: 1s, body: 1s, idle: 1s, write: 1s }";

/// Sends `piece` 50 times a second until there is an answer.
fn drip(client: &mut Client, piece: &str) {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(10) {
        if client.try_send(piece).is_err() || client.has_answer(Duration::from_millis(20)) {
            return;
        }
    }
    panic!("no answer after ten seconds of sending");
}

#[test]
fn a_head_that_arrives_byte_by_byte_times_out() {
    let origin = Origin::new();
    let gateway = limited(&origin, SHORT);
    for token in [tokens::valid(), tokens::wrongly_signed()] {
        let mut client = gateway.connect();
        client.send(format!("GET /slow HTTP/1.1\r\nHost: a\r\nApproov-Token: {token}\r\nX: "));
        drip(&mut client, "x");
        let answer = client.response();
        assert_eq!((answer.status, answer.values("connection")), (408, vec!["close"]));
        client.assert_closed();
    }
    assert_eq!((origin.bytes(), refused(&gateway, "header_time")), (0, 2.0));
    let entry = gateway.wait_for_entry(|entry| entry["approov.limit"] == "header_time");
    assert_eq!((&entry["http.response.status_code"], &entry["url.path"]), (&408.into(), &"/slow".into()));
    gateway.assert_serves(&origin);
}

#[test]
fn silent_connections_are_closed_without_an_answer() {
    let origin = Origin::new();
    let gateway = limited(&origin, SHORT);
    // Silent before the first request, after a request, and in the preface of HTTP/2.
    let mut silent = gateway.connect();
    let mut kept = gateway.connect();
    assert_eq!(kept.ask(&get("/x")).status, 200);
    let mut preface = gateway.connect();
    preface.send("PRI * HTTP/2.0\r\n");
    silent.assert_closed();
    kept.assert_closed();
    // An unfinished preface is read as a malformed HTTP/1 request.
    assert_eq!(preface.response().status, 400);
    let mut http2 = Http2Client::connect(gateway.address());
    assert_eq!(http2.ask(&get("/x")).status, 200);
    http2.wait_for_end().expect("a GOAWAY without an error");
    gateway.assert_serves(&origin);
}

/// Sends the head of a POST with a Content-Length, and no body.
fn upload(gateway: &Gateway, target: &str) -> Client {
    let mut client = gateway.connect();
    client.send(format!(
        "POST {target} HTTP/1.1\r\nHost: a\r\nApproov-Token: {}\r\nContent-Length: 100000\r\n\r\nbegin",
        tokens::valid()
    ));
    client
}

#[test]
fn a_body_that_arrives_too_slowly_times_out() {
    let origin = Origin::new();
    let gateway = limited(&origin, SHORT);
    let mut silent = upload(&gateway, "/silent");
    assert_eq!(silent.response().status, 408);
    silent.assert_closed();
    let mut slow = upload(&gateway, "/slow");
    drip(&mut slow, "x");
    assert_eq!(slow.response().status, 408);
    slow.assert_closed();
    gateway.wait_for_count("approov_gateway_limited_total", &[("cause", "body_time")], 2.0);
    gateway.assert_serves(&origin);
    assert!(origin.requests().iter().all(|request| request.body.len() < 100_000), "no upload completed");
}

#[test]
fn a_body_that_arrives_steadily_may_take_longer_than_the_time_between_its_parts() {
    let origin = Origin::new();
    let gateway = limited(&origin, "requests: { body_rate: 1KiB }, time: { body: 3s }");
    let mut steady = gateway.connect();
    steady.send(format!(
        "POST /steady HTTP/1.1\r\nHost: a\r\nApproov-Token: {}\r\nContent-Length: 300000\r\n\r\n",
        tokens::valid()
    ));
    let start = Instant::now();
    for _ in 0..29 {
        steady.send([b'x'; 10_000]);
        assert!(!steady.has_answer(Duration::from_millis(120)), "cut off after {:?}", start.elapsed());
    }
    steady.send([b'x'; 10_000]);
    assert_eq!(steady.response().status, 200);
    assert!(start.elapsed() > Duration::from_secs(3), "the upload must take longer than the limit");
    let lengths: Vec<_> = origin.requests().iter().map(|request| request.body.len()).collect();
    assert_eq!(lengths, [300_000]);
}

#[test]
fn a_slow_body_over_http_2_ends_only_its_stream() {
    let origin = Origin::new();
    let gateway = limited(
        &origin,
        "rate: [], connections: { requests: 1000000 }, requests: { body_rate: 1KiB }, time: { body: 1s }",
    );
    let mut client = Http2Client::connect(gateway.address());
    let mut silent = client.begin(&Message::new("POST", "/silent").token(&tokens::valid()), false);
    client.send_body(&mut silent, b"begin", false);
    // Other streams of the connection are in use.
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3) {
        assert_eq!(client.ask(&get("/other")).status, 200);
    }
    let error = client.try_response(silent).expect_err("its stream is reset");
    assert!(error.is_reset(), "{error}");
    assert_eq!(client.ask(&get("/other")).status, 200);
    let entry = gateway.wait_for_entry(|entry| entry["url.path"] == "/silent");
    assert_eq!(
        (&entry["error.type"], &entry["approov.limit"], entry.get("http.response.status_code")),
        (&"client_timeout".into(), &"body_time".into(), None)
    );
    assert_eq!(refused(&gateway, "body_time"), 1.0);
}

/// An origin whose answers do not fit into the buffers between it and the client.
fn endless() -> Origin {
    Origin::troubled(|exchange| {
        exchange.body()?;
        exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        // Ends when the gateway closes the connection.
        while exchange.send(&chunk).is_ok() {}
        Ok(Then::Close)
    })
}

#[test]
fn a_client_that_never_reads_is_disconnected() {
    let origin = endless();
    let gateway = limited(&origin, SHORT);
    let mut client = gateway.connect();
    client.send(get("/endless").bytes());
    let mut http2 = Http2Client::connect(gateway.address());
    let pending = http2.send(&get("/endless"));
    origin.wait_until("both", |record| record.requests.len() == 2);
    origin.wait_until("the gateway to close", |record| record.ended >= 2);
    gateway.wait_for_count("approov_gateway_limited_total", &[("cause", "write_time")], 2.0);
    let entry = gateway.wait_for_entry(|entry| entry["approov.limit"] == "write_time");
    assert_eq!(entry["error.type"], "client_timeout");
    drop((client, pending));
    gateway.assert_serves(&origin);
}

#[test]
fn a_client_that_never_reads_answers_without_a_body_is_disconnected() {
    let origin = Origin::new();
    let gateway = limited(&origin, &format!("rate: [], connections: {{ requests: 1000000 }}, {SHORT}"));
    let valid = tokens::valid();
    for (token, cause) in [(None, "refused"), (Some(&*valid), "forwarded")] {
        let before = refused(&gateway, "write_time");
        let message = Message::new("HEAD", "/unread");
        let bytes = token.map_or(message.clone(), |token| message.token(token)).bytes();
        let mut client = gateway.connect();
        // Ends when all buffers are full and the gateway has closed the connection.
        let flood = bytes.repeat(50);
        while client.try_send(&flood).is_ok() {}
        eventually(cause, || (refused(&gateway, "write_time") == before + 1.0).then_some(()));
    }
    eventually("no request in progress", || {
        (gateway.metrics().sum("approov_gateway_requests_in_flight", &[]) == 0.0).then_some(())
    });
    gateway.assert_serves(&origin);
}

#[test]
fn a_refusal_that_the_client_does_not_read_times_out() {
    let origin = Origin::new();
    // Only the unread answer is limited to one second.
    let gateway = limited(&origin, "rate: []");
    let mut settings = h2::client::Builder::new();
    settings.initial_window_size(0);
    let mut client = Http2Client::connect_with(gateway.address(), &settings);
    let start = Instant::now();
    let mut pending = Vec::new();
    for _ in 0..4 {
        let mut stream = client.begin(&Message::new("POST", "/unread"), false);
        client.send_body(&mut stream, &[b'x'; 60_000], false);
        pending.push(stream);
    }
    for stream in pending {
        client.try_response(stream).expect_err("its stream is reset");
    }
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    gateway.wait_for_count("approov_gateway_limited_total", &[("cause", "write_time")], 4.0);
    gateway.assert_serves(&origin);
}

#[test]
fn a_grpc_call_may_pause() {
    let origin = Origin::new();
    let gateway = limited(&origin, SHORT);
    let mut client = Http2Client::connect(gateway.address());
    let call = |target: &str| Message::new("POST", target).field("content-type", "application/grpc");
    let mut accepted = client.begin(&call("/Chat").token(&tokens::valid()), false);
    let mut other = client.begin(&Message::new("POST", "/other").token(&tokens::valid()), false);
    for stream in [&mut accepted, &mut other] {
        client.send_body(stream, b"\0\0\0\0\0", false);
    }
    // The error of the other stream shows that the time is up.
    client.try_response(other).expect_err("its body does not come");
    client.send_body(&mut accepted, b"\0\0\0\0\0", true);
    assert_eq!(client.try_response(accepted).expect("an answer").status, 200);
    assert_eq!(refused(&gateway, "body_time"), 1.0);
}

#[test]
fn a_body_over_http_2_may_pause_once_its_answer_has_begun() {
    let origin = Origin::troubled(|exchange| {
        if exchange.request.target == "/chat" {
            exchange.piece()?;
            exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")?;
        }
        exchange.body()?;
        exchange.send("0\r\n\r\n")?;
        Ok(Then::KeepAlive)
    });
    let gateway = limited(&origin, SHORT);
    let mut client = Http2Client::connect(gateway.address());
    let upload = |target: &str| Message::new("POST", target).token(&tokens::valid());
    let mut chat = client.begin(&upload("/chat"), false);
    let mut other = client.begin(&upload("/other"), false);
    for stream in [&mut chat, &mut other] {
        client.send_body(stream, b"hello", false);
    }
    // The error of the other stream shows that the time is up.
    client.try_response(other).expect_err("its body does not come");
    client.send_body(&mut chat, b"bye", true);
    let answer = client.try_response(chat).expect("an answer");
    assert_eq!((answer.status, answer.text().as_str()), (200, "hi"));
    assert!(origin.requests().iter().any(|request| request.body == b"hellobye"));
    assert_eq!(refused(&gateway, "body_time"), 1.0);
}

#[test]
fn a_tls_handshake_that_does_not_finish_times_out() {
    let origin = Origin::new();
    let folder = Folder::new();
    let certificate = folder.identity("own", &Identity::new(&Authority::new(), &["api.example.com"]));
    let listeners = format!(
        "listeners: [ {{ address: \"127.0.0.1:0\", tls: {{ certificates: [ {certificate} ] }} }} ]\n\
         limits: {{ allow: [], {SHORT} }}\n",
    );
    let file = folder.write("gateway.yaml", config_before(&origin, &listeners));
    let setup = Setup::bare().without("GATEWAY_LISTEN").env("GATEWAY_CONFIG", &file.to_string_lossy());
    let gateway = setup.start();
    let mut silent = gateway.connect();
    silent.assert_closed();
    let mut slow = gateway.connect();
    slow.send([0x16, 3, 1, 2, 0, 1]);
    slow.assert_closed();
    gateway.wait_for_count("approov_gateway_limited_total", &[("cause", "handshake_time")], 2.0);
    gateway.wait_for_count("approov_gateway_tls_handshakes_total", &[("result", "timed_out")], 2.0);
}

#[test]
fn thousands_of_slow_clients_do_not_stop_honest_requests() {
    let origin = Origin::new();
    let gateway = limited(&origin, "connections: { per_address: 5000, rate: 100000/s }, rate: []");
    let mut slow = Vec::new();
    for number in 0..2000 {
        let mut client = gateway.connect_from(2);
        match number % 3 {
            0 => client.send("GET / HTTP/1.1\r\nHost: a\r\n"),
            1 => client.send("P"),
            _ => {}
        }
        slow.push(client);
    }
    for _ in 0..50 {
        gateway.assert_serves(&origin);
    }
    let open = gateway.metrics().sum("approov_gateway_connections", &[]);
    assert!(open >= 2000.0, "{open}");
    assert_eq!(gateway.connect_from(3).ask(&hostile("/")).status, 401);
}
