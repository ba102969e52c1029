//! Request smuggling: gateway and origin must see the same requests.

use super::{assert_malformed, assert_only_honest, head_with_token};
use crate::harness::{Message, Origin, Then, gateway_before, latin1, tokens};

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn ambiguous_framing_is_refused() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let framings = [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: chunked\r\nContent-Length: 0",
        "Transfer-Encoding: chunked\r\ncontent-length:5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 0\r\nContent-Length: 47",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5, 5",
        "Content-Length: 5, 6",
        "Content-Length: 010",
        "Content-Length: 00",
        "Content-Length: 1111111111111111111111111111111111111111",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 0x5",
        "Content-Length: 5.0",
        "Content-Length: 5 0",
        "Content-Length: 5e0",
        "Content-Length:",
        "Content-Length: \u{b}5",
        "Content-Length: five",
        "Content-Length: 18446744073709551621",
        "Content-Length: 99999999999999999999999999",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunkedx",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked;a=b",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: ,chunked",
        "Transfer-Encoding: chunked,",
        "Transfer-Encoding:",
        "Transfer-Encoding: \u{b}chunked",
        "Transfer-Encoding : chunked",
        " Transfer-Encoding: chunked",
        "Transfer-Encoding\t: chunked",
        "Content-Length : 5",
        "X: y\r\n Transfer-Encoding: chunked",
        "X: y\r\n\tfolded",
        "Transfer-Encoding:\r\n chunked",
        "X: y\nTransfer-Encoding: chunked",
        "X: y\rTransfer-Encoding: chunked",
        "X: a\0b",
        "X\0: a",
        "X: a\u{7f}b",
        "X(: a",
        ": a",
        "no colon",
    ];
    for method in ["POST", "GET"] {
        let line = format!("{method} /victim HTTP/1.1");
        let cases = framings
            .map(|framing| head_with_token(&line, &format!("{framing}\r\n")) + "0\r\n\r\n" + SMUGGLED);
        assert_malformed(&gateway, &origin, cases);
    }
}

#[test]
fn line_ends_other_than_crlf_are_refused() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let good = head_with_token("GET /victim HTTP/1.1", "X: y\r\n");
    let cases = [
        good.replace("\r\n", "\n"),
        good.replacen("\r\n", "\n", 1),
        good.replace("X: y\r\n", "X: y\n"),
        good.replace("X: y\r\n\r\n", "X: y\r\n\n"),
        good.replace("X: y\r\n\r\n", "X: y\n\n"),
        good.replace("X: y\r\n", "X: y\r\r\n"),
        good.replace("X: y\r\n\r\n", "X: y\n\r\n"),
    ];
    assert_malformed(&gateway, &origin, cases.map(|bytes| bytes + SMUGGLED));
}

#[test]
fn chunked_over_http_1_0_is_refused() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let head = head_with_token("POST /victim HTTP/1.0", "Transfer-Encoding: chunked\r\n");
    assert_malformed(&gateway, &origin, [head + "0\r\n\r\n" + SMUGGLED]);
}

