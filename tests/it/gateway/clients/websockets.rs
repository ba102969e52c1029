//! Python's `websockets` on both sides of the gateway.

use serde_json::json;

use super::{OriginProcess, python_with, script, told_by};
use crate::gateway::tls::serving::{Edge, NAME};
use crate::harness::{Gateway, tokens};

/// A gateway that listens with TLS or without before the origin at this port.
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
fn a_websocket_is_verified_at_its_handshake_and_then_passed_through() {
    let Some(python) = python_with("websockets") else { return };
    let edge = Edge::new();
    edge.folder.write("root.pem", &edge.authority.pem);
    let root = edge.folder.path("root.pem");
    let mut cases = 0;
    for (has_tls, uri) in
        [(false, format!("ws://{NAME}/chat?room=1")), (true, format!("wss://{NAME}/chat?room=1"))]
    {
        let origin = OriginProcess::start(script(&python, include_str!("python/websocket_origin.py"), &[]));
        let gateway = start(&edge, &origin, has_tls);
        let port = gateway.address().port().to_string();
        let arguments = [&*uri, &*port, &*tokens::valid(), root.to_str().unwrap()];
        let told = told_by(&mut script(&python, include_str!("python/websocket_client.py"), &arguments));
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
        cases += 1;
    }
    assert_eq!(cases, 2);
}
