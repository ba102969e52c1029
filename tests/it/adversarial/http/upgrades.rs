//! Upgrades: no value of `Upgrade`, in any protocol version, bypasses verification.

use super::{assert_malformed, assert_only_honest, head_with_token};
use crate::harness::websocket::{HANDSHAKE, SWITCH};
use crate::harness::{Http2Client, Message, Origin, Then, gateway_before, latin1, tokens};

const PROTOCOLS: [&str; 9] =
    ["websocket", "WebSocket", "h2c", "H2C", "TLS/1.0", "anything", "h2c, websocket", "websocket, h2c", ""];

const CONNECTIONS: [&str; 4] =
    ["Connection: Upgrade", "Connection: upgrade, HTTP2-Settings", "Connection: keep-alive, Upgrade", "X: y"];

/// An origin that accepts every upgrade and then sends back every byte.
fn willing() -> Origin {
    Origin::scripted(|exchange| {
        exchange.body()?;
        match exchange.request.values("upgrade").first() {
            None => exchange.answer("200 OK", "hello"),
            Some(protocol) => {
                exchange.send(SWITCH.replace("websocket", protocol))?;
                exchange.echo()
            }
        }
    })
}

#[test]
fn an_upgrade_without_a_token_is_refused() {
    let origin = willing();
    let gateway = gateway_before(&origin);
    for protocol in PROTOCOLS {
        for connection in CONNECTIONS {
            for version in ["HTTP/1.1", "HTTP/1.0"] {
                for token in ["", "Approov-Token: NO_NETWORK\r\n"] {
                    let mut client = gateway.connect();
                    client.send(format!(
                        "GET /chat {version}\r\nHost: a\r\n{connection}\r\nUpgrade: {protocol}\r\n\
                         HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n{token}\r\n"
                    ));
                    assert_eq!(client.response().status, 401, "{version} {connection} {protocol:?}");
                }
            }
        }
    }
    assert_eq!(origin.bytes(), 0);
    gateway.assert_serves(&origin);
    assert_only_honest(&origin);
}

#[test]
fn a_refused_upgrade_does_not_pass_the_bytes_after_it() {
    let origin = willing();
    let gateway = gateway_before(&origin);
    for method in ["GET", "POST", "OPTIONS", "CONNECTED"] {
        let mut client = gateway.connect();
        client.send(format!(
            "{method} /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Approov-Token: {}\r\n\r\n{}",
            tokens::wrongly_signed(),
            head_with_token("GET /smuggled HTTP/1.1", "")
        ));
        assert_eq!(client.response().status, 401, "{method}");
        client.read_to_end();
    }
    assert_eq!(origin.bytes(), 0);
    gateway.assert_serves(&origin);
    assert_only_honest(&origin);
}

#[test]
fn upgrades_to_other_protocols_than_websocket_are_not_offered_to_the_origin() {
    let origin = willing();
    let gateway = gateway_before(&origin);
    let others: Vec<_> =
        PROTOCOLS.into_iter().filter(|protocol| !protocol.eq_ignore_ascii_case("websocket")).collect();
    for protocol in &others {
        let mut client = gateway.connect();
        let lines = format!(
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {protocol}\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
        );
        client.send(head_with_token("GET /chat HTTP/1.1", &lines));
        let response = client.response();
        assert_eq!((response.status, response.text().as_str()), (200, "hello"), "{protocol:?}");
        let request = origin.requests().pop().unwrap();
        assert!(!request.has("upgrade") && !request.has("http2-settings"), "{}", latin1(&request.head));
        assert!(!latin1(&request.head).to_ascii_lowercase().contains("upgrade"), "{}", latin1(&request.head));
    }
    assert_eq!(origin.count("/chat"), others.len());
}

#[test]
fn an_upgrade_over_http_1_0_is_an_ordinary_request() {
    let origin = willing();
    let gateway = gateway_before(&origin);
    let mut client = gateway.connect();
    client.send(head_with_token("GET /chat HTTP/1.0", HANDSHAKE));
    assert_eq!(client.response().status, 200);
    assert!(!origin.only_request().has("upgrade"));
    gateway.assert_serves(&origin);
}

#[test]
fn a_request_pipelined_after_a_declined_upgrade_is_dropped() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    for body in ["", "Content-Length: 0\r\n", "Content-Length: 4\r\n", "Transfer-Encoding: chunked\r\n"] {
        for authorised in [true, false] {
            let before = origin.bytes();
            let upgrade = format!("{HANDSHAKE}{body}");
            let sent_body = match body {
                "Content-Length: 4\r\n" => "body",
                "Transfer-Encoding: chunked\r\n" => "4\r\nbody\r\n0\r\n\r\n",
                _ => "",
            };
            let smuggled = match authorised {
                true => head_with_token("GET /smuggled HTTP/1.1", ""),
                false => "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            };
            let mut client = gateway.connect();
            client.send(head_with_token("GET /honest HTTP/1.1", &upgrade) + sent_body + &smuggled);
            let response = client.response();
            assert!(response.status == 200 || response.status == 400, "{body:?}: {}", response.status);
            let rest = latin1(&client.read_to_end());
            assert!(!rest.contains("HTTP/1.1 200"), "{body:?}: {rest}");
            let arrived = origin.bytes() - before;
            let head = origin.requests().last().map_or(0, |request| request.head.len() as u64);
            assert!(arrived <= head + sent_body.len() as u64, "{body:?}: {arrived} bytes at the origin");
            gateway.assert_serves(&origin);
        }
    }
    assert_only_honest(&origin);
}

