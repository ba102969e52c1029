//! Metrics from which service level objectives are made.

use crate::harness::{Message, Metrics, Origin, gateway_before, get};

const RESPONSES: &str = "approov_gateway_responses_total";

fn value(metrics: &Metrics, name: &str, labels: &[(&str, &str)]) -> f64 {
    metrics.sum(name, labels)
}

#[test]
fn everything_is_known_with_0_before_the_first_request() {
    let gateway = gateway_before(&Origin::new());
    let text = gateway.metrics().text;
    for series in [
        "approov_gateway_responses_total{route=\"/\",source=\"gateway\",status_class=\"5xx\"} 0\n",
        "approov_gateway_responses_total{route=\"/\",source=\"origin\",status_class=\"5xx\"} 0\n",
        "approov_gateway_requests_total{policy=\"protect\",reason=\"expired\",route=\"/\",verdict=\"rejected\"} 0\n",
        "approov_gateway_requests_total{policy=\"protect\",reason=\"ok\",route=\"/\",verdict=\"accepted\"} 0\n",
        "approov_gateway_upstream_errors_total{kind=\"connect\",origin=\"api\"} 0\n",
        "approov_gateway_upstream_duration_seconds_count{origin=\"api\",status_class=\"5xx\"} 0\n",
        "approov_gateway_overhead_seconds_count 0\n",
        "approov_gateway_tunnels 0\n",
        "approov_gateway_access_log_dropped_lines_total 0\n",
        "approov_gateway_config_info{hash=\"\"} 1\n",
    ] {
        assert!(text.contains(series), "{series}{text}");
    }
    for name in [
        "process_cpu_seconds_total",
        "process_open_fds",
        "process_max_fds",
        "process_virtual_memory_bytes",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
        "process_threads",
    ] {
        assert!(text.contains(&format!("\n{name} ")), "{name}");
    }
}

#[test]
fn responses_are_counted_by_class_and_sender() {
    let origin = Origin::scripted(|exchange| {
        exchange.body()?;
        match exchange.request.target.as_str() {
            "/missing" => exchange.answer("404 Not Found", ""),
            "/broken" => exchange.answer("500 Internal Server Error", ""),
            _ => exchange.answer("200 OK", ""),
        }
    });
    let gateway = gateway_before(&origin);
    for target in ["/", "/", "/missing", "/broken"] {
        gateway.ask(&get(target));
    }
    assert_eq!(gateway.ask(&Message::get("/")).status, 401);
    gateway.wait_for_requests(&[], 5.0);
    let metrics = gateway.metrics();
    let count = |class, source| value(&metrics, RESPONSES, &[("status_class", class), ("source", source)]);
    assert_eq!((count("2xx", "origin"), count("4xx", "origin"), count("5xx", "origin")), (2.0, 1.0, 1.0));
    assert_eq!((count("4xx", "gateway"), count("5xx", "gateway")), (1.0, 0.0));
    let asked = |class| {
        value(&metrics, "approov_gateway_upstream_duration_seconds_count", &[("status_class", class)])
    };
    assert_eq!((asked("2xx"), asked("4xx"), asked("5xx")), (2.0, 1.0, 1.0));
    // Of a refusal the whole time is the gateway's.
    assert_eq!(value(&metrics, "approov_gateway_overhead_seconds_count", &[]), 5.0);
}

#[test]
fn failure_of_the_origin_is_a_response_of_the_gateway() {
    let gateway = gateway_before(&Origin::refusing());
    assert_eq!(gateway.ask(&get("/")).status, 502);
    gateway.wait_for_count(RESPONSES, &[("status_class", "5xx"), ("source", "gateway")], 1.0);
    assert_eq!(value(&gateway.metrics(), RESPONSES, &[("source", "origin")]), 0.0);
}

#[test]
fn tunnels_are_counted_apart() {
    let origin = Origin::scripted(|exchange| {
        exchange.switch_protocols()?;
        exchange.echo()
    });
    let gateway = gateway_before(&origin);
    let mut client = gateway.connect();
    assert_eq!(client.ask(&get("/tunnel").websocket()).status, 101);
    client.send("x");
    assert_eq!(client.exactly(1), b"x");
    assert_eq!(value(&gateway.metrics(), "approov_gateway_tunnels", &[]), 1.0);
    drop(client);
    gateway.wait_for_count("approov_gateway_tunnel_duration_seconds_count", &[("route", "/")], 1.0);
    let metrics = gateway.metrics();
    assert_eq!(value(&metrics, "approov_gateway_tunnels", &[]), 0.0);
    assert_eq!(value(&metrics, "approov_gateway_request_duration_seconds_count", &[]), 0.0);
    assert_eq!(value(&metrics, RESPONSES, &[("status_class", "1xx"), ("source", "origin")]), 1.0);
}
