//! WebSocket: the Python package `websockets` on both sides of the gateway.

use serde_json::json;

use super::{OriginProcess, run_for_json, script};
use crate::gateway::tls::serving::{Edge, NAME};
use crate::harness::{Gateway, python_with, tokens};

/// A gateway in front of this origin, with or without TLS.
fn start(edge: &Edge, origin: &OriginProcess, has_tls: bool) -> Gateway {
    let config =
        edge.config("", "").replace(&edge.origin.url(), &format!("http://127.0.0.1:{}", origin.port()));
    let (before, _) = config.split_once("listeners:").unwrap();
    match has_tls {
        true => edge.start(&config),
        false => edge.start(&format!("{before}listeners: [ {{ address: \"127.0.0.1:0\" }} ]\n")),
    }
}

#[test]
fn a_websocket_is_verified_at_its_handshake_and_passed_through() {
    let Some(python) = python_with("websockets") else { return };
    let edge = Edge::new();
    edge.folder.write("root.pem", &edge.authority.pem);
    let root = edge.folder.path("root.pem");
    for (has_tls, uri) in
        [(false, format!("ws://{NAME}/chat?room=1")), (true, format!("wss://{NAME}/chat?room=1"))]
    {
        let origin = OriginProcess::start(script(&python, include_str!("python/websocket_origin.py"), &[]));
        let gateway = start(&edge, &origin, has_tls);
        let port = gateway.address().port().to_string();
        let arguments = [&*uri, &*port, &*tokens::valid(), root.to_str().unwrap()];
        let told = run_for_json(&mut script(&python, include_str!("python/websocket_client.py"), &arguments));
        let expected = json!({
            "refused": [[401, "{}"], [401, "{}"]],
            "greeting": "welcome",
            "subprotocol": "chat",
            "extensions": ["permessage-deflate"],
            "echoed": 5,
            "fragments": "one two three",
            "pong": true,
            "closed": [4001, "bye bye"],
        });
        assert_eq!(told, expected);
        assert_eq!(origin.values("path"), ["/chat?room=1"], "one handshake reached the origin");
        let fields = origin.values("fields")[0].to_string();
        assert!(!fields.contains("approov-token") && fields.contains("\"x-forwarded-for\""), "{fields}");
        gateway.wait_for_requests(&[("verdict", "rejected")], 2.0);
        gateway.wait_for_requests(&[("verdict", "accepted")], 1.0);
    }
}
