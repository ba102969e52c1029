//! Streams of HTTP/2 clients: how they end, and what they hold meanwhile.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{
    Gate, Gateway, Http2Client, Message, Origin, Setup, Then, config_before, eventually, get, tokens,
};

const LISTENERS: &str = "listeners: [ { address: \"127.0.0.1:0\", h2c: true } ]\n";

fn gateway_before(origin: &Origin) -> Gateway {
    Setup::bare().without("GATEWAY_LISTEN").config(&config_before(origin, LISTENERS)).start()
}

fn upload(target: &str) -> Message {
    Message::new("POST", target).token(&tokens::valid())
}

#[test]
fn a_reset_ends_the_exchange_with_the_origin_at_any_moment() {
    let origin = Origin::scripted(|exchange| {
        match exchange.request.target.as_str() {
            "/unanswered" => exchange.body()?,
            "/half-sent" => drop(exchange.piece()?),
            _ => exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nh")?,
        }
        exchange.wait_for_hangup()
    });
    let gateway = gateway_before(&origin);
    let mut client = Http2Client::connect(gateway.address());
    for (index, target) in ["/unanswered", "/half-sent", "/half-answered"].into_iter().enumerate() {
        let is_whole = target != "/half-sent";
        let mut pending = client.begin(&upload(target), is_whole);
        if !is_whole {
            client.send_body(&mut pending, b"half", false);
        }
        origin.wait_until(target, |record| {
            record
                .requests
                .last()
                .is_some_and(|request| request.target == target && (is_whole || request.body == b"half"))
        });
        pending.body.send_reset(h2::Reason::CANCEL);
        origin.wait_until("the end of its connection", |record| record.ended == index + 1);
        let entry = gateway.wait_for_entry(|entry| entry["url.path"] == target);
        assert_eq!(entry["error.type"], "client_closed", "{target}");
    }
    eventually("no request in progress", || {
        (gateway.metrics().sum("approov_gateway_requests_in_flight", &[]) == 0.0).then_some(())
    });
}

#[test]
fn a_client_that_gives_up_leaves_the_queue_of_the_origin() {
    const LABEL: (&str, &str) = ("origin", "api");
    const QUEUED: &str = "approov_gateway_upstream_queued";
    let gate = Gate::default();
    let at_origin = gate.clone();
    let origin = Origin::scripted(move |exchange| {
        at_origin.pass();
        exchange.answer("200 OK", "hello")
    });
    let config = config_before(&origin, LISTENERS);
    let config = config.replace("api: { ", "api: { max_in_flight: 1, queue_timeout: 20s, ");
    let setup = Setup::bare().without("GATEWAY_LISTEN").config(&config);
    // Pingora's proxy does not look at the client before the origin is asked.
    let gateway = setup.env("GATEWAY_HTTP1_EXCHANGE", "direct").start();
    let mut client = Http2Client::connect(gateway.address());
    let first = client.send(&get("/first"));
    gateway.wait_for_count("approov_gateway_upstream_in_flight", &[LABEL], 1.0);
    let mut queued = client.send(&get("/queued-http2"));
    let mut http1 = gateway.connect();
    http1.send(get("/queued-http1").bytes());
    gateway.wait_for_count(QUEUED, &[LABEL], 2.0);
    queued.body.send_reset(h2::Reason::CANCEL);
    drop(http1);
    gateway.wait_for_count(QUEUED, &[LABEL], 0.0);
    for target in ["/queued-http2", "/queued-http1"] {
        let entry = gateway.wait_for_entry(|entry| entry["url.path"] == target);
        assert_eq!(entry["error.type"], "client_closed", "{target}");
    }
    gate.open();
    assert_eq!(client.response(first).status, 200);
    assert_eq!(origin.targets(), ["/first"]);
}

#[test]
fn an_answer_to_half_a_request_reaches_the_client() {
    let origin = Origin::scripted(|exchange| {
        exchange.piece()?;
        exchange.send("HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge")?;
        Ok(Then::Close)
    });
    let gateway = gateway_before(&origin);
    let mut client = Http2Client::connect(gateway.address());
    let mut pending = client.begin(&upload("/large"), false);
    client.send_body(&mut pending, b"half", false);
    let response = client.response(pending);
    assert_eq!((response.status, response.text().as_str()), (413, "large"));
    assert_eq!(client.ask(&Message::get("/")).status, 401, "the connection goes on");
}

