//! Failing origins, and the answers that clients get.

use std::time::{Duration, Instant};

use crate::harness::{
    Exchange, Gateway, Message, Origin, Setup, Then, config_before, gateway_before, get, tokens,
};

/// A gateway with a read timeout of two seconds.
fn impatient(origin: &Origin) -> Gateway {
    let config = config_before(origin, "");
    let config = config.replace("\" }\n", "\", read_timeout: 2s, connect_timeout: 2s }\n");
    assert!(config.contains("read_timeout"));
    Setup::bare().config(&config).start()
}

fn assert_fails(gateway: &Gateway, status: u16, kind: &str) {
    let response = gateway.ask(&get("/"));
    assert_eq!((response.status, response.text().as_str()), (status, "{}"));
    assert_eq!(response.values("content-type"), ["application/json"]);
    let labels = [("origin", "api"), ("kind", kind)];
    gateway.wait_for_count("approov_gateway_upstream_errors_total", &labels, 1.0);
    gateway.wait_for_count("approov_gateway_upstream_errors_total", &[], 1.0);
    let entry = gateway.wait_for_entry(|entry| entry["http.response.status_code"] == status);
    assert_eq!(entry["error.type"], kind, "{entry}");
}

fn sends(bytes: &'static [u8]) -> impl Fn(&mut Exchange<'_>) -> std::io::Result<Then> + Send + Sync {
    move |exchange| {
        exchange.send(bytes)?;
        Ok(Then::Close)
    }
}

#[test]
fn a_refused_connection_is_502() {
    assert_fails(&gateway_before(&Origin::refusing()), 502, "connect");
}

#[test]
fn a_name_that_does_not_resolve_is_502() {
    let origin = Origin::new();
    let gateway = Setup::before(&origin).env("API_DOMAIN", "http://api.invalid").start();
    let response = gateway.ask(&get("/"));
    assert_eq!((response.status, response.text().as_str()), (502, "{}"));
    let metrics = gateway.metrics();
    assert!(metrics.sum("approov_gateway_upstream_errors_total", &[("kind", "resolve")]) >= 1.0);
}

#[test]
fn a_connection_closed_without_an_answer_is_502() {
    let origin = Origin::troubled(sends(b""));
    let gateway = gateway_before(&origin);
    assert_fails(&gateway, 502, "closed");
    gateway.assert_serves(&origin);
    assert_eq!(origin.count("/"), 1);
}

#[test]
fn a_reset_without_an_answer_is_502() {
    let origin = Origin::troubled(|_| Ok(Then::Reset));
    let gateway = gateway_before(&origin);
    assert_fails(&gateway, 502, "closed");
    gateway.assert_serves(&origin);
    assert_eq!(origin.count("/"), 1);
}

#[test]
fn a_reset_within_the_head_is_502() {
    let origin = Origin::troubled(|exchange| {
        exchange.send("HTTP/1.1 200 OK\r\nContent-Le")?;
        Ok(Then::Reset)
    });
    let gateway = gateway_before(&origin);
    assert_fails(&gateway, 502, "closed");
    gateway.assert_serves(&origin);
}

#[test]
fn a_reset_in_the_body_is_not_a_clean_end() {
    for head in ["Content-Length: 10\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"] {
        for reset in [false, true] {
            let origin = Origin::troubled(move |exchange| {
                exchange.send(format!("HTTP/1.1 200 OK\r\n{head}"))?;
                Ok(if reset { Then::Reset } else { Then::Close })
            });
            let gateway = gateway_before(&origin);
            let mut client = gateway.connect();
            client.send(get("/").bytes());
            let answer = client.try_response_to("GET");
            // The gateway must have read the head before the reset.
            assert!(
                answer.as_ref().map_or(true, |answer| reset && answer.status == 502),
                "{head:?} passed for a whole answer: {answer:?}"
            );
            gateway.wait_for_count("approov_gateway_upstream_errors_total", &[("kind", "closed")], 1.0);
            gateway.assert_serves(&origin);
        }
    }
}

#[test]
fn silence_is_504_after_the_read_timeout() {
    let origin = Origin::troubled(|exchange| exchange.wait_for_hangup());
    let gateway = impatient(&origin);
    let asked = Instant::now();
    assert_fails(&gateway, 504, "read_timeout");
    let waited = asked.elapsed();
    assert!(waited >= Duration::from_secs(2), "{waited:?}");
    gateway.assert_serves(&origin);
    assert_eq!(origin.count("/"), 1);
}

#[test]
fn a_head_that_stops_is_504() {
    let origin = Origin::troubled(|exchange| {
        exchange.send("HTTP/1.1 200 OK\r\nContent-Le")?;
        exchange.wait_for_hangup()
    });
    let gateway = impatient(&origin);
    assert_fails(&gateway, 504, "read_timeout");
    gateway.assert_serves(&origin);
}

#[test]
fn a_body_that_stops_is_not_a_clean_end() {
    let origin = Origin::troubled(|exchange| {
        exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")?;
        exchange.wait_for_hangup()
    });
    let gateway = impatient(&origin);
    let mut client = gateway.connect();
    client.send(get("/").bytes());
    assert!(client.try_response_to("GET").is_err());
    gateway.wait_for_count("approov_gateway_upstream_errors_total", &[("kind", "read_timeout")], 1.0);
    gateway.assert_serves(&origin);
}

