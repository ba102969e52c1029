//! Retries of requests that may have reached the origin.

use super::{at, counted, gateway, get, post, resetting, saying};
use crate::harness::{Message, Origin, Then, tokens};

const LABEL: (&str, &str) = ("origin", "api");

#[test]
fn an_idempotent_request_is_retried_after_a_broken_connection_if_configured() {
    for (retries, expected) in [("", 502), (", retries: { on: [error] }", 200)] {
        let (broken, live) = (resetting(), saying("live"));
        let gateway = gateway(&format!("{}{retries}", at(&[&broken, &live])));
        let response = gateway.ask(&Message::new("PUT", "/").body("body").token(&tokens::valid()));
        assert_eq!(response.status, expected, "{retries}");
        assert_eq!(broken.requests().len(), 1);
        assert_eq!(live.requests().len(), usize::from(expected == 200));
        if expected == 200 {
            assert_eq!(live.only_request().body, b"body");
            assert_eq!(counted(&gateway, "retries_total", &[LABEL, ("reason", "error")]), 1.0);
            let entry = gateway.wait_for_entry(|entry| entry["http.request.resend_count"] == 1);
            assert_eq!(entry["http.response.status_code"], 200);
        }
    }
}

#[test]
fn other_requests_are_never_sent_twice() {
    let (broken, live) = (resetting(), saying("live"));
    let gateway = gateway(&format!(
        "{}, retries: {{ attempts: 3, on: [error, timeout, http_502, http_503, http_504] }}",
        at(&[&broken, &live])
    ));
    for method in ["POST", "PATCH"] {
        let before = broken.requests().len() + live.requests().len();
        gateway.ask(&Message::new(method, "/").body("body").token(&tokens::valid()));
        gateway.ask(&Message::new(method, "/").body("body").token(&tokens::valid()));
        assert_eq!(broken.requests().len() + live.requests().len(), before + 2, "{method}");
    }
    // A body that is too large to keep cannot be sent again.
    let before = broken.requests().len();
    let mut statuses = Vec::new();
    for _ in 0..2 {
        statuses.push(
            gateway.ask(&Message::new("PUT", "/").body(vec![b'x'; 200_000]).token(&tokens::valid())).status,
        );
    }
    statuses.sort_unstable();
    assert_eq!((statuses, broken.requests().len()), (vec![200, 502], before + 1));
}

#[test]
fn a_request_is_not_retried_once_its_answer_has_begun() {
    let cut = || {
        Origin::scripted(|exchange| {
            exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")?;
            Ok(Then::Close)
        })
    };
    let (one, two) = (cut(), cut());
    let gateway = gateway(&format!("{}, retries: {{ attempts: 3, on: [error] }}", at(&[&one, &two])));
    let mut client = gateway.connect();
    client.send(get("/").bytes());
    assert!(client.try_response_to("GET").is_err());
    gateway.wait_for_count("approov_gateway_upstream_errors_total", &[LABEL], 1.0);
    assert_eq!(one.requests().len() + two.requests().len(), 1);
}

#[test]
fn a_request_is_retried_after_a_timeout_if_configured() {
    let silent = Origin::scripted(|exchange| exchange.wait_for_hangup());
    let live = saying("live");
    let gateway =
        gateway(&format!("{}, read_timeout: 3s, retries: {{ on: [timeout] }}", at(&[&silent, &live])));
    for _ in 0..2 {
        assert_eq!(gateway.ask(&get("/")).text(), "live");
    }
    assert_eq!(silent.requests().len(), 1);
    assert_eq!(counted(&gateway, "retries_total", &[LABEL, ("reason", "timeout")]), 1.0);
    assert_eq!(counted(&gateway, "errors_total", &[LABEL, ("kind", "read_timeout")]), 1.0);
}

#[test]
fn an_answer_with_a_retried_status_is_passed_on_only_if_there_is_no_better_one() {
    let unavailable = || {
        Origin::scripted(|exchange| {
            exchange.body()?;
            exchange.answer("503 Service Unavailable", "not now")
        })
    };
    let (busy, live) = (unavailable(), saying("live"));
    let gateway_before_both = gateway(&format!("{}, retries: {{ on: [http_503] }}", at(&[&busy, &live])));
    for _ in 0..4 {
        assert_eq!(gateway_before_both.ask(&get("/")).text(), "live");
    }
    assert_eq!(counted(&gateway_before_both, "retries_total", &[LABEL, ("reason", "status")]), 2.0);
    assert_eq!(counted(&gateway_before_both, "errors_total", &[LABEL]), 0.0);
    let statuses: Vec<_> = (0..2).map(|_| gateway_before_both.ask(&post("/")).status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 503).count(), 1, "a POST is passed on as it is");
    let (one, two) = (unavailable(), unavailable());
    let gateway = gateway(&format!("{}, retries: {{ on: [http_503] }}", at(&[&one, &two])));
    let response = gateway.ask(&get("/"));
    assert_eq!((response.status, response.text().as_str()), (503, "not now"));
    assert_eq!((one.requests().len(), two.requests().len()), (1, 1));
}

#[test]
fn retries_end_with_their_budget() {
    let broken = resetting();
    let gateway = gateway(&format!("{}, retries: {{ budget: 1% }}", at(&[&broken])));
    // The budget starts with ten retries and gains one for every hundred requests.
    for _ in 0..30 {
        assert_eq!(gateway.ask(&get("/")).status, 502);
    }
    assert_eq!(counted(&gateway, "retries_total", &[LABEL, ("reason", "error")]), 10.0);
    assert_eq!(counted(&gateway, "retries_refused_total", &[LABEL]), 20.0);
    assert_eq!(broken.requests().len(), 40);
}
