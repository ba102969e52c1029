//! OpenTelemetry: the receiver `oteltap`, with the project's own definitions of the messages.

use serde_json::Value;

use super::{OriginProcess, script};
use crate::harness::{Origin, Setup, eventually, get, python_with};

#[test]
fn a_receiver_of_another_project_reads_the_spans() {
    let Some(python) = python_with("oteltap") else { return };
    let receiver = OriginProcess::start(script(&python, include_str!("python/otlp_receiver.py"), &[]));
    let origin = Origin::new();
    let gateway = Setup::before(&origin)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://127.0.0.1:{}", receiver.port()))
        .env("OTEL_BSP_SCHEDULE_DELAY", "20")
        .start();
    let answer = gateway.ask(&get("/v1/x"));
    assert_eq!(answer.status, 200);
    let span = eventually("the span", || receiver.values("span").pop());
    assert_eq!((&span["name"], &span["kind"]), (&"GET /".into(), &"SPAN_KIND_SERVER".into()), "{span}");
    let attribute = |key: &str| -> Value {
        let attributes = span["attributes"].as_array().expect("a list");
        let found = attributes.iter().find(|attribute| attribute["key"] == key);
        found.unwrap_or_else(|| panic!("{key}: {span}"))["value"].clone()
    };
    assert_eq!(attribute("url.path")["stringValue"], "/v1/x");
    assert_eq!(attribute("http.response.status_code")["intValue"], "200");
    assert_eq!(attribute("approov.verdict")["stringValue"], "accepted");
    assert_eq!(attribute("request.id")["stringValue"], answer.values("x-request-id")[0]);
    gateway.wait_for_count("approov_gateway_spans_total", &[("result", "exported")], 2.0);
}
