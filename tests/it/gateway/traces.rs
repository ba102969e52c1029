//! Trace context: continued from trusted proxies, begun for everybody else.

use crate::harness::{Gateway, Message, Origin, Setup, config_before, get};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A gateway that trusts 127.0.0.1 as a proxy, with these variables of OpenTelemetry.
fn traced(origin: &Origin, variables: &[(&str, &str)]) -> Gateway {
    let proxies = "trusted_proxies: { ranges: [127.0.0.1] }";
    let listeners = format!("listeners: [ {{ address: \"127.0.0.1:0\", {proxies} }} ]\n");
    let setup = Setup::bare().without("GATEWAY_LISTEN").config(&config_before(origin, &listeners));
    variables.iter().fold(setup, |setup, (name, value)| setup.env(name, value)).start()
}

/// What the origin gets of a request from 127.0.0.`host`: `traceparent` in its parts, and `tracestate`.
fn sent(gateway: &Gateway, origin: &Origin, host: u8, message: &Message) -> (Vec<String>, Vec<String>) {
    let before = origin.requests().len();
    assert_eq!(gateway.connect_from(host).ask(message).status, 200);
    let request = origin.requests().swap_remove(before);
    let owned = |values: Vec<&str>| values.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let parents = owned(request.values("traceparent"));
    assert!(parents.len() <= 1, "{parents:?}");
    let parts = parents.first().map(|parent| parent.split('-').map(str::to_owned).collect());
    (parts.unwrap_or_default(), owned(request.values("tracestate")))
}

fn with_parent(path: &str, parent: &str) -> Message {
    get(path).field("traceparent", parent).field("tracestate", "vendor=1").field("tracestate", "other=2")
}

#[test]
fn a_trusted_parent_is_continued() {
    let origin = Origin::new();
    let gateway = traced(&origin, &[("OTEL_PROPAGATORS", "tracecontext,baggage")]);
    for (flags, path) in [("01", "/sampled"), ("00", "/silent")] {
        let parent = PARENT.replace("-01", &format!("-{flags}"));
        let (parts, state) = sent(&gateway, &origin, 1, &with_parent(path, &parent));
        assert_eq!((&*parts[1], &*parts[3]), (TRACE, flags));
        assert_ne!(parts[2], "00f067aa0ba902b7");
        assert_eq!(state, ["vendor=1,other=2"]);
        let entry = gateway.wait_for_entry(|entry| entry["url.path"] == path);
        assert_eq!(
            (&entry["trace_id"], &entry["span_id"]),
            (&parts[1].clone().into(), &parts[2].clone().into())
        );
    }
}

#[test]
fn a_client_or_an_invalid_parent_begins_a_new_trace_that_the_gateway_alone_samples() {
    let origin = Origin::new();
    for (sampler, flags) in [("parentbased_always_off", "00"), ("parentbased_always_on", "01")] {
        let variables = [("OTEL_PROPAGATORS", "tracecontext"), ("OTEL_TRACES_SAMPLER", sampler)];
        let gateway = traced(&origin, &variables);
        let zeros = PARENT.replace(TRACE, &"0".repeat(32));
        let upper = PARENT.to_ascii_uppercase();
        let cases = [
            (2, with_parent("/client", PARENT)),
            (2, with_parent("/client", &PARENT.replace("-01", "-00"))),
            (1, with_parent("/zeros", &zeros)),
            (1, with_parent("/upper", &upper)),
            (1, with_parent("/twice", PARENT).field("traceparent", PARENT)),
            (1, get("/none").field("tracestate", "a=1")),
        ];
        let mut seen = std::collections::HashSet::new();
        for (host, message) in cases {
            let (parts, state) = sent(&gateway, &origin, host, &message);
            assert_eq!(parts.len(), 4, "{message:?}");
            assert!(parts[1] != TRACE && seen.insert(parts[1].clone()), "{parts:?}");
            assert_eq!((&*parts[0], &*parts[3]), ("00", flags), "{message:?}");
            assert!(state.is_empty(), "{message:?}: {state:?}");
        }
    }
}

#[test]
fn a_trace_that_begins_here_has_the_id_of_the_request() {
    let origin = Origin::new();
    let gateway = traced(&origin, &[("OTEL_PROPAGATORS", "tracecontext")]);
    let (parts, _) = sent(&gateway, &origin, 2, &get("/"));
    assert_eq!(origin.only_request().values("x-request-id"), [&*parts[1]]);
}

#[test]
fn without_tracing_a_proxys_context_passes_unchanged_and_a_clients_does_not() {
    let origin = Origin::new();
    let gateway = traced(&origin, &[]);
    let (parts, state) = sent(&gateway, &origin, 1, &with_parent("/proxy", PARENT));
    assert_eq!((parts.join("-"), state), (PARENT.to_owned(), vec!["vendor=1,other=2".to_owned()]));
    let entry = gateway.wait_for_entry(|entry| entry["url.path"] == "/proxy");
    assert_eq!((&entry["trace_id"], &entry["span_id"]), (&TRACE.into(), &"00f067aa0ba902b7".into()));
    let (parts, state) = sent(&gateway, &origin, 2, &with_parent("/client", PARENT));
    assert!(parts.is_empty() && state.is_empty());
}
