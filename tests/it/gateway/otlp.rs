//! Export of spans to a collector: what it gets, and what a bad one can do.

mod protobuf;

use std::time::{Duration, Instant};

use protobuf::Parsed;

use crate::harness::tokens::{self, in_seconds};
use crate::harness::{Gateway, Message, Origin, Request, Setup, Then, eventually, get};

/// A collector that answers every export with this status.
fn collector(status: &'static str, body: &'static str) -> Origin {
    Origin::scripted(move |exchange| {
        exchange.body()?;
        exchange.answer(status, body)
    })
}

fn exporting(origin: &Origin, collector: &Origin) -> Setup {
    Setup::before(origin)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url())
        .env("OTEL_BSP_SCHEDULE_DELAY", "20")
}

/// The first `count` spans that the collector has got, and the export requests.
fn spans(collector: &Origin, count: usize) -> (Vec<Parsed>, Vec<Request>) {
    eventually("the spans", || {
        let requests = collector.requests();
        let found: Vec<Parsed> = requests
            .iter()
            .flat_map(|request| Parsed::new(&request.body).messages(1))
            .flat_map(|resource| resource.messages(2))
            .flat_map(|scope| scope.messages(2))
            .collect();
        (found.len() >= count).then_some((found, requests))
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_request_is_a_server_span_and_each_attempt_a_client_span() {
    let collector = collector("200 OK", "");
    let origin = Origin::new();
    let gateway = exporting(&origin, &collector)
        .env("OTEL_EXPORTER_OTLP_HEADERS", "api-key=k%20y")
        .env("OTEL_SERVICE_NAME", "edge")
        .start();
    let token =
        tokens::with_claims(serde_json::json!({ "exp": in_seconds(60), "did": "ExampleApproovTokenDID==" }));
    let message = Message::get("/v1/x?secret=q").token(&token).field("Authorization", "Bearer s3cr3t");
    let answer = gateway.ask(&message);
    assert_eq!(answer.status, 200);
    let (spans, requests) = spans(&collector, 2);
    let [server, client] = &spans[..] else { panic!("{} spans", spans.len()) };

    let sent = origin.only_request();
    let parent: Vec<&str> = sent.values("traceparent")[0].split('-').collect();
    let (trace_id, attempt) = (hex(&server.only(1)), hex(&client.only(2)));
    assert_eq!(parent, ["00", &trace_id, &attempt, "01"]);
    assert_eq!((client.only(1), client.only(4)), (server.only(1), server.only(2)));
    assert!(server.only(4).is_empty(), "the trace begins here");
    assert_eq!((server.number(6), client.number(6)), (2, 3), "SERVER and CLIENT");
    assert_eq!((server.text(5), client.text(5)), ("GET /".to_owned(), "GET".to_owned()));
    assert!(server.number(7) <= client.number(7) && client.number(8) <= server.number(8));
    let now = u64::try_from(in_seconds(0)).unwrap();
    assert!(now.abs_diff(server.number(8) / 1_000_000_000) < 60, "nanoseconds of Unix time");

    let port = origin.port().to_string();
    let url = format!("{}/v1/x", origin.url());
    for (span, key, value) in [
        (server, "http.request.method", "GET"),
        (server, "url.path", "/v1/x"),
        (server, "url.scheme", "http"),
        (server, "http.route", "/"),
        (server, "http.response.status_code", "200"),
        (server, "client.address", "127.0.0.1"),
        (server, "server.address", "gateway.test"),
        (server, "approov.verdict", "accepted"),
        (server, "request.id", answer.values("x-request-id")[0]),
        (client, "url.full", &url),
        (client, "http.response.status_code", "200"),
        (client, "network.peer.port", &port),
        (client, "server.port", &port),
        (client, "approov.origin", "api"),
    ] {
        assert_eq!(span.attribute(9, key).as_deref(), Some(value), "{key}");
    }
    let entry = gateway.wait_for_entry(|entry| entry["url.path"] == "/v1/x");
    assert_eq!((&entry["trace_id"], &entry["span_id"]), (&trace_id.into(), &hex(&server.only(2)).into()));

    let request = &requests[0];
    assert_eq!((&*request.method, &*request.target), ("POST", "/v1/traces"));
    assert_eq!(request.values("content-type"), ["application/x-protobuf"]);
    assert_eq!(request.values("api-key"), ["k y"]);
    let resource = Parsed::new(&request.body).messages(1)[0].messages(1).remove(0);
    assert_eq!(resource.attribute(1, "service.name").as_deref(), Some("edge"));
    for secret in [&token, token.rsplit('.').next().unwrap(), "s3cr3t", "secret=", tokens::SECRET_BASE64] {
        let is_told = requests
            .iter()
            .any(|request| request.body.windows(secret.len()).any(|part| part == secret.as_bytes()));
        assert!(!is_told, "{secret}");
    }
    gateway.wait_for_count("approov_gateway_spans_total", &[("result", "exported")], 2.0);
    gateway.wait_for_count("approov_gateway_spans_total", &[("result", "dropped")], 0.0);
}

#[test]
fn a_token_in_a_path_or_a_field_is_not_exported() {
    let collector = collector("200 OK", "");
    let origin = Origin::new();
    let gateway = exporting(&origin, &collector).start();
    let token = tokens::valid();
    let message = get(&format!("/t/{token}")).field("User-Agent", &token).host(&format!("{token}.test"));
    let status = gateway.ask(&message).status;
    assert!(status == 200 || status == 400, "{status}");
    assert_eq!(gateway.ask(&Message::new(&token.replace('.', "-")[..20], "/x")).status, 401);
    let (_, requests) = spans(&collector, if status == 200 { 3 } else { 1 });
    for piece in [&token[..], token.rsplit('.').next().unwrap()] {
        assert!(
            !requests
                .iter()
                .any(|request| request.body.windows(piece.len()).any(|part| part == piece.as_bytes()))
        );
    }
}

#[test]
fn refusals_and_failures_are_spans_with_their_reason() {
    let collector = collector("200 OK", "");
    let origin = Origin::refusing();
    let gateway = exporting(&origin, &collector).start();
    assert_eq!(gateway.ask(&Message::get("/refused")).status, 401);
    assert_eq!(gateway.ask(&get("/failed")).status, 502);
    let (spans, _) = spans(&collector, 3);
    let of = |path: &str| {
        spans.iter().find(|span| span.attribute(9, "url.path").as_deref() == Some(path)).unwrap()
    };
    let refused = of("/refused");
    assert_eq!(refused.attribute(9, "approov.reason").as_deref(), Some("missing_token"));
    assert!(refused.messages(15).is_empty(), "a refusal is no error of the gateway");
    let failed = of("/failed");
    assert_eq!(failed.attribute(9, "error.type").as_deref(), Some("connect"));
    assert_eq!(failed.messages(15)[0].number(3), 2);
    let attempt = spans.iter().find(|span| span.number(6) == 3).unwrap();
    assert_eq!(attempt.only(4), failed.only(2));
    assert_eq!(attempt.attribute(9, "error.type").as_deref(), Some("connect"));
}

#[test]
fn what_is_not_sampled_is_not_exported() {
    let collector = collector("200 OK", "");
    let origin = Origin::new();
    let mut gateway = exporting(&origin, &collector).env("OTEL_TRACES_SAMPLER", "always_off").start();
    assert_eq!(gateway.ask(&get("/")).status, 200);
    assert!(origin.only_request().values("traceparent")[0].ends_with("-00"));
    gateway.signal("TERM");
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
    assert!(collector.requests().is_empty());
}

#[test]
fn the_last_spans_are_sent_before_the_end() {
    let collector = collector("200 OK", "");
    let origin = Origin::new();
    let mut gateway = exporting(&origin, &collector).env("OTEL_BSP_SCHEDULE_DELAY", "3600000").start();
    assert_eq!(gateway.ask(&get("/")).status, 200);
    gateway.wait_for_requests(&[], 1.0);
    gateway.signal("TERM");
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
    spans(&collector, 2);
}

/// Serves some requests, and asserts that they are answered and their spans are dropped.
fn assert_harmless(gateway: &Gateway, origin: &Origin, why: &str) {
    for _ in 0..5 {
        gateway.assert_serves(origin);
    }
    gateway.wait_for_count("approov_gateway_spans_total", &[("result", "dropped")], 10.0);
    gateway.wait_for_count("approov_gateway_spans_total", &[("result", "exported")], 0.0);
    gateway.wait_for_message("spans cannot be exported and are dropped");
    gateway.wait_for_message(why);
}

#[test]
fn a_collector_that_is_gone_costs_spans_and_nothing_else() {
    let (origin, collector) = (Origin::new(), Origin::refusing());
    let mut gateway = exporting(&origin, &collector).env("OTEL_BSP_SCHEDULE_DELAY", "200").start();
    assert_harmless(&gateway, &origin, "refuses connections; check that the collector runs");
    let started = Instant::now();
    gateway.signal("TERM");
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[test]
fn a_collector_that_never_answers_costs_spans_and_nothing_else() {
    let origin = Origin::new();
    let collector = Origin::troubled(|exchange| exchange.wait_for_hangup());
    let gateway = exporting(&origin, &collector)
        .env("OTEL_EXPORTER_OTLP_TIMEOUT", "100")
        .env("OTEL_BSP_SCHEDULE_DELAY", "200")
        .start();
    assert_harmless(&gateway, &origin, "does not answer within 100ms");
}

#[test]
fn a_collector_that_talks_nonsense_costs_spans_and_nothing_else() {
    for (answer, why) in [
        ("220 mail.test ESMTP\r\n", "sends something that is not an HTTP response"),
        ("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "the collector answers 400"),
    ] {
        let origin = Origin::new();
        let collector = Origin::troubled(move |exchange| {
            exchange.send(answer)?;
            Ok(Then::Close)
        });
        let gateway = exporting(&origin, &collector).env("OTEL_BSP_SCHEDULE_DELAY", "200").start();
        assert_harmless(&gateway, &origin, why);
    }
}

#[test]
fn spans_that_find_no_room_are_dropped_and_counted() {
    let origin = Origin::new();
    let collector = Origin::troubled(|exchange| exchange.wait_for_hangup());
    let gateway = exporting(&origin, &collector)
        .env("OTEL_BSP_MAX_QUEUE_SIZE", "4")
        .env("OTEL_BSP_SCHEDULE_DELAY", "3600000")
        .start();
    let serve = |count| (0..count).for_each(|_| gateway.assert_serves(&origin));
    serve(2);
    collector.wait_until("the first batch", |record| !record.requests.is_empty());
    serve(8);
    // The thread holds 4 spans, since a full batch does not gather further; 4 wait.
    gateway.wait_for_count("approov_gateway_spans_total", &[("result", "dropped")], 12.0);
}
