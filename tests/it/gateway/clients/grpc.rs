//! gRPC: the Python package of Google on both sides of the gateway.

use serde_json::{Value, json};

use super::{OriginProcess, run_for_json, script};
use crate::gateway::tls::serving::{Edge, NAME};
use crate::harness::{Gateway, eventually, python_with, tokens};

/// A gateway that speaks HTTP/2 on both sides, to clients with or without TLS.
fn start(edge: &Edge, port: u64, has_tls: bool) -> Gateway {
    let origin = format!("http://127.0.0.1:{port}\", http: h2c, resolve_interval: \"1h");
    let config = edge.config("", "").replace(&edge.origin.url(), &origin);
    let listeners = config.find("listeners:").unwrap();
    let routes = "routes: [ { path: /test.Echo/ } ]\n";
    match has_tls {
        true => edge.start(&(config + routes)),
        false => {
            let plain = "listeners: [ { address: \"127.0.0.1:0\", h2c: true } ]\n";
            edge.start(&format!("{}{plain}{routes}", &config[..listeners]))
        }
    }
}

fn client(python: &str, edge: &Edge, gateway: &Gateway, has_tls: bool, how_often: &str) -> Value {
    edge.folder.write("root.pem", &edge.authority.pem);
    let root = edge.folder.path("root.pem");
    let port = gateway.address().port().to_string();
    let root = if has_tls { root.to_str().unwrap() } else { "" };
    let arguments = [&*port, &*tokens::valid(), root, NAME, how_often];
    run_for_json(&mut script(python, include_str!("python/grpc_client.py"), &arguments))
}

#[test]
fn calls_of_every_kind_pass_with_their_trailers_and_refused_ones_are_unauthenticated() {
    let Some(python) = python_with("grpc") else { return };
    let edge = Edge::new();
    for has_tls in [false, true] {
        let mut origin = OriginProcess::start(script(&python, include_str!("python/grpc_origin.py"), &[]));
        let gateway = start(&edge, origin.port(), has_tls);
        let told = client(&python, &edge, &gateway, has_tls, "often");
        let ended = json!({ "x-ended": "unary", "x-bytes-bin": "b'\\x00\\xff'" });
        let unary = |answer| json!({ "answer": answer, "began": told["unary"]["began"], "ended": ended });
        assert_eq!(told["unary"], unary("hello"));
        assert_eq!(told["unary"]["began"]["x-began"], "unary");
        assert_eq!((&told["empty"]["answer"], &told["large"]), (&json!(""), &json!(3_000_000)));
        let failure = json!(["FAILED_PRECONDITION", "not before ten o'clock, s\u{ed}?"]);
        // The head of a call that failed at once is also its end (gRPC over HTTP/2, Trailers-Only).
        let ended = json!({ "x-ended": "fail", "x-request-id": told["failed"]["ended"]["x-request-id"] });
        assert_eq!(told["failed"], json!({ "failure": failure, "ended": ended }));
        assert_eq!(told["unknown"][0], "UNIMPLEMENTED", "{told}");
        assert_eq!(told["unrouted"][0], "UNIMPLEMENTED", "{told}");
        for refused in ["without_token", "forged", "without_token_large"] {
            assert_eq!(told[refused][0], "UNAUTHENTICATED", "{refused}: {told}");
        }
        for refused in ["stream_without_token", "chat_without_token"] {
            assert_eq!(told[refused]["failure"][0], "UNAUTHENTICATED", "{refused}: {told}");
            assert_eq!(told[refused]["answers"], json!([]), "{refused}");
        }
        let count = json!({ "first": "1", "answers": ["2", "3", "4", "5"], "ended": { "x-ended": "count" } });
        assert_eq!(told["count"], count);
        assert_eq!(told["chat"], json!({ "answers": ["A", "B", "C"], "ended": { "x-ended": "chat" } }));
        assert_eq!(told["hang"], "begun");
        eventually("the origin to see that the client has cancelled", || {
            (origin.values("cancelled") == [true]).then_some(())
        });
        let entry = gateway.wait_for_entry(|entry| entry["url.path"] == "/test.Echo/Hang");
        assert_eq!(entry["error.type"], "client_closed");
        let methods: Vec<_> = origin.values("method");
        let served = ["Unary", "Unary", "Unary", "Fail", "Nothing", "Count", "Release", "Chat", "Hang"];
        assert_eq!(
            methods,
            served.map(|method| format!("/test.Echo/{method}")),
            "no refused call reached the origin"
        );
        assert!(origin.values("fields").iter().all(|fields| !fields.to_string().contains("approov")));
        gateway.wait_for_requests(&[("verdict", "rejected"), ("reason", "missing_token")], 4.0);
        gateway.wait_for_requests(&[("verdict", "rejected"), ("reason", "bad_signature")], 1.0);
        origin.stop();
        let told = client(&python, &edge, &gateway, has_tls, "once");
        assert_eq!(told["failure"][0], "UNAVAILABLE", "the origin is stopped: {told}");
    }
}