#[test]
fn a_slow_origin_that_keeps_sending_does_not_time_out() {
    let origin = Origin::scripted(|exchange| {
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n")?;
        for _ in 0..8 {
            // This sleep is the subject of the test: a slow origin.
            std::thread::sleep(Duration::from_millis(300));
            exchange.send("x")?;
        }
        Ok(Then::KeepAlive)
    });
    let gateway = impatient(&origin);
    assert_eq!(gateway.ask(&get("/")).text(), "xxxxxxxx");
}

#[test]
fn an_answer_that_is_not_http_is_502() {
    let cases: [&[u8]; 7] = [
        b"garbage\r\n\r\n",
        b"\0\x01\x02\x03\xff\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nNo colon here\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    ];
    for bytes in cases {
        let origin = Origin::troubled(sends(bytes));
        let gateway = gateway_before(&origin);
        let response = gateway.ask(&get("/"));
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!((response.status, response.text().as_str()), (502, "{}"), "{shown:?}");
        gateway.wait_for_count("approov_gateway_upstream_errors_total", &[("kind", "invalid_response")], 1.0);
        gateway.assert_serves(&origin);
        assert_eq!(origin.count("/"), 1, "{shown:?}");
    }
}

#[test]
fn an_answer_with_two_framings_is_never_read_as_two_answers() {
    let origin = Origin::troubled(sends(
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\
          HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    ));
    let gateway = gateway_before(&origin);
    let mut client = gateway.connect();
    let response = client.ask(&get("/"));
    assert!(!response.text().contains("evil"), "{response:?}");
    assert!(
        !(response.values("content-length") == ["5"] && response.values("transfer-encoding") == ["chunked"])
    );
    for _ in 0..2 {
        gateway.assert_serves(&origin);
    }
}

#[test]
fn a_second_answer_does_not_reach_the_next_client() {
    let origin = Origin::troubled(|exchange| {
        exchange.send(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        )?;
        Ok(Then::KeepAlive)
    });
    let gateway = gateway_before(&origin);
    let mut client = gateway.connect();
    assert_eq!(client.ask(&get("/")).text(), "ok");
    for _ in 0..3 {
        assert_eq!(gateway.ask(&get("/honest")).text(), "hello");
    }
}

#[test]
fn an_unexpected_body_does_not_reach_the_next_client() {
    let origin = Origin::troubled(|exchange| {
        let status = if exchange.request.method == "HEAD" { "200 OK" } else { &exchange.request.target[1..] };
        let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
        exchange.send(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{evil}", evil.len()))?;
        Ok(Then::KeepAlive)
    });
    let gateway = gateway_before(&origin);
    for (method, target) in [("HEAD", "/"), ("GET", "/204"), ("GET", "/304")] {
        let mut client = gateway.connect();
        let response = client.ask(&Message::new(method, target).token(&tokens::valid()));
        assert!(matches!(response.status, 200 | 204 | 304 | 502), "{method} {target}: {}", response.status);
        for _ in 0..3 {
            assert_eq!(gateway.ask(&get("/honest")).text(), "hello", "{method} {target}");
        }
    }
}

#[test]
fn an_unrequested_101_opens_no_tunnel() {
    let origin = Origin::troubled(|exchange| {
        exchange.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")?;
        exchange.wait_for_hangup()
    });
    let gateway = gateway_before(&origin);
    let mut client = gateway.connect();
    client.send(get("/").bytes());
    origin.wait_until("the request", |record| record.requests.len() == 1);
    let before = origin.bytes();
    let _ = client.try_send("GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
    client.read_to_end();
    origin.wait_until("the end", |record| record.ended == 1);
    assert_eq!(origin.bytes(), before, "no byte passes through a tunnel");
    gateway.assert_serves(&origin);
}

#[test]
fn a_redirect_to_the_origin_stays_with_the_gateway() {
    let origin = Origin::scripted(|exchange| {
        let authority = exchange.request.values("host")[0].to_owned();
        let location = match exchange.request.target.as_str() {
            "/https" => format!("https://{authority}/x?y=z#f"),
            "/http" => format!("HTTP://{authority}/x?y=z#f"),
            "/scheme-less" => format!("//{authority}/x?y=z#f"),
            "/relative" => "/x?y=z#f".to_owned(),
            "/bare" => format!("http://{authority}"),
            "/two-slashes" => format!("http://{authority}//elsewhere.test"),
            "/backslash" => format!("http://{authority}/\\elsewhere.test"),
            "/tab" => format!("http://{authority}/\t/elsewhere.test"),
            _ => "https://elsewhere.test/x".to_owned(),
        };
        exchange.send(format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"))?;
        Ok(Then::KeepAlive)
    });
    let gateway = gateway_before(&origin);
    for (target, expected) in [
        ("/https", "/x?y=z#f"),
        ("/http", "/x?y=z#f"),
        ("/scheme-less", "/x?y=z#f"),
        ("/relative", "/x?y=z#f"),
        ("/bare", "/"),
        ("/two-slashes", "/.//elsewhere.test"),
        ("/backslash", "/./\\elsewhere.test"),
        ("/tab", "/./\t/elsewhere.test"),
        ("/elsewhere", "https://elsewhere.test/x"),
    ] {
        let response = gateway.ask(&get(target));
        assert_eq!((response.status, response.values("location")), (302, vec![expected]), "{target}");
    }
}

#[test]
fn an_origin_that_comes_back_is_used_again() {
    let origin = Origin::troubled(|_| Ok(Then::Reset));
    let gateway = gateway_before(&origin);
    for _ in 0..5 {
        assert_eq!(gateway.ask(&get("/")).status, 502);
        gateway.assert_serves(&origin);
    }
    // The first request uses a new connection, the second a pooled one.
    assert_eq!(origin.count("/"), 1 + 2 * 4);
}
