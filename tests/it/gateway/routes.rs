//! Routes: what each policy does, and requests that no route matches.

use crate::harness::{Gateway, Message, Origin, Setup, config_before, tokens};

const ROUTES: &str = "routes:
  - { name: health, path: /health, methods: [GET, HEAD], policy: open, origin: api }
  - { name: admin, path: /admin/, policy: deny, origin: api }
  - { name: partner, path: /partner/, hosts: [partner.test, \"*.partner.test\"], policy: open, origin: api }
  - { name: bound, path: /bound/, policy: protect, strategy: token-binding, origin: api }
  - { name: trial, path: /trial/, policy: observe, origin: api }
  - { name: files, path: /files, match: prefix, policy: open, origin: api }
  - { name: exact, path: /exact/, match: exact, policy: open, origin: api }
  - { name: api, path: /v1/, policy: protect, origin: api }
";

fn routed(origin: &Origin) -> Gateway {
    Setup::bare().config(&config_before(origin, ROUTES)).start()
}

fn assert_serves(gateway: &Gateway, origin: &Origin) {
    let before = origin.count("/v1/honest");
    assert_eq!(gateway.ask(&Message::get("/v1/honest").token(&tokens::valid())).status, 200);
    assert_eq!(origin.count("/v1/honest"), before + 1);
}

#[test]
fn an_open_route_forwards_without_a_valid_token() {
    let origin = Origin::new();
    let gateway = routed(&origin);
    assert_eq!(gateway.ask(&Message::get("/health")).text(), "hello");
    assert_eq!(gateway.ask(&Message::get("/health").token(&tokens::wrongly_signed())).status, 200);
    assert_eq!(gateway.ask(&Message::new("HEAD", "/health?deep")).status, 200);
    assert!(!origin.requests()[1].has("approov-token"));
    gateway.wait_for_requests(&[("route", "health"), ("policy", "open"), ("verdict", "open")], 3.0);
    assert_eq!(origin.targets(), ["/health", "/health", "/health?deep"]);
}

#[test]
fn a_denied_route_refuses_even_a_valid_token() {
    let origin = Origin::new();
    let gateway = routed(&origin);
    for message in [Message::get("/admin/"), Message::get("/admin/x").token(&tokens::valid())] {
        let response = gateway.ask(&message);
        assert_eq!((response.status, response.text().as_str()), (401, "{}"));
    }
    gateway.wait_for_requests(&[("route", "admin"), ("policy", "deny"), ("verdict", "denied")], 2.0);
    assert_serves(&gateway, &origin);
    assert_eq!(origin.targets(), ["/v1/honest"]);
}

#[test]
fn a_protected_route_requires_a_token() {
    let origin = Origin::new();
    let gateway = routed(&origin);
    assert_eq!(gateway.ask(&Message::get("/v1/x")).status, 401);
    assert_serves(&gateway, &origin);
    gateway.wait_for_requests(&[("route", "api"), ("verdict", "rejected"), ("reason", "missing_token")], 1.0);
    gateway.wait_for_requests(&[("route", "api"), ("verdict", "accepted"), ("reason", "ok")], 1.0);
    assert_eq!(origin.targets(), ["/v1/honest"]);
}

#[test]
fn a_route_has_its_own_strategy() {
    let origin = Origin::new();
    let gateway = routed(&origin);
    let bound = Message::get("/bound/x").token(&tokens::bound_to("Bearer abc"));
    assert_eq!(gateway.ask(&Message::get("/bound/x").token(&tokens::valid())).status, 401);
    assert_eq!(gateway.ask(&bound.clone().field("Authorization", "Bearer abd")).status, 401);
    assert_eq!(gateway.ask(&bound.field("Authorization", "Bearer abc")).status, 200);
    assert_serves(&gateway, &origin);
    assert_eq!(origin.targets(), ["/bound/x", "/v1/honest"]);
}

#[test]
fn an_observed_route_forwards_everything_and_counts_the_verdicts() {
    let origin = Origin::new();
    let gateway = routed(&origin);
    let cases = [
        ("ok", Message::get("/trial/x").token(&tokens::valid())),
        ("missing_token", Message::get("/trial/x")),
        ("expired", Message::get("/trial/x").token(&tokens::expired())),
        ("bad_signature", Message::get("/trial/x").token(&tokens::wrongly_signed())),
    ];
    for (reason, message) in &cases {
        assert_eq!(gateway.ask(message).text(), "hello", "{reason}");
        let labels = [("route", "trial"), ("policy", "observe"), ("verdict", "observed"), ("reason", reason)];
        gateway.wait_for_requests(&labels, 1.0);
    }
    assert_eq!(origin.targets(), ["/trial/x"; 4]);
    assert!(origin.requests().iter().all(|request| !request.has("approov-token")));
}

#[test]
fn a_request_without_a_route_is_never_forwarded() {
    let origin = Origin::new();
    let gateway = routed(&origin);
    let cases = [
        Message::get("/"),
        Message::get("/v1"),
        Message::get("/V1/x"),
        Message::get("/health/"),
        Message::get("/healthz"),
        Message::new("POST", "/health"),
        Message::new("get", "/health"),
        Message::get("/partner/x"),
        Message::get("/partner/x").host("partner.test.evil.test"),
        Message::get("/exact/x"),
    ];
    for message in &cases {
        for message in [message.clone(), message.clone().token(&tokens::valid())] {
            let response = gateway.ask(&message);
            assert_eq!((response.status, response.text().as_str()), (404, "{}"), "{message:?}");
        }
    }
    gateway.wait_for_requests(&[("route", "none"), ("verdict", "denied")], 20.0);
    assert_serves(&gateway, &origin);
    assert_eq!(origin.targets(), ["/v1/honest"]);
}

#[test]
fn methods_hosts_and_path_patterns_select_the_route() {
    let origin = Origin::new();
    let gateway = routed(&origin);
    let cases = [
        Message::get("/partner/x").host("partner.test"),
        Message::get("/partner/x").host("PARTNER.test:8080"),
        Message::get("/partner/x").host("a.partner.test"),
        Message::get("/files"),
        Message::get("/files/x"),
        Message::get("/files.zip"),
        Message::get("/exact/"),
        Message::get("/exact/?x"),
    ];
    for message in &cases {
        assert_eq!(gateway.ask(message).status, 200, "{message:?}");
    }
    assert_eq!(origin.requests().len(), cases.len());
}

#[test]
fn each_route_forwards_to_its_origin() {
    let (first, second) = (Origin::new(), Origin::new());
    let routes = "routes:\n  - { path: /second/, policy: protect, origin: second }\n  \
                  - { path: /, policy: protect, origin: api }\n";
    let config = config_before(&first, routes);
    let config =
        config.replace("\nroutes", &format!("\n  second: {{ domain: \"{}\" }}\nroutes", second.url()));
    let gateway = Setup::bare().config(&config).start();
    for path in ["/second/x", "/first/x"] {
        assert_eq!(gateway.ask(&Message::get(path).token(&tokens::valid())).status, 200, "{path}");
    }
    assert_eq!((first.targets(), second.targets()), (vec!["/first/x".into()], vec!["/second/x".into()]));
    assert_eq!(second.only_request().values("host"), [second.authority()]);
}
