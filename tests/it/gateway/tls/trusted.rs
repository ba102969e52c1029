//! Trusted proxies: forwarding fields and PROXY headers.

use crate::harness::{Client, Gateway, Origin, Setup, config_before, get};

use super::serving::Edge;

fn gateway(origin: &Origin, trusted: &str) -> Gateway {
    let listener = format!(
        "listeners: [ {{ address: \"127.0.0.1:0\", trusted_proxies: {{ {trusted} }}, redirect_to_https: false }} ]\n"
    );
    Setup::bare().without("GATEWAY_LISTEN").config(&config_before(origin, &listener)).start()
}

#[test]
fn a_trusted_proxy_reports_address_scheme_and_host() {
    let origin = Origin::new();
    let gateway = gateway(&origin, "ranges: [127.0.0.1]");
    let message = get("/told")
        .field("X-Forwarded-For", "198.51.100.1, 203.0.113.9")
        .field("X-Forwarded-Proto", "https")
        .field("X-Forwarded-Host", "app.example.com");
    assert_eq!(gateway.ask(&message).status, 200);
    let request = origin.only_request();
    assert_eq!(request.values("x-forwarded-for"), ["203.0.113.9"]);
    assert_eq!(request.values("x-forwarded-proto"), ["https"]);
    assert_eq!(request.values("x-forwarded-host"), ["app.example.com"]);
    let entry = gateway.wait_for_entry(|entry| entry["url.path"] == "/told");
    assert_eq!((&entry["client.address"], entry.get("client.port")), (&"203.0.113.9".into(), None));
}

#[test]
fn other_clients_cannot_forge_forwarding_fields() {
    let origin = Origin::new();
    let gateway = gateway(&origin, "ranges: [192.0.2.0/24]");
    let message = get("/claimed")
        .field("X-Forwarded-For", "203.0.113.9")
        .field("X-Forwarded-Proto", "https")
        .field("X-Forwarded-Host", "app.example.com");
    assert_eq!(gateway.ask(&message).status, 200);
    let request = origin.only_request();
    assert_eq!(request.values("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(request.values("x-forwarded-proto"), ["http"]);
    assert_eq!(request.values("x-forwarded-host"), ["gateway.test"]);
    let entry = gateway.wait_for_entry(|entry| entry["url.path"] == "/claimed");
    assert_eq!(entry["client.address"], "127.0.0.1");
    // A PROXY header of another client is a malformed request.
    let mut client = gateway.connect();
    client.send("PROXY TCP4 203.0.113.9 192.0.2.1 1 2\r\n");
    client.send(get("/header").bytes());
    assert_eq!(client.response().status, 400);
}

#[test]
fn a_proxy_header_names_the_client_of_a_whole_connection() {
    let origin = Origin::new();
    let gateway = gateway(&origin, "ranges: [127.0.0.1], client_address: proxy-protocol");
    let line = b"PROXY TCP4 203.0.113.9 192.0.2.1 40000 443\r\n".to_vec();
    let binary =
        [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &[203, 0, 113, 9, 192, 0, 2, 1, 0x9c, 0x40, 0x01, 0xbb]]
            .concat();
    for header in [line, binary] {
        let mut client = gateway.connect();
        // The PROXY header arrives in parts, the last one with the request.
        client.send(&header[..7]);
        let rest = [&header[7..], &get("/one").field("X-Forwarded-For", "6.6.6.6").bytes()].concat();
        client.send(rest);
        assert_eq!(client.response().status, 200);
        assert_eq!(client.ask(&get("/two")).status, 200);
    }
    assert_eq!(origin.requests().len(), 4);
    for request in origin.requests() {
        assert_eq!(request.values("x-forwarded-for"), ["203.0.113.9"]);
    }
    // Without a valid PROXY header the connection is closed.
    for bytes in [get("/none").bytes(), b"PROXY TCP4 x y 1 2\r\n".to_vec()] {
        let mut client = gateway.connect();
        let _ = client.try_send(bytes);
        client.assert_closed();
    }
    gateway.wait_for_message("proxy 127.0.0.1: the connection does not begin with a PROXY header");
}

#[test]
fn a_proxy_header_comes_before_the_tls_handshake() {
    let edge = Edge::new();
    let trusted = ", trusted_proxies: { ranges: [127.0.0.1], client_address: proxy-protocol }";
    let gateway = edge.start(&edge.config("", trusted));
    let before = b"PROXY TCP6 2001:db8::9 2001:db8::1 40000 443\r\n";
    let config = edge.trust().build();
    let mut client = Client::try_connect_tls(gateway.address(), config, "api.example.com", before).unwrap();
    assert_eq!(client.ask(&get("/")).status, 200);
    assert_eq!(edge.origin.only_request().values("x-forwarded-for"), ["2001:db8::9"]);
    assert_eq!(edge.origin.only_request().values("x-forwarded-proto"), ["https"]);
}

#[test]
fn behind_a_tls_terminator_only_clear_text_requests_are_redirected() {
    let origin = Origin::new();
    let listener = "listeners: [ { address: \"127.0.0.1:0\", redirect_to_https: true, \
                    trusted_proxies: { ranges: [127.0.0.1] } } ]\n";
    let gateway = Setup::bare().without("GATEWAY_LISTEN").config(&config_before(&origin, listener)).start();
    assert_eq!(gateway.ask(&get("/").field("X-Forwarded-Proto", "https")).status, 200);
    assert_eq!(gateway.ask(&get("/").field("X-Forwarded-Proto", "http")).status, 308);
    assert_eq!(gateway.ask(&get("/")).status, 308);
    assert_eq!(origin.requests().len(), 1);
}
