//! Origins that answer oddly: what has two readings is 502, and no client gets the answer to another.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::harness::tls::Authority;
use crate::harness::{
    Exchange, Gateway, Message, Origin, Setup, Then, eventually, gateway_before, latin1, tokens,
};

const EVIL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";

fn get(target: &str) -> Message {
    Message::get(target).token(&tokens::valid())
}

fn errors(gateway: &Gateway, kind: &str) -> f64 {
    gateway.metrics().sum("approov_gateway_upstream_errors_total", &[("kind", kind)])
}

/// An origin that sends these bytes as its answer, and keeps the connection.
fn answering(bytes: String) -> Origin {
    Origin::troubled(move |exchange| {
        exchange.body()?;
        exchange.send(&bytes)?;
        Ok(Then::KeepAlive)
    })
}

#[test]
fn ambiguous_answer_heads_are_502() {
    let ok = "HTTP/1.1 200 OK\r\n";
    let heads = [
        format!("{ok}Content-Length: 2, 2\r\n\r\nok"),
        format!("{ok}Content-Length: 2\r\nContent-Length: 2\r\n\r\nok"),
        format!("{ok}Content-Length: 02\r\n\r\nok"),
        format!("{ok}Content-Length: +2\r\n\r\nok"),
        format!("{ok}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{ok}Transfer-Encoding: gzip\r\n\r\nok"),
        format!("{ok}Transfer-Encoding: xchunked\r\n\r\nok"),
        format!("{ok}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        format!("{ok}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{ok}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        format!("{ok}X: y\r\n folded\r\nContent-Length: 2\r\n\r\nok"),
        format!("{ok}Content-Length : 2\r\n\r\nok"),
        format!("{ok}X : y\r\nContent-Length: 2\r\n\r\nok"),
        "HTTP/1.1 200 OK\nContent-Length: 2\n\nok".to_owned(),
        format!("{ok}Content-Length: 2\n\r\nok"),
        format!("{ok}Content-Length: 2\r\n\nok"),
        format!("{ok}X: a\rb\r\nContent-Length: 2\r\n\r\nok"),
        format!("{ok}X: a\0b\r\nContent-Length: 2\r\n\r\nok"),
        "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned(),
        "HTTP/1.1 200OK\r\nContent-Length: 2\r\n\r\nok".to_owned(),
    ];
    let mut failed = Vec::new();
    for head in heads {
        let origin = answering(head.clone());
        let gateway = gateway_before(&origin);
        let response = gateway.ask(&get("/"));
        if (response.status, response.text().as_str()) != (502, "{}") {
            failed.push(format!("{head:?}: {}", response.undated()));
        }
        gateway.wait_for_count("approov_gateway_upstream_errors_total", &[("kind", "invalid_response")], 1.0);
        gateway.assert_serves(&origin);
        assert_eq!(origin.requests().last().map(|request| request.connection), Some(1), "{head:?}");
    }
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn a_storm_of_interim_answers_is_cut_off() {
    let origin = answering("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1000) + EVIL);
    let gateway = gateway_before(&origin);
    let mut client = gateway.connect();
    client.send(get("/").bytes());
    let answers = latin1(&client.read_to_end());
    assert!(answers.matches("HTTP/1.1 103").count() < 50 && !answers.contains("evil"), "{answers}");
    assert!(answers.contains("HTTP/1.1 502"), "{answers}");
    gateway.wait_for_count("approov_gateway_upstream_errors_total", &[("kind", "invalid_response")], 1.0);
    gateway.assert_serves(&origin);
}

#[test]
fn odd_but_legal_answers_are_passed_on() {
    for (answer, body) in [
        ("HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello", "hello"),
        ("HTTP/1.1 200 \r\ncontent-LENGTH:\t5 \r\n\r\nhello", "hello"),
        (
            "HTTP/1.1 299 Odd\r\nTransfer-Encoding: CHUNKED\r\n\r\n0005;a=b\r\nhello\r\n000\r\nX: y\r\n\r\n",
            "hello",
        ),
        ("HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok"),
    ] {
        let origin = answering(answer.to_owned());
        let gateway = gateway_before(&origin);
        for _ in 0..2 {
            let response = gateway.ask(&get("/"));
            assert_eq!((response.status / 100, response.text().as_str()), (2, body), "{answer:?}");
        }
        assert_eq!(origin.connections(), 1, "{answer:?}");
    }
}

#[test]
fn an_answer_of_http_1_0_is_passed_on_as_one_of_http_1_1() {
    for body in ["Content-Length: 2\r\n\r\nok", "\r\nok"] {
        let origin = Origin::troubled(move |exchange| {
            exchange.send(format!("HTTP/1.0 200 OK\r\n{body}"))?;
            Ok(Then::Close)
        });
        let gateway = gateway_before(&origin);
        let mut client = gateway.connect();
        assert_eq!(client.ask(&get("/")).text(), "ok");
        assert_eq!(client.ask(&get("/honest")).text(), "hello", "the connection is kept");
        assert!(
            client.ask(&Message::new("HEAD", "/").token(&tokens::valid())).head.starts_with(b"HTTP/1.1 ")
        );
    }
}

#[test]
fn a_bad_head_behind_an_interim_answer_is_502() {
    let origin = answering("HTTP/1.1 100 Continue\r\n\r\n\r\nHTTP/1.1 404 Not Found\r\n\r\n".to_owned());
    let gateway = gateway_before(&origin);
    assert_eq!(gateway.ask(&get("/")).status, 502);
    gateway.assert_serves(&origin);
}

#[test]
fn a_malformed_chunked_answer_is_not_a_clean_end() {
    for chunks in [
        "5\r\nhello\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\nzz\r\n",
        "5\r\nhello\r\n0\r\njunk\r\n\r\n",
        "5\r\nhello\r\n5;a\nb\r\nhello\r\n0\r\n\r\n",
    ] {
        let origin = answering(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"));
        let gateway = gateway_before(&origin);
        let mut client = gateway.connect();
        client.send(get("/").bytes());
        let answer = client.try_response_to("GET");
        assert!(answer.as_ref().map_or(true, |answer| answer.status == 502), "{chunks:?}: {answer:?}");
        gateway.wait_for_count("approov_gateway_upstream_errors_total", &[("kind", "invalid_response")], 1.0);
        gateway.assert_serves(&origin);
    }
}

#[test]
fn an_answer_that_overtakes_its_request_ends_the_connection() {
    // The origin does not read the body and takes it for a request, whose answer would come late.
    let origin = Origin::troubled(|exchange| match exchange.request.target.clone() {
        target if target == "/smuggled" => exchange.wait_for_hangup(),
        target => exchange.answer("200 OK", &target),
    });
    let gateway = gateway_before(&origin);
    let body = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut client = gateway.connect();
    let head = Message::new("POST", "/early").token(&tokens::valid());
    client.send(head.field("Content-Length", &body.len().to_string()).bytes());
    assert_eq!(client.response().text(), "/early");
    client.send(body);
    eventually("the origin to take the body for a request", || {
        (origin.count("/smuggled") == 1).then_some(())
    });
    assert_eq!(gateway.ask(&get("/victim")).text(), "/victim");
    let requests = origin.requests();
    let connection =
        |target: &str| requests.iter().find(|request| request.target == target).unwrap().connection;
    assert_ne!(connection("/victim"), connection("/early"));
}

/// Answers each request with its target. After the answer to `/first…` it sends an unsolicited second
/// answer. `sent` counts the second answers.
fn sends_a_second_answer(sent: &Arc<AtomicUsize>) -> impl Fn(&mut Exchange<'_>) -> io::Result<Then> + use<> {
    let sent = Arc::clone(sent);
    move |exchange| {
        exchange.body()?;
        let target = exchange.request.target.clone();
        exchange.answer("200 OK", &target)?;
        if target.starts_with("/first") {
            // This sleep is the subject of the test: the second answer comes after the first was passed on.
            std::thread::sleep(std::time::Duration::from_millis(50));
            exchange.send(EVIL)?;
            sent.fetch_add(1, Ordering::SeqCst);
        }
        Ok(Then::KeepAlive)
    }
}

#[test]
fn a_late_second_answer_does_not_reach_the_next_client() {
    let sent = Arc::new(AtomicUsize::new(0));
    let plain = Origin::scripted(sends_a_second_answer(&sent));
    let gateway = gateway_before(&plain);
    for round in 0..20 {
        assert_eq!(gateway.ask(&get(&format!("/first/{round}"))).text(), format!("/first/{round}"));
        eventually("the second answer", || (sent.load(Ordering::SeqCst) > round).then_some(()));
        // The bytes are in the gateway's socket, whether it has looked or not.
        for method in ["GET", "POST"] {
            let target = format!("/next/{round}/{method}");
            let response = gateway.ask(&Message::new(method, &target).token(&tokens::valid()));
            assert_eq!((response.status, response.text()), (200, target));
        }
    }
    assert_eq!(errors(&gateway, "unsolicited"), 20.0, "{}", gateway.metrics().text);
}

#[test]
fn a_late_second_answer_over_tls_does_not_reach_the_next_client() {
    let sent = Arc::new(AtomicUsize::new(0));
    let authority = Authority::new();
    let certificate = authority.server_named("localhost");
    let origin = Origin::scripted_with_tls(certificate, sends_a_second_answer(&sent));
    let gateway = Setup::before(&origin).file("SSL_CERT_FILE", &authority.pem).start();
    for round in 0..5 {
        assert_eq!(gateway.ask(&get(&format!("/first/{round}"))).text(), format!("/first/{round}"));
        eventually("the second answer", || (sent.load(Ordering::SeqCst) > round).then_some(()));
        eventually("the end of the connection", || {
            (errors(&gateway, "unsolicited") > round as f64).then_some(())
        });
        assert_eq!(gateway.ask(&get("/next")).text(), "/next");
    }
}

#[test]
fn a_second_answer_right_after_the_first_is_counted_and_dropped() {
    let origin = answering(format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok{EVIL}"));
    let gateway = gateway_before(&origin);
    for round in 1..=5 {
        assert_eq!(gateway.ask(&get("/")).text(), "ok");
        assert_eq!(errors(&gateway, "unsolicited"), f64::from(round));
        gateway.assert_serves(&origin);
    }
}

#[test]
fn bytes_sent_before_an_origin_dies_reach_the_client_and_the_log() {
    for reset in [false, true] {
        let origin = Origin::troubled(move |exchange| {
            exchange.body()?;
            exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")?;
            Ok(if reset { Then::Reset } else { Then::Close })
        });
        let gateway = gateway_before(&origin);
        for round in 0..30 {
            let target = format!("/pay/{round}");
            let mut client = gateway.connect();
            if round % 2 == 0 {
                assert_eq!(client.ask(&get("/honest")).status, 200);
            }
            client.send(Message::post(&target, "1000").token(&tokens::valid()).bytes());
            let answer = latin1(&client.read_to_end());
            let entry = gateway.wait_for_entry(|entry| entry["url.path"] == target);
            let status = entry["http.response.status_code"].as_u64().unwrap();
            // A reset may overtake the head, and then there is nothing to pass on.
            assert!(status == 200 || reset && status == 502, "{entry}");
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer:?} {entry}");
            let body = answer.split_once("\r\n\r\n").unwrap().1;
            assert_eq!(entry["http.response.body.size"], body.len(), "{answer:?}");
        }
    }
}
