//! Timeouts of origins, and silence that is not a fault.

use std::thread;
use std::time::Duration;

use super::{at, config, counted, gateway, get};
use crate::harness::tls::Authority;
use crate::harness::{Exchange, Message, Origin, Setup, Then, eventually, tokens};

const LABEL: (&str, &str) = ("origin", "api");

/// Sends half of an answer at once and the rest later. `/silent` gets no answer, a tunnel an echo.
fn halting(exchange: &mut Exchange<'_>) -> std::io::Result<Then> {
    match exchange.request.target.as_str() {
        "/silent" => exchange.wait_for_hangup(),
        "/tunnel" => {
            exchange.switch_protocols()?;
            exchange.echo()
        }
        _ => {
            exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")?;
            // This sleep is the subject of the test: a slow origin.
            thread::sleep(Duration::from_millis(2500));
            exchange.send("half")?;
            Ok(Then::KeepAlive)
        }
    }
}

#[test]
fn the_first_byte_has_its_own_timeout() {
    let authority = Authority::new();
    let origins =
        [Origin::scripted(halting), Origin::scripted_with_tls(authority.server_named("localhost"), halting)];
    for origin in &origins {
        let config = config(&format!("domain: \"{}\", first_byte_timeout: 2s", origin.url()), "");
        let gateway = Setup::bare().config(&config).file("SSL_CERT_FILE", &authority.pem).start();
        // The connection is reused. Time spent on the previous answer does not count.
        for _ in 0..2 {
            assert_eq!(gateway.ask(&get("/")).text(), "halfhalf");
        }
        assert_eq!(origin.connections(), 1);
        let response = gateway.ask(&get("/silent"));
        assert_eq!((response.status, response.text().as_str()), (504, "{}"));
        assert_eq!(counted(&gateway, "errors_total", &[LABEL, ("kind", "read_timeout")]), 1.0);
        let entry = gateway.wait_for_entry(|entry| entry["http.response.status_code"] == 504);
        assert_eq!(entry["error.type"], "read_timeout");
    }
}

#[test]
fn an_address_that_never_answers_is_ejected_unless_it_is_the_last() {
    let [silent, live] = [Origin::scripted(|exchange| exchange.wait_for_hangup()), Origin::new()];
    let rest = "first_byte_timeout: 2s, ejection: { base_time: 10m, max_time: 10m }";
    let gateway = gateway(&format!("{}, {rest}", at(&[&silent, &live])));
    let statuses: Vec<_> = (0..16).map(|_| gateway.ask(&get("/")).status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 504).count(), 3, "{statuses:?}");
    assert_eq!(statuses[6..], [200; 10]);
    assert_eq!(counted(&gateway, "ejections_total", &[LABEL]), 1.0);
    assert_eq!(counted(&gateway, "healthy_addresses", &[LABEL]), 1.0);
    let alone = Origin::scripted(|exchange| exchange.wait_for_hangup());
    let gateway = self::gateway(&format!("{}, {rest}", at(&[&alone])));
    let mut clients: Vec<_> = (0..5).map(|_| gateway.connect()).collect();
    clients.iter_mut().for_each(|client| client.send(get("/").bytes()));
    assert!(clients.iter_mut().all(|client| client.response().status == 504));
    assert_eq!(counted(&gateway, "healthy_addresses", &[LABEL]), 1.0);
}

#[test]
fn a_slow_request_body_does_not_eject_the_address() {
    let reads = |exchange: &mut Exchange<'_>| {
        exchange.body()?;
        exchange.answer("200 OK", "whole")
    };
    let origins = [Origin::troubled(reads), Origin::troubled(reads)];
    let gateway = gateway(&format!("{}, first_byte_timeout: 300ms", at(&[&origins[0], &origins[1]])));
    for _ in 0..7 {
        let mut client = gateway.connect();
        let head = Message::new("POST", "/").token(&tokens::valid()).field("Content-Length", "2");
        client.send([&head.bytes()[..], b"1"].concat());
        assert_eq!(client.response().status, 504);
    }
    assert_eq!(counted(&gateway, "errors_total", &[LABEL, ("kind", "read_timeout")]), 7.0);
    assert_eq!(counted(&gateway, "ejections_total", &[LABEL]), 0.0);
    assert_eq!(counted(&gateway, "healthy_addresses", &[LABEL]), 2.0);
}