#[test]
fn bytes_sent_after_the_origin_declined_the_upgrade_are_verified_as_requests() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let mut client = gateway.connect();
    client.send(head_with_token("GET /honest HTTP/1.1", HANDSHAKE));
    assert_eq!(client.response().status, 200);
    // The gateway closes the connection or answers like for any other request.
    if client.try_send("GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n").is_ok() {
        let rest = latin1(&client.read_until("HTTP/1.1 401"));
        assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 401"), "{rest}");
    }
    gateway.assert_serves(&origin);
    assert_only_honest(&origin);
}

#[test]
fn the_preface_of_http_2_on_the_plain_listener_is_refused() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let settings = b"\0\0\0\x04\0\0\0\0\0";
    let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), settings].concat();
    assert_malformed(&gateway, &origin, [&preface]);
    let behind = [head_with_token("GET /honest HTTP/1.1", "").as_bytes(), &preface].concat();
    let mut client = gateway.connect();
    client.send(&behind);
    assert_eq!(client.response().status, 200);
    let rest = latin1(&client.read_to_end());
    assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 400"), "{rest}");
    assert_only_honest(&origin);
}

#[test]
fn the_connection_of_a_tunnel_is_not_used_again() {
    let origin = Origin::scripted(|exchange| {
        if exchange.request.has("upgrade") {
            exchange.switch_protocols()?;
            return Ok(Then::Close);
        }
        exchange.answer("200 OK", "hello")
    });
    let gateway = gateway_before(&origin);
    let mut client = gateway.connect();
    client.send(head_with_token("GET /chat HTTP/1.1", HANDSHAKE));
    assert_eq!(client.response().status, 101);
    client.assert_closed();
    gateway.assert_serves(&origin);
    assert_eq!(origin.requests()[1].connection, 1);
}

#[test]
fn an_incomplete_handshake_is_an_ordinary_request() {
    let origin = willing();
    let gateway = gateway_before(&origin);
    let without = |line: &str| HANDSHAKE.replace(&format!("{line}\r\n"), "");
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let handshakes = [
        "Upgrade: websocket\r\n".to_owned(),
        without("Connection: Upgrade"),
        HANDSHAKE.replace("Connection: Upgrade", "Connection: keep-alive"),
        without("Sec-WebSocket-Version: 13"),
        HANDSHAKE.replace("Version: 13", "Version: 8"),
        HANDSHAKE.replace("Version: 13", "Version: 13, 8"),
        format!("{HANDSHAKE}Sec-WebSocket-Version: 13\r\n"),
        without(key),
        HANDSHAKE.replace("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="),
        HANDSHAKE.replace("dGhlIHNhbXBsZSBub25jZQ==", "not base64"),
        HANDSHAKE.replace("dGhlIHNhbXBsZSBub25jZQ==", ""),
        format!("{HANDSHAKE}{key}\r\n"),
        format!("{HANDSHAKE}Upgrade: websocket\r\n"),
    ];
    for handshake in &handshakes {
        let mut client = gateway.connect();
        client.send(head_with_token("GET /chat HTTP/1.1", handshake));
        let response = client.response();
        assert_eq!((response.status, response.text().as_str()), (200, "hello"), "{handshake:?}");
        assert!(!origin.requests().pop().unwrap().has("upgrade"), "{handshake:?}");
    }
    assert_eq!(origin.count("/chat"), handshakes.len());
}

#[test]
fn a_101_that_does_not_answer_the_handshake_is_502_and_opens_no_tunnel() {
    let accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    let switches = [
        SWITCH.replace(accept, ""),
        SWITCH.replace("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        SWITCH.replace("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "S3PPLMBITXAQ9KYGZZHZRBK+XOO="),
        SWITCH.replace(accept, &accept.repeat(2)),
        SWITCH.replace("Upgrade: websocket\r\n", ""),
        SWITCH.replace("Upgrade: websocket", "Upgrade: h2c"),
        SWITCH.replace("Connection: Upgrade\r\n", ""),
    ];
    for (index, switch) in switches.into_iter().enumerate() {
        let answer = switch.clone();
        let origin = Origin::troubled(move |exchange| {
            exchange.send(&answer)?;
            exchange.wait_for_hangup()
        });
        let gateway = gateway_before(&origin);
        let mut client = gateway.connect();
        client.send(head_with_token("GET /chat HTTP/1.1", HANDSHAKE));
        let response = client.response();
        assert_eq!((response.status, response.text().as_str()), (502, "{}"), "{index}: {switch}");
        origin.wait_until("the end", |record| record.ended == 1);
        gateway.assert_serves(&origin);
    }
}

#[test]
fn a_101_without_a_handshake_is_502_on_every_route_and_protocol() {
    let origin = Origin::troubled(|exchange| {
        exchange.switch_protocols()?;
        exchange.wait_for_hangup()
    });
    let gateway = super::super::configured(&origin, "routes: [ { path: /, policy: open } ]\n");
    let mut client = gateway.connect();
    client.send("GET /open HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().status, 502);
    client.assert_closed();
    let mut client = gateway.connect();
    client.send("GET /open HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(client.response().status, 502);
    let mut client = Http2Client::connect(gateway.address());
    assert_eq!(client.ask(&Message::get("/open")).status, 502);
    // The connection keeps its limits and serves requests.
    assert_eq!(client.ask(&Message::get("/honest")).status, 200);
}
