//! Methods and hosts: no method is exempt from verification, and a request has exactly one host.

use super::{assert_malformed, assert_only_honest, head_with_token};
use crate::harness::{Message, Origin, gateway_before, tokens};

#[test]
fn no_method_is_exempt() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let methods =
        ["OPTIONS", "HEAD", "PUT", "PROPFIND", "PURGE", "get", "X", "PRI", "\u{21}#$%&'*+-.^_`|~09"];
    for method in methods {
        let preflight = Message::new(method, "/")
            .field("Origin", "https://a.test")
            .field("Access-Control-Request-Method", "POST")
            .field("X-HTTP-Method-Override", "OPTIONS");
        assert_eq!(gateway.ask(&preflight).status, 401, "{method}");
        assert_eq!(gateway.ask(&preflight.token(&tokens::expired())).status, 401, "{method}");
    }
    assert_eq!(origin.bytes(), 0);
    gateway.assert_serves(&origin);
    assert_only_honest(&origin);
}

#[test]
fn trace_is_not_allowed() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    for message in [Message::new("TRACE", "/"), Message::new("TRACE", "/").token(&tokens::valid())] {
        let response = gateway.ask(&message);
        assert_eq!((response.status, response.text().as_str()), (405, "{}"));
    }
    assert_eq!(origin.bytes(), 0);
    gateway.assert_serves(&origin);
}

#[test]
fn connect_opens_no_tunnel() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    for target in ["gateway.test:443", &origin.authority(), "/", "/x", "http://a.test/", "*"] {
        for head in [
            head_with_token(&format!("CONNECT {target} HTTP/1.1"), ""),
            format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"),
        ] {
            let mut client = gateway.connect();
            client.send(head);
            let status = client.response().status;
            assert!((400..500).contains(&status), "{target}: {status}");
            if client.try_send("GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n").is_ok() {
                let rest = String::from_utf8(client.read_until("HTTP/1.1 401")).unwrap();
                assert!(!rest.contains(" 200 "), "{target}: {rest}");
            }
            assert_eq!(origin.count("/smuggled") + origin.requests().len(), origin.count("/honest"));
        }
        gateway.assert_serves(&origin);
    }
    assert_only_honest(&origin);
}

#[test]
fn a_request_has_one_host() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let token = format!("Approov-Token: {}", tokens::valid());
    let hosts = [
        "X: y",
        "Host:",
        "Host: \t",
        "Host: a.test\r\nHost: b.test",
        "Host: a.test\r\nHost: a.test",
        "Host: a.test\r\nhost: b.test",
        "Host: a.test\r\nX: y\r\nHOST: b.test",
        "Host: user@a.test",
        "Host: a.test\0",
        "Host : a.test",
        " Host: a.test",
    ];
    let cases = hosts.map(|host| format!("GET /x HTTP/1.1\r\n{host}\r\n{token}\r\n\r\n"));
    assert_malformed(&gateway, &origin, cases);
}

#[test]
fn malformed_hosts_are_refused() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let token = format!("Approov-Token: {}", tokens::valid());
    let hosts = [
        "a.test, b.test",
        "a.test b.test",
        "a.test/b",
        "a.test?b",
        "a.test#b",
        "http://a.test",
        "a.test:port",
        "a.test:80:80",
        "a\\b",
        "[::1",
        "\u{e9}.test",
        "<a>",
        "\"a\"",
    ];
    let cases = hosts.map(|host| format!("GET /x HTTP/1.1\r\nHost: {host}\r\n{token}\r\n\r\n"));
    assert_malformed(&gateway, &origin, cases);
}

#[test]
fn an_absolute_target_cannot_name_another_host() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    for target in
        ["http://other.test/x", "http://gateway.test/x", "http://user@gateway.test/x", "//other.test/x"]
    {
        let mut client = gateway.connect();
        client.send(head_with_token(&format!("GET {target} HTTP/1.1"), ""));
        let status = client.response().status;
        if target.starts_with("//") {
            // This is a path: no route depends on paths here.
            assert_eq!((status, origin.count(target)), (200, 1));
        } else {
            assert_eq!((status, origin.requests().len()), (400, 0), "{target}");
        }
    }
    assert_eq!(origin.requests()[0].values("host"), [origin.authority()]);
}

#[test]
fn a_look_alike_of_host_does_not_reach_the_origin() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    for name in ["X-Forwarded-Host", "X_Forwarded_Host", "X-Host", "X-Original-Host"] {
        let message = Message::get("/").token(&tokens::valid()).field(name, "evil.test");
        assert_eq!(gateway.ask(&message).status, 200, "{name}");
        let request = origin.requests().pop().unwrap();
        assert_eq!(request.values("host"), [origin.authority()]);
        assert_eq!(request.values("x-forwarded-host"), ["gateway.test"]);
    }
    assert_eq!(origin.requests().len(), 4);
}
