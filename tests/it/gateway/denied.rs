//! Requests that are refused whatever their token: what log and metrics say about them.

use crate::harness::{Message, Origin, Setup, config_before, get, post, tokens};

#[test]
fn a_refusal_is_never_counted_as_ok_and_has_no_reason_of_verification() {
    let origin = Origin::new();
    let rest = "routes:\n  - { path: /admin/, policy: deny, origin: api }\n  \
                - { path: /trial/, policy: observe, origin: api }\n  \
                - { path: /v1/, policy: protect, origin: api }\n\
                limits: { rate: [ { by: device, rate: 1/h } ], requests: { body_bytes: 1KiB } }\n";
    let gateway = Setup::bare().config(&config_before(&origin, rest)).start();
    assert_eq!(gateway.ask(&get("/v1/first")).status, 200);
    let cases: [(&str, Message, u16, &str); 6] = [
        ("/admin/x", get("/admin/x"), 401, "policy_deny"),
        ("/nowhere", get("/nowhere"), 404, "policy_deny"),
        ("/v1/malformed", get("/v1/malformed").host("a b"), 400, "policy_deny"),
        ("/v1/rate", get("/v1/rate"), 429, "limit"),
        ("/v1/body", post("/v1/body", [b'x'; 2000]), 413, "limit"),
        ("/trial/body", Message::post("/trial/body", [b'x'; 2000]).token(&tokens::expired()), 413, "limit"),
    ];
    for (path, message, status, reason) in &cases {
        assert_eq!(gateway.ask(message).status, *status, "{path}");
        let entry = gateway.wait_for_entry(|entry| entry["url.path"] == *path);
        assert_eq!(entry["approov.verdict"], "denied", "{entry}");
        assert_eq!(entry.get("approov.reason"), None, "{entry}");
        assert_eq!(entry.get("approov.limit").is_some(), *reason == "limit", "{entry}");
    }
    gateway.wait_for_requests(&[], 7.0);
    gateway.wait_for_requests(&[("verdict", "denied"), ("reason", "policy_deny")], 3.0);
    gateway.wait_for_requests(&[("verdict", "denied"), ("reason", "limit")], 3.0);
    gateway.wait_for_requests(&[("reason", "ok")], 1.0);
    assert_eq!(origin.targets(), ["/v1/first"]);
}
