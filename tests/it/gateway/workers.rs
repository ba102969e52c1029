//! Compatibility with the existing Cloudflare workers: one test for each of their faults, which the
//! gateway does not have, and tests that a worker's environment and answers carry over.

use serde_json::json;

use crate::harness::tokens::{self, in_seconds};
use crate::harness::{Gateway, Message, Origin, Setup, config_before, gateway_before};

fn status(gateway: &Gateway, message: &Message) -> u16 {
    gateway.ask(message).status
}

#[test]
fn fault_1_the_token_is_removed_before_the_origin() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    for name in ["Approov-Token", "approov-token", "APPROOV-TOKEN"] {
        let token = tokens::valid();
        let message = Message::get("/").field(name, &token).field("Authorization", "Bearer abc");
        assert_eq!(status(&gateway, &message), 200);
        let request = origin.requests().pop().unwrap();
        assert!(!String::from_utf8_lossy(&request.head).contains(&token), "{request:?}");
        assert!(!request.has("approov-token"));
        assert_eq!(request.values("authorization"), ["Bearer abc"]);
    }
    assert_eq!(origin.requests().len(), 3);
}

#[test]
fn the_token_is_forwarded_if_configured() {
    let origin = Origin::new();
    let config = config_before(&origin, "").replace("approov:\n", "approov:\n  forward_token: true\n");
    let gateway = Setup::bare().config(&config).start();
    let token = tokens::valid();
    assert_eq!(status(&gateway, &Message::get("/").token(&token)), 200);
    assert_eq!(origin.only_request().values("approov-token"), [token]);
}

#[test]
fn fault_2_a_token_without_a_usable_expiry_does_not_pass() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let cases = [
        json!({}),
        json!({ "exp": 0 }),
        json!({ "exp": "" }),
        json!({ "exp": null }),
        json!({ "exp": false }),
        json!({ "exp": -1 }),
        json!({ "exp": "4708683205" }),
        json!({ "exp": [4_708_683_205_u64] }),
        json!({ "Exp": 4_708_683_205_u64 }),
    ];
    for claims in cases {
        let message = Message::get("/").token(&tokens::with_claims(claims.clone()));
        assert_eq!(status(&gateway, &message), 401, "{claims}");
    }
    let fractional = tokens::with_claims(json!({ "exp": 4_708_683_205.891_912 }));
    assert_eq!(status(&gateway, &Message::get("/honest").token(&fractional)), 200);
    assert_eq!(origin.targets(), ["/honest"]);
}

#[test]
fn fault_3_no_value_of_the_token_header_causes_a_server_error() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let valid = tokens::valid();
    let cases = [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "...".to_owned(),
        "not a token".to_owned(),
        "\u{e9}".to_owned(),
        "NO_NETWORK".to_owned(),
        "MITM_DETECTED".to_owned(),
        format!("{valid}, {valid}"),
        format!("{valid}."),
        format!("{valid}="),
        format!("Bearer {valid}"),
        valid.replace('.', ".."),
    ];
    for value in &cases {
        let response = gateway.ask(&Message::get("/").token(value));
        assert_eq!((response.status, response.text().as_str()), (401, "{}"), "{value:?}");
    }
    let twice = Message::get("/").token(&valid).field("approov-token", &valid);
    assert_eq!(status(&gateway, &twice), 401);
    gateway.assert_serves(&origin);
    assert_eq!(origin.targets(), ["/honest"]);
}

#[test]
fn fault_4_secrets_with_any_bytes_in_any_base64_form_work() {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
    let mut secret: Vec<u8> = (0..=255).rev().collect();
    secret.extend(b"\0\xff\xfe\n");
    let padded = STANDARD.encode(&secret);
    let cases = [
        padded.clone(),
        STANDARD_NO_PAD.encode(&secret),
        URL_SAFE.encode(&secret),
        URL_SAFE_NO_PAD.encode(&secret),
        format!(" {padded}\n"),
    ];
    assert!(padded.contains('+') && padded.contains('/'));
    let origin = Origin::new();
    let honest = tokens::signed_with(&secret, &json!({ "exp": in_seconds(60) }));
    let cut = tokens::signed_with(&secret[..secret.len() - 1], &json!({ "exp": in_seconds(60) }));
    for encoded in &cases {
        let gateway = Setup::before(&origin).env("APPROOV_SECRET_BASE64", encoded).start();
        assert_eq!(status(&gateway, &Message::get("/honest").token(&honest)), 200, "{encoded:?}");
        assert_eq!(status(&gateway, &Message::get("/").token(&cut)), 401, "{encoded:?}");
    }
    let setup = Setup::before(&origin).without("APPROOV_SECRET_BASE64");
    let gateway = setup.file("APPROOV_SECRET_BASE64_FILE", &format!("{padded}\n")).start();
    assert_eq!(status(&gateway, &Message::get("/honest").token(&honest)), 200);
    assert_eq!(origin.targets(), ["/honest"; 6]);
}