#[test]
fn a_malformed_chunked_body_is_refused_and_never_completes_at_the_origin() {
    let chunks = [
        "0x5\r\nhello\r\n",
        "+5\r\nhello\r\n",
        "-5\r\nhello\r\n",
        "zz\r\nhello\r\n",
        "5\r\nhello",
        "5\r\nhelloworld\r\n",
        "5\r\nhello\rX",
        "fffffffffffffffff\r\nhello\r\n",
        "10000000000000005\r\nhello\r\n",
        "00000000000000005\r\nhello\r\n",
        "5\0\r\nhello\r\n",
        "5 5\r\nhello\r\n",
        "5 \r\nhello\r\n",
        "5\nhello\n",
        "5\r\nhello\n",
        "\r\nhello\r\n",
        ";\r\nhello\r\n",
        "5;a\nb\r\nhello\r\n",
        "5;a\rb\r\nhello\r\n",
        "5;\r\nhello\r\n",
        "5;a=\"b\r\nhello\r\n",
        "5\r\nhello\r\n0\r\njunk\r\n",
        "5\r\nhello\r\n0\r\nX : y\r\n",
        "5\r\nhello\r\n0\r\nX: y\n",
        "5\r\nhello\r\n00\n\r\n",
    ];
    // This origin reads the body chunk by chunk, and fails if the body is incomplete.
    let origin = Origin::troubled(|exchange| {
        exchange.body()?;
        exchange.answer("200 OK", "whole")
    });
    let gateway = gateway_before(&origin);
    let mut failed = Vec::new();
    for chunk in chunks {
        let head = head_with_token("POST /victim HTTP/1.1", "Transfer-Encoding: chunked\r\n");
        let bytes = head.clone() + chunk + "0\r\n\r\n" + SMUGGLED;
        for pieces in [vec![bytes.as_str()], vec![&bytes[..head.len()], &bytes[head.len()..]]] {
            let mut client = gateway.connect();
            // The gateway may have answered and closed before the second part.
            let _ = pieces.iter().try_for_each(|piece| client.try_send(piece));
            let answer = latin1(&client.read_to_end());
            if answer.matches("HTTP/1.1 ").count() != 1 || !answer.starts_with("HTTP/1.1 400") {
                failed.push(format!("{chunk:?} in {}: {answer}", pieces.len()));
            }
        }
        gateway.assert_serves(&origin);
    }
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
    assert_eq!(origin.count("/smuggled"), 0);
    for request in origin.requests() {
        assert!(b"hello".starts_with(&request.body), "{}", request.body.escape_ascii());
    }
}

#[test]
fn odd_but_legal_framing_arrives_as_one_request() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let cases = [
        ("Content-Length:5", "hello"),
        ("Content-Length: \t 5 \t", "hello"),
        ("content-LENGTH: 5", "hello"),
        ("Transfer-Encoding:chunked", "5\r\nhello\r\n0\r\n\r\n"),
        ("Transfer-Encoding:   CHUNKED \t", "5\r\nhello\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked", "2;a=\"b\"\r\nhe\r\n003\r\nllo\r\n0;z\r\nX: y\r\n\r\n"),
    ];
    for (framing, body) in cases {
        let mut client = gateway.connect();
        let head = head_with_token("POST /odd HTTP/1.1", &format!("{framing}\r\n"));
        client.send(head + body);
        assert_eq!(client.response().status, 200, "{framing:?}");
        let request = origin.requests().pop().unwrap();
        assert_eq!((request.target.as_str(), request.body.as_slice()), ("/odd", b"hello".as_slice()));
        assert_eq!(client.ask(&crate::harness::Message::get("/smuggled")).status, 401, "{framing:?}");
    }
    assert_eq!(origin.targets(), ["/odd"; 6]);
}

#[test]
fn look_alikes_of_framing_fields_never_reach_the_origin() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    for name in ["Transfer_Encoding", "Transfer.Encoding", "Content_Length", "content.length"] {
        let head =
            head_with_token("POST /victim HTTP/1.1", &format!("{name}: chunked\r\nContent-Length: 5\r\n"));
        let mut client = gateway.connect();
        client.send(head + "0\r\n\r\n");
        assert_eq!(client.response().status, 200, "{name}");
        let request = origin.requests().pop().unwrap();
        assert!(!request.has(name), "{}", latin1(&request.head));
        assert_eq!(request.body, b"0\r\n\r\n");
    }
    assert_eq!(origin.requests().len(), 4);
}

#[test]
fn framing_fields_named_in_connection_still_frame_the_body() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    for (framing, body) in [
        ("Content-Length: 5\r\nConnection: Content-Length", "hello"),
        ("Transfer-Encoding: chunked\r\nConnection: Transfer-Encoding", "5\r\nhello\r\n0\r\n\r\n"),
        ("Content-Length: 5\r\nConnection: Host, Content-Length, close", "hello"),
    ] {
        let head = head_with_token("POST /honest HTTP/1.1", &format!("{framing}\r\n"));
        let mut client = gateway.connect();
        client.send(head + body + SMUGGLED);
        let status = client.response().status;
        assert!(matches!(status, 200 | 400), "{framing:?}: {status}");
        if status == 200 {
            let request = origin.requests().pop().unwrap();
            assert_eq!(request.body, b"hello", "{framing:?}");
            assert_eq!(request.values("host"), [origin.authority()], "{framing:?}");
        }
        gateway.assert_serves(&origin);
    }
    assert_only_honest(&origin);
}

