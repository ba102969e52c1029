//! Origins with HTTP/2.

use std::sync::Arc;

use super::{config, counted, get, post};
use crate::harness::tls::{Authority, Identity};
use crate::harness::{Folder, Gateway, Http2Client, Http2Origin, Message, Setup, eventually, tokens};

const LABEL: (&str, &str) = ("origin", "api");

/// A gateway that speaks HTTP/2 on both sides, in clear text.
fn gateway(origin: &Http2Origin, more: &str) -> Gateway {
    let origin = format!("domain: \"{}\", http: h2c{more}", origin.url());
    let listeners = "listeners: [ { address: \"127.0.0.1:0\", h2c: true } ]\n";
    Setup::bare().without("GATEWAY_LISTEN").config(&config(&origin, listeners)).start()
}

/// A gRPC call.
fn call(target: &str) -> Message {
    Message::new("POST", target)
        .field("content-type", "application/grpc")
        .field("te", "trailers")
        .token(&tokens::valid())
}

#[test]
fn a_grpc_call_and_its_trailers_pass_end_to_end() {
    let origin = Http2Origin::new();
    let gateway = gateway(&origin, "");
    let mut client = Http2Client::connect(gateway.address());
    let message = call("/package.Service/Method");
    let mut pending = client.begin(&message, false);
    client.send_body(&mut pending, b"\0\0\0\0\x05hello", true);
    let response = client.response(pending);
    assert_eq!(response.status, 200);
    assert_eq!(response.body, b"\0\0\0\0\x05hello");
    let trailer = |name: &str| {
        response.trailers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    };
    assert_eq!((trailer("grpc-status"), trailer("grpc-message")), (Some("0"), Some("fine")));
    let [request] = &origin.requests()[..] else { panic!("{:?}", origin.requests()) };
    assert_eq!(request.head.uri().path(), "/package.Service/Method");
    assert_eq!(
        request.head.uri().authority().unwrap().as_str(),
        origin.url().strip_prefix("http://").unwrap()
    );
    assert_eq!(request.values("te"), ["trailers"]);
    assert_eq!(request.values("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(request.values("x-forwarded-host"), ["gateway.test"]);
    assert!(request.values("approov-token").is_empty());
    assert_eq!(request.body, b"\0\0\0\0\x05hello");
}

#[test]
fn both_directions_of_a_call_are_streamed() {
    let origin = Http2Origin::new();
    let gateway = gateway(&origin, "");
    let mut client = Http2Client::connect(gateway.address());
    let mut pending = client.begin(&call("/package.Service/Chat"), false);
    for number in 1..=3 {
        client.send_body(&mut pending, b"part", false);
        // The origin has this part while the call continues.
        eventually("a part of the body", || {
            (origin.requests().first()?.body.len() == 4 * number).then_some(())
        });
    }
    client.send_body(&mut pending, b"last", true);
    assert_eq!(client.response(pending).body, b"partpartpartlast");
}

#[test]
fn trailers_of_a_client_are_not_forwarded() {
    let origin = Http2Origin::new();
    let gateway = gateway(&origin, "");
    let mut client = Http2Client::connect(gateway.address());
    let mut pending = client.begin(&call("/package.Service/Method"), false);
    client.send_body(&mut pending, b"hello", false);
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-forwarded-for", "192.0.2.1".parse().unwrap());
    pending.body.send_trailers(trailers).unwrap();
    assert_eq!(client.response(pending).body, b"hello");
    assert_eq!(origin.requests()[0].trailers, None);
}

#[test]
fn requests_share_a_connection_up_to_its_stream_limit() {
    let origin = Http2Origin::new();
    for (max_streams, expected) in [(100, 1), (2, 4)] {
        let before = origin.connections();
        let gateway = gateway(&origin, &format!(", http2: {{ max_streams: {max_streams} }}"));
        // This request makes the connection that the others share.
        assert_eq!(gateway.ask(&get("/")).status, 200);
        let already = origin.requests().len();
        let mut clients: Vec<_> = (0..8).map(|_| gateway.connect()).collect();
        for (count, client) in clients.iter_mut().enumerate() {
            client.send(get("/held").bytes());
            origin.wait_for(already + count + 1);
        }
        origin.let_go(8);
        for client in &mut clients {
            assert_eq!(client.response().status, 200);
        }
        assert_eq!(origin.connections() - before, expected);
    }
}

#[test]
fn http_1_clients_are_served_by_an_http_2_origin() {
    let origin = Http2Origin::new();
    let gateway = gateway(&origin, "");
    let response =
        gateway.ask(&post("/a?b=%20").field("Connection", "keep-alive, x-hop").field("X-Hop", "1"));
    assert_eq!((response.status, response.text().as_str()), (200, "body"));
    let [request] = &origin.requests()[..] else { panic!("{:?}", origin.requests()) };
    assert_eq!(request.head.uri().path_and_query().unwrap().as_str(), "/a?b=%20");
    assert!(request.values("x-hop").is_empty() && request.values("connection").is_empty());
}

#[test]
fn a_stream_refused_by_the_origin_is_sent_again_for_any_method() {
    let origin = Http2Origin::new();
    let gateway = gateway(&origin, "");
    let response = gateway.ask(&post("/refused"));
    assert_eq!((response.status, response.text().as_str()), (200, "body"));
    assert_eq!(origin.requests().len(), 2);
    assert_eq!(counted(&gateway, "retries_total", &[LABEL, ("reason", "closed")]), 1.0);
}

#[test]
fn http_2_over_tls_uses_the_origins_authority_and_the_client_certificate() {
    let (servers, clients) = (Authority::named("servers"), Authority::named("clients"));
    let folder = Arc::new(Folder::new());
    folder.write("ca.pem", &servers.pem);
    let identity = folder.identity("gateway", &Identity::new(&clients, &["gateway.test"]));
    let origin = Http2Origin::with_tls(&super::lock::demanding(&servers, &clients));
    for (tls, status) in [
        (format!("ca_file: ca.pem, client_certificate: {identity}"), 200),
        ("ca_file: ca.pem".to_owned(), 502),
        (format!("client_certificate: {identity}"), 502),
    ] {
        let before = origin.requests().len();
        let check =
            "health_check: { path: /healthz, interval: 100ms, timeout: 20s, unhealthy_threshold: 100 }";
        let origin_config = format!("domain: \"{}\", http: h2, tls: {{ {tls} }}", origin.url());
        let running = super::Reloadable::start(&folder, &config(&origin_config, ""));
        assert_eq!(running.gateway.ask(&get("/")).status, status, "{tls}");
        assert_eq!(origin.requests().len() - before, usize::from(status == 200), "{tls}");
        if status == 200 {
            let checked =
                super::Reloadable::start(&folder, &config(&format!("{origin_config}, {check}"), ""));
            origin.wait_for(before + 3);
            assert_eq!(counted(&checked.gateway, "healthy_addresses", &[LABEL]), 1.0);
            assert_eq!(origin.requests().last().unwrap().head.uri().path(), "/healthz");
        }
    }
}

#[test]
fn an_origin_without_alpn_gets_http_1() {
    let authority = Authority::new();
    let origin = crate::harness::Origin::with_tls(authority.server_named("localhost"));
    let config = config(&format!("domain: \"{}\", http: h2", origin.url()), "");
    let gateway = Setup::bare().config(&config).file("SSL_CERT_FILE", &authority.pem).start();
    assert_eq!(gateway.ask(&get("/")).status, 200);
    assert_eq!(origin.requests().len(), 1);
}