#[test]
fn fault_5_both_names_of_the_binding_strategy_enable_it() {
    let origin = Origin::new();
    let bound = tokens::bound_to("Bearer abc");
    for strategy in ["token-binding", "token-with-binding"] {
        let gateway = Setup::before(&origin).env("APPROOV_VERIFICATION_STRATEGY", strategy).start();
        let message = |token: &str, value| Message::get("/").token(token).field("Authorization", value);
        assert_eq!(status(&gateway, &message(&bound, "Bearer abc")), 200, "{strategy}");
        assert_eq!(status(&gateway, &message(&bound, "Bearer abd")), 401, "{strategy}");
        assert_eq!(status(&gateway, &Message::get("/").token(&bound)), 401, "{strategy}");
        assert_eq!(status(&gateway, &message(&tokens::valid(), "Bearer abc")), 401, "{strategy}");
    }
    assert_eq!(origin.requests().len(), 2);
}

#[test]
fn fault_6_scheme_and_port_of_the_client_do_not_reach_the_origin() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    for host in ["gateway.test", "gateway.test:80", "gateway.test:443", "127.0.0.1:8443", "[::1]:9"] {
        assert_eq!(status(&gateway, &Message::get("/x?y").token(&tokens::valid()).host(host)), 200);
        let request = origin.requests().pop().unwrap();
        assert_eq!(request.values("host"), [origin.authority()], "{host}");
        assert_eq!(request.target, "/x?y", "{host}");
    }
    assert_eq!(origin.requests().len(), 5);
}

#[test]
fn fault_6_a_domain_with_scheme_works_and_one_with_a_path_stops_the_start() {
    let origin = Origin::new();
    gateway_before(&origin).assert_serves(&origin);
    assert!(origin.url().starts_with("http://"));
    for rest in ["/v1", "?a=b", "#a"] {
        let domain = format!("http://{}{rest}", origin.authority());
        let exit = Setup::before(&origin).env("API_DOMAIN", &domain).run_to_exit();
        assert_eq!(exit.status.code(), Some(78), "{domain}");
        assert!(exit.stderr.contains("API_DOMAIN"), "{}", exit.stderr);
    }
}

#[test]
fn fault_7_an_unreachable_origin_is_neither_an_error_page_nor_401() {
    let origin = Origin::refusing();
    let gateway = gateway_before(&origin);
    let response = gateway.ask(&Message::get("/").token(&tokens::valid()));
    assert_eq!((response.status, response.text().as_str()), (502, "{}"));
    assert_eq!(response.values("content-type"), ["application/json"]);
    assert_eq!(status(&gateway, &Message::get("/")), 401);
}

#[test]
fn fault_8_no_token_is_logged_and_no_path_returns_the_headers() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let token = tokens::valid();
    for path in ["/debug", "/headers", "/debug/headers", "/cdn-cgi/trace", "/metrics", "/healthz", "/livez"] {
        assert_eq!(gateway.ask(&Message::get(path)).text(), "{}", "{path}");
        assert_eq!(gateway.ask(&Message::get(path).token(&token)).text(), "hello", "{path}");
    }
    gateway.wait_for_log(|stdout, _| stdout.iter().filter(|byte| **byte == b'\n').count() == 14);
    let logs = [gateway.stdout(), gateway.stderr()].concat();
    assert!(!String::from_utf8(logs).unwrap().contains("eyJ"));
}

#[test]
fn fault_9_a_second_secret_is_accepted_during_rotation() {
    let origin = Origin::new();
    let next: Vec<u8> = (100..164).collect();
    let second = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &next);
    let keys = format!("}}, {{ id: next, algorithm: HS256, secret_base64: \"{second}\" }} ]\norigins");
    let config = config_before(&origin, "").replace("} ]\norigins", &keys);
    let gateway = Setup::bare().config(&config).start();
    let claims = json!({ "exp": in_seconds(60) });
    assert_eq!(status(&gateway, &Message::get("/old").token(&tokens::valid())), 200);
    assert_eq!(status(&gateway, &Message::get("/new").token(&tokens::signed_with(&next, &claims))), 200);
    assert_eq!(status(&gateway, &Message::get("/no").token(&tokens::signed_with(&[8; 32], &claims))), 401);
    assert_eq!(origin.targets(), ["/old", "/new"]);
}