#[test]
fn the_unread_body_of_a_refused_request_is_not_read_as_a_request() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let inner = head_with_token("GET /smuggled HTTP/1.1", "");
    for framing in ["Content-Length: 1000000", "Transfer-Encoding: chunked", "Content-Length: 70000"] {
        let mut client = gateway.connect();
        client.send(format!("POST /victim HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{inner}"));
        assert_eq!(client.response().status, 401, "{framing}");
        client.assert_closed();
    }
    assert_eq!(origin.bytes(), 0);
    gateway.assert_serves(&origin);
    assert_only_honest(&origin);
}

#[test]
fn a_drained_body_is_not_read_as_a_request() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let inner = head_with_token("GET /smuggled HTTP/1.1", "");
    let mut client = gateway.connect();
    let length = inner.len();
    client.send(format!("POST /victim HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{inner}"));
    assert_eq!(client.response().status, 401);
    client.send(head_with_token("GET /honest HTTP/1.1", ""));
    assert_eq!(client.response().status, 200);
    assert_only_honest(&origin);
}

#[test]
fn line_ends_before_a_request_are_ignored() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    for _ in 0..20 {
        let mut client = gateway.connect();
        // The first half of a line end arrives right after a request. The gateway sees it before the
        // client has read the answer.
        client.send([&Message::get("/x").bytes()[..], b"\r"].concat());
        assert_eq!(client.response().status, 401);
        client.send([b"\n\r\n", &Message::get("/x").bytes()[..], b"\r\n\r"].concat());
        assert_eq!(client.response().status, 401);
        client.send([b"\n", &Message::get("/x").token(&tokens::valid()).bytes()[..]].concat());
        assert_eq!(client.response().status, 200);
    }
    assert_eq!(origin.count("/x"), 20);
}

#[test]
fn pipelined_requests_are_verified_one_by_one() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let honest = head_with_token("GET /honest HTTP/1.1", "");
    let bare = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n".to_owned();
    let with_body = head_with_token("POST /honest HTTP/1.1", "Content-Length: 4\r\n") + "body";
    let mut expected = 0;
    for (sent, statuses) in [
        ([honest.clone(), bare.clone(), honest.clone()], [200, 401, 200]),
        ([bare.clone(), bare.clone(), honest.clone()], [401, 401, 200]),
        ([with_body.clone(), bare.clone(), with_body.clone()], [200, 401, 200]),
        ([with_body, honest, bare], [200, 200, 401]),
    ] {
        let mut client = gateway.connect();
        client.send(sent.concat());
        assert_eq!([(); 3].map(|()| client.response().status), statuses, "{sent:?}");
        expected += statuses.iter().filter(|status| **status == 200).count();
        assert_eq!(origin.count("/honest"), expected);
    }
    gateway.assert_serves(&origin);
    assert_only_honest(&origin);
}

#[test]
fn the_body_of_a_get_is_not_read_as_a_request() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let mut client = gateway.connect();
    let head = head_with_token("GET /honest HTTP/1.1", &format!("Content-Length: {}\r\n", SMUGGLED.len()));
    client.send(head + SMUGGLED);
    assert_eq!(client.response().status, 200);
    assert_eq!(origin.only_request().body, SMUGGLED.as_bytes());
}

#[test]
fn the_rest_of_an_upload_that_was_answered_early_is_not_read_as_a_request() {
    let origin = Origin::troubled(|exchange| {
        exchange.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")?;
        exchange.body()?;
        Ok(Then::KeepAlive)
    });
    let gateway = gateway_before(&origin);
    let length = SMUGGLED.len();
    for _ in 0..3 {
        let mut client = gateway.connect();
        client.send(head_with_token("POST /early HTTP/1.1", &format!("Content-Length: {length}\r\n")));
        let response = client.response();
        assert_eq!((response.status, response.text().as_str()), (403, "no"));
        let _ = client.try_send(SMUGGLED.to_owned() + SMUGGLED);
        client.read_to_end();
        gateway.assert_serves(&origin);
    }
    assert_eq!((origin.count("/early"), origin.count("/honest"), origin.requests().len()), (3, 3, 6));
}