#[test]
fn a_whole_answer_to_half_a_request_is_no_failure() {
    let origin = Origin::scripted(|exchange| {
        exchange.piece()?;
        exchange.send("HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\nTE: x\r\n\r\nlarge")?;
        exchange.wait_for_hangup()
    });
    // Pingora's proxy records such a request as one that the client has closed.
    let setup = Setup::bare().without("GATEWAY_LISTEN").env("GATEWAY_HTTP1_EXCHANGE", "direct");
    let gateway = setup.config(&config_before(&origin, LISTENERS)).start();
    let mut client = Http2Client::connect(gateway.address());
    let mut pending = client.begin(&upload("/large"), false);
    client.send_body(&mut pending, b"half", false);
    // The stream is reset as soon as the response is there.
    let response = client.response(pending);
    assert_eq!((response.status, response.text().as_str(), response.values("te").len()), (413, "large", 0));
    let entry = gateway.wait_for_entry(|entry| entry["url.path"] == "/large");
    assert_eq!(
        (&entry["http.response.status_code"], &entry["error.type"]),
        (&413.into(), &Value::Null),
        "{entry}"
    );
}

#[test]
fn the_time_of_an_origin_does_not_limit_a_client_that_takes_its_answer_slowly() {
    let origin = Origin::scripted(|exchange| match exchange.request.target.as_str() {
        "/silent" => exchange.wait_for_hangup(),
        _ => exchange.answer("200 OK", &"a".repeat(10_000)),
    });
    let config = config_before(&origin, LISTENERS).replace("\" }\n", "\", total_timeout: 3s }\n");
    let gateway = Setup::bare().without("GATEWAY_LISTEN").config(&config).start();
    let mut settings = h2::client::Builder::new();
    settings.initial_window_size(1000);
    let mut client = Http2Client::connect_with(gateway.address(), &settings);
    let slow = client.send(&get("/slow"));
    origin
        .wait_until("the request", |record| record.requests.iter().any(|request| request.target == "/slow"));
    // The total time of another request has passed, and so has that of the first.
    assert_eq!(client.ask(&get("/silent")).status, 504);
    let response = client.response(slow);
    assert_eq!((response.status, response.body.len()), (200, 10_000));
    let errors = gateway.metrics().sum("approov_gateway_upstream_errors_total", &[("kind", "read_timeout")]);
    assert_eq!(errors, 1.0);
}

#[test]
fn a_client_sends_no_faster_than_its_origin_reads() {
    let gate = Gate::default();
    let at_origin = gate.clone();
    let origin = Origin::scripted(move |exchange| {
        if exchange.request.target == "/slow" {
            at_origin.pass();
            exchange.skip_body()?;
        }
        exchange.answer("200 OK", "hello")
    });
    let gateway = gateway_before(&origin);
    gateway.assert_serves(&origin);
    let before = gateway.memory();
    let mut client = Http2Client::connect(gateway.address());
    let body = vec![b'x'; 64 << 20];
    let message = upload("/slow").field("content-length", &body.len().to_string());
    let mut pending = client.begin(&message, false);
    client.send_body(&mut pending, &body, true);
    origin.wait_until("the head", |record| record.requests.iter().any(|request| request.target == "/slow"));
    let mut peak = before;
    let start = Instant::now();
    let mut looks = 0;
    while looks < 60 || start.elapsed() < Duration::from_secs(1) {
        gateway.assert_serves(&origin);
        peak = peak.max(gateway.memory());
        looks += 1;
    }
    assert!(peak - before < 16 << 10, "memory grew from {before} to {peak} KiB");
    gate.open();
    assert_eq!(client.response(pending).status, 200);
}

#[test]
fn a_large_answer_passes_a_small_window() {
    let origin = Origin::scripted(|exchange| {
        exchange.body()?;
        exchange.answer("200 OK", &"a".repeat(100_000))
    });
    let gateway = gateway_before(&origin);
    let mut settings = h2::client::Builder::new();
    settings.initial_window_size(1000);
    let mut client = Http2Client::connect_with(gateway.address(), &settings);
    let first = client.send(&get("/first"));
    let second = client.ask(&get("/second"));
    assert_eq!((second.status, second.body.len()), (200, 100_000));
    assert_eq!(client.response(first).body.len(), 100_000);
}