#[test]
fn fault_9_there_are_routes_a_report_only_mode_and_metrics() {
    let origin = Origin::new();
    let routes = "routes:\n  - { path: /health, policy: open, origin: api }\n  \
                  - { path: /trial/, policy: observe, origin: api }\n  \
                  - { path: /, policy: protect, origin: api }\n";
    let gateway = Setup::bare().config(&config_before(&origin, routes)).start();
    for (path, expected) in [("/health", 200), ("/trial/x", 200), ("/x", 401)] {
        assert_eq!(status(&gateway, &Message::get(path)), expected, "{path}");
    }
    for (policy, verdict, reason) in [
        ("open", "open", "ok"),
        ("observe", "observed", "missing_token"),
        ("protect", "rejected", "missing_token"),
    ] {
        gateway.wait_for_requests(&[("policy", policy), ("verdict", verdict), ("reason", reason)], 1.0);
    }
    assert_eq!(origin.targets(), ["/health", "/trial/x"]);
}

#[test]
fn the_environment_of_the_official_worker_works_unchanged() {
    let origin = Origin::new();
    let gateway = Setup::bare()
        .env("APPROOV_SECRET_BASE64", tokens::SECRET_BASE64)
        .env("API_DOMAIN", &origin.url())
        .env("APPROOV_TOKEN_HEADER_NAME", "X-App-Token")
        .env("APPROOV_BINDING_HEADER_NAME", "X-Session")
        .env("APPROOV_BINDING_CLAIM_NAME", "pay")
        .env("APPROOV_VERIFICATION_STRATEGY", "token-binding")
        .start();
    let token = tokens::bound_to("abc");
    let message = Message::get("/").field("X-App-Token", &token).field("X-Session", "abc");
    assert_eq!(status(&gateway, &message), 200);
    assert_eq!(status(&gateway, &Message::get("/").token(&token).field("X-Session", "abc")), 401);
    let request = origin.only_request();
    assert_eq!((request.values("x-app-token"), request.values("x-session")), (vec![], vec!["abc"]));
}

#[test]
fn several_bound_headers_are_joined_in_order() {
    let origin = Origin::new();
    let gateway = Setup::before(&origin)
        .env("APPROOV_VERIFICATION_STRATEGY", "token-binding")
        .env("APPROOV_BINDING_HEADER_NAME", "Authorization, X-Device")
        .start();
    let token = tokens::bound_to("Bearer abcdevice");
    let message = Message::get("/").token(&token);
    let both = message.clone().field("X-Device", "device").field("Authorization", "Bearer abc");
    assert_eq!(status(&gateway, &both), 200);
    assert_eq!(status(&gateway, &message.field("Authorization", "Bearer abcdevice")), 401);
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn the_behaviour_of_the_older_worker_can_be_configured() {
    let origin = Origin::new();
    let config = config_before(
        &origin,
        "rejection: { status: 403, content_type: text/plain, body: \"Invalid Token\" }\n",
    );
    let config = config.replace("approov:\n", "approov:\n  token_header: Device-Token\n");
    let gateway = Setup::bare().config(&config).start();
    let token = tokens::valid();
    assert_eq!(status(&gateway, &Message::get("/").field("Device-Token", &token)), 200);
    assert!(!origin.only_request().has("device-token"));
    for message in
        [Message::get("/"), Message::get("/").token(&token), Message::get("/").field("Device-Token", "x")]
    {
        let response = gateway.ask(&message);
        assert_eq!((response.status, response.text().as_str()), (403, "Invalid Token"));
        assert_eq!(response.values("content-type"), ["text/plain"]);
    }
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn a_token_prefix_can_be_configured() {
    let origin = Origin::new();
    let config = config_before(&origin, "").replace("approov:\n", "approov:\n  token_prefix: Bearer\n");
    let gateway = Setup::bare().config(&config).start();
    let token = tokens::valid();
    assert_eq!(status(&gateway, &Message::get("/").token(&format!("Bearer {token}"))), 200);
    assert_eq!(status(&gateway, &Message::get("/").token(&token)), 200);
    assert_eq!(status(&gateway, &Message::get("/").token(&format!("Basic {token}"))), 401);
    assert_eq!(origin.requests().len(), 2);
}