#[test]
fn a_tunnel_may_be_silent_for_longer_than_the_read_timeout() {
    let origin = Origin::scripted(halting);
    let gateway = gateway(&format!("{}, first_byte_timeout: 2s, total_timeout: 2s", at(&[&origin])));
    let mut client = gateway.connect();
    assert_eq!(client.ask(&get("/tunnel").websocket()).status, 101);
    client.send("before");
    assert_eq!(client.exactly(6), b"before");
    // This sleep is the subject of the test: a tunnel without a word.
    thread::sleep(Duration::from_millis(2500));
    client.send("after");
    assert_eq!(client.exactly(5), b"after");
}

/// Sends `beginning`, and then `again` in a loop.
fn dripping(beginning: &'static str, again: &'static str) -> Origin {
    Origin::troubled(move |exchange| {
        exchange.send(beginning)?;
        loop {
            exchange.send(again)?;
            thread::sleep(Duration::from_millis(20));
        }
    })
}

#[test]
fn an_endless_body_ends_at_the_total_timeout() {
    let origin = dripping("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n");
    let gateway = gateway(&format!("{}, total_timeout: 3s", at(&[&origin])));
    let mut client = gateway.connect();
    client.send(get("/").bytes());
    assert!(client.try_response_to("GET").is_err(), "not a clean end");
    gateway.wait_for_count("approov_gateway_upstream_errors_total", &[LABEL, ("kind", "read_timeout")], 1.0);
    gateway.assert_serves(&origin);
}

/// Asserts that a request to this origin ends at its total time of 6 s, over both ways, and that no other limit is
/// blamed. The read timeout is shorter.
fn assert_out_of_time(origin: &Origin) {
    for way in ["direct", "pingora"] {
        let config = config(&format!("{}, read_timeout: 5s, total_timeout: 6s", at(&[origin])), "");
        let gateway = Setup::bare().config(&config).env("GATEWAY_HTTP1_EXCHANGE", way).start();
        let response = gateway.ask(&get("/"));
        assert_eq!((response.status, response.text().as_str()), (504, "{}"));
        assert_eq!(counted(&gateway, "errors_total", &[LABEL, ("kind", "read_timeout")]), 1.0);
        let entry = gateway.wait_for_entry(|entry| entry["http.response.status_code"] == 504);
        let message = entry["error.message"].as_str().expect("a message");
        assert!(message.contains("after the total time of 6s"), "{way}: {message}");
        assert!(message.ends_with("raise total_timeout"), "{way}: {message}");
        gateway.assert_serves(origin);
    }
}

#[test]
fn an_endless_head_ends_at_the_total_timeout() {
    assert_out_of_time(&dripping("HTTP/1.1 200 OK\r\nX-Long: ", "x"));
}

#[test]
fn silence_that_the_total_timeout_ends_is_not_blamed_on_the_read_timeout() {
    assert_out_of_time(&Origin::troubled(|exchange| {
        exchange.send("HTTP/1.1 200 OK\r\n")?;
        // Of the total time, less than the read timeout is left.
        thread::sleep(Duration::from_millis(1500));
        exchange.send("X-Later: y\r\n")?;
        exchange.wait_for_hangup()
    }));
}

#[test]
fn the_total_timeout_covers_all_attempts() {
    let silent = || Origin::scripted(|exchange| exchange.wait_for_hangup());
    let (one, two) = (silent(), silent());
    let rules = "read_timeout: 60s, total_timeout: 700ms, retries: { attempts: 3, on: [timeout] }";
    let gateway = gateway(&format!("{}, {rules}", at(&[&one, &two])));
    assert_eq!(gateway.ask(&get("/")).status, 504);
    eventually("the request", || (one.requests().len() + two.requests().len() == 1).then_some(()));
}
