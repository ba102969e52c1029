//! Floods of requests: one client, device or token cannot use up the rate of another.

use super::{configured, get, hostile, limited, refused};
use crate::harness::{
    Client, Folder, Gateway, Http2Client, Message, Origin, Response, Setup, config_before, tokens,
};
use crate::lifecycle::reload::reload;

/// Asserts that a flood gets `ok` answers with 200 and then `limited` answers with 429. Returns the
/// last answer.
fn assert_flood(ask: impl Fn() -> Response, ok: usize, limited: usize) -> Response {
    let answers: Vec<_> = (0..ok + limited).map(|_| ask()).collect();
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [vec![200; ok], vec![429; limited]].concat());
    answers.into_iter().next_back().expect("at least one answer")
}

fn with(token: &str) -> Message {
    Message::get("/").token(token)
}

#[test]
fn malformed_requests_count_towards_the_limits_by_address() {
    let origin = Origin::new();
    let gateway = limited(&origin, "rate: [ { by: address, rate: 1/m, burst: 3 } ]");
    let answers = (0..5).map(|_| {
        let mut client = gateway.connect_from(2);
        client.send("GET /\"x HTTP/1.1\r\nHost: a\r\n\r\n");
        client.response()
    });
    let answers: Vec<_> = answers.collect();
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [400, 400, 400, 429, 429]);
    assert_eq!((answers[2].values("retry-after").len(), answers[3].values("retry-after").len()), (0, 1));
    assert!(answers[3].values("ratelimit")[0].starts_with("\"address\";r=0"), "{:?}", answers[3].fields);
    let mut client = Http2Client::connect(gateway.address());
    let statuses: Vec<_> = (0..5).map(|_| client.ask(&Message::get("/\"x")).status).collect();
    assert_eq!(statuses, [400, 400, 400, 429, 429]);
    assert_eq!(refused(&gateway, "rate_address"), 4.0);
    let entry = gateway.wait_for_entry(|entry| entry["http.response.status_code"] == 429);
    assert_eq!(
        (&entry["approov.limit"], &entry["approov.limit_name"]),
        (&"rate_address".into(), &"address".into())
    );
    assert_eq!(gateway.connect_from(3).ask(&get("/x")).status, 200);
    assert_eq!(origin.targets(), ["/x"]);
}

#[test]
fn an_address_over_its_rate_gets_429_and_others_do_not() {
    let origin = Origin::new();
    let gateway = limited(&origin, "rate: [ { by: address, rate: 3/h } ]");
    let mut client = gateway.connect_from(2);
    let statuses: Vec<_> = (0..3).map(|_| client.ask(&get("/x")).status).collect();
    assert_eq!(statuses, [200; 3]);
    for forged in ["203.0.113.1", "203.0.113.2"] {
        let message = ["X-Forwarded-For", "X-Real-IP", "CF-Connecting-IP", "Forwarded"]
            .iter()
            .fold(get("/x"), |message, name| message.field(name, forged));
        let answer = client.ask(&message);
        assert_eq!((answer.status, answer.text().as_str()), (429, "{}"), "on the same connection");
        assert_eq!(answer.values("ratelimit-policy"), ["\"address\";q=3;w=3600"]);
        assert_eq!(
            answer.values("ratelimit"),
            [format!("\"address\";r=0;t={}", answer.values("retry-after")[0])]
        );
        let seconds: u32 = answer.values("retry-after")[0].parse().expect("seconds");
        assert!((1100..=1200).contains(&seconds), "{seconds}");
    }
    assert_eq!(gateway.connect_from(2).ask(&hostile("/x")).status, 429, "with any token");
    assert_eq!(gateway.connect_from(3).ask(&get("/x")).status, 200);
    gateway.assert_serves(&origin);
    assert_eq!(origin.count("/x"), 4);
    assert_eq!(refused(&gateway, "rate_address"), 3.0);
    let labels = [("limit", "address"), ("route", ""), ("outcome", "refused")];
    assert_eq!(gateway.metrics().sum("approov_gateway_rate_limited_total", &labels), 3.0);
    let entry = gateway.wait_for_entry(|entry| entry["http.response.status_code"] == 429);
    assert_eq!(
        (&entry["approov.limit"], &entry["approov.limit_name"], &entry["approov.verdict"]),
        (&"rate_address".into(), &"address".into(), &"denied".into())
    );
}

#[test]
fn ipv6_clients_are_distinguished_by_their_network() {
    let origin = Origin::new();
    let listeners = "listeners: [ { address: \"127.0.0.1:0\", trusted_proxies: { ranges: [127.0.0.1] } } ]\n";
    let limits = "limits: { ipv6_prefix: 64, rate: [ { by: address, rate: 1/h } ] }\n";
    let config = config_before(&origin, &format!("{listeners}{limits}"));
    let gateway = Setup::bare().without("GATEWAY_LISTEN").config(&config).start();
    let ask = |client: &str| gateway.ask(&get("/x").field("X-Forwarded-For", client)).status;
    assert_eq!(ask("2001:db8:0:1::1"), 200);
    assert_eq!(ask("2001:db8:0:1:ffff::2"), 429, "the same network");
    assert_eq!(ask("2001:db8:0:2::1"), 200, "another network");
    assert_eq!(ask("192.0.2.1"), 200);
    assert_eq!(ask("::ffff:192.0.2.1"), 429, "the same address");
}

#[test]
fn a_device_over_its_rate_does_not_affect_others_and_forged_tokens_do_not_count() {
    let origin = Origin::new();
    let gateway = limited(&origin, "rate: [ { by: device, rate: 2/h } ]");
    let (one, other) = (tokens::of_device("one"), tokens::of_device("two"));
    // A forged token does not count for the device that it names.
    let forged = format!("{}x", &one[..one.len() - 1]);
    let unsigned: Vec<_> = (0..10).map(|_| gateway.ask(&with(&forged)).status).collect();
    assert_eq!(unsigned, [401; 10]);
    let answer = assert_flood(|| gateway.ask(&with(&one)), 2, 3);
    assert_eq!(answer.values("ratelimit-policy"), ["\"device\";q=2;w=3600"]);
    // Another token of the same device counts for the same device.
    assert_eq!(gateway.ask(&with(&tokens::of_device("one"))).status, 429);
    assert_flood(|| gateway.ask(&with(&other)), 2, 1);
    assert_eq!((origin.requests().len(), refused(&gateway, "rate_device")), (4, 5.0));
    let entry = gateway.wait_for_entry(|entry| entry["http.response.status_code"] == 429);
    assert_eq!((&entry["approov.verdict"], &entry["approov.did"]), (&"denied".into(), &"one".into()));
}

#[test]
fn clients_without_a_device_id_are_distinguished_by_their_token() {
    let origin = Origin::new();
    let gateway = limited(&origin, "rate: [ { by: device, rate: 1/h } ]");
    let token = |ttl| tokens::with_claims(serde_json::json!({ "exp": tokens::in_seconds(ttl) }));
    let (one, other) = (token(1000), token(2000));
    assert_flood(|| gateway.ask(&with(&one)), 1, 1);
    assert_flood(|| gateway.ask(&with(&other)), 1, 1);
}

#[test]
fn a_token_with_surrounding_spaces_is_the_same_token() {
    let origin = Origin::new();
    let gateway = limited(&origin, "rate: [ { by: token, rate: 2/h } ]");
    let token = tokens::of_device("one");
    assert_flood(|| gateway.ask(&with(&token)), 2, 1);
    assert_eq!(gateway.ask(&with(&format!("  {token} "))).status, 429);
    assert_eq!(gateway.ask(&with(&tokens::of_device("two"))).status, 200);
}

#[test]
fn routes_origins_and_the_total_have_their_own_limits() {
    let origin = Origin::new();
    let gateway = configured(
        &origin,
        "limits: { rate: [ { by: route, rate: 5/h }, { by: total, rate: 12/h }, { by: origin, rate: 7/h } ] }\n\
         routes:\n\
         \x20 - { path: /login, limits: { rate: [ { by: route, rate: 1/h, name: login } ] } }\n\
         \x20 - { path: /open/, policy: open }\n\
         \x20 - { path: / }\n",
    );
    let ask = |target: &str| gateway.ask(&get(target));
    let answer = assert_flood(|| ask("/login"), 1, 2);
    assert_eq!(answer.values("ratelimit-policy"), ["\"login\";q=1;w=3600"]);
    let answer = assert_flood(|| ask("/x"), 5, 2);
    assert_eq!(answer.values("ratelimit-policy"), ["\"route\";q=5;w=3600"]);
    // The origin's limit counts the requests of all routes.
    let answer = assert_flood(|| gateway.ask(&Message::get("/open/x")), 1, 1);
    assert_eq!(answer.values("ratelimit-policy"), ["\"origin\";q=7;w=3600"]);
    // The total has counted all requests above.
    let last = ask("/y");
    assert_eq!((last.status, last.values("ratelimit-policy")), (429, vec!["\"total\";q=12;w=3600"]));
}

#[test]
fn an_observing_limit_refuses_nothing_and_is_counted() {
    let origin = Origin::new();
    let gateway = limited(&origin, "rate: [ { by: address, rate: 1/h, observe: true } ]");
    let answer = assert_flood(|| gateway.ask(&get("/x")), 3, 0);
    assert_eq!(answer.values("ratelimit"), [""; 0]);
    assert_eq!((origin.count("/x"), refused(&gateway, "rate_address")), (3, 0.0));
    let labels = [("cause", "rate_address"), ("outcome", "observed")];
    assert_eq!(gateway.metrics().sum("approov_gateway_limited_total", &labels), 2.0);
    let entry = gateway.wait_for_entry(|entry| entry["approov.limit"] == "rate_address");
    assert_eq!(
        (&entry["http.response.status_code"], &entry["approov.limit_observed"]),
        (&200.into(), &true.into())
    );
}

#[test]
fn rate_fields_report_what_is_left_if_enabled() {
    let origin = Origin::new();
    let gateway = limited(
        &origin,
        "rate_fields: true, rate: [ { by: address, rate: 60/m, burst: 10 }, { by: device, rate: 1/m, burst: 3 } ]",
    );
    let left = || {
        let answer = gateway.ask(&with(&tokens::of_device("one")));
        (answer.status, answer.values("ratelimit")[0].split(";t=").next().map(str::to_owned))
    };
    assert_eq!(left(), (200, Some("\"device\";r=2".into())), "the limit with the fewest requests left");
    assert_eq!(left(), (200, Some("\"device\";r=1".into())));
}

#[test]
fn a_reload_does_not_refill_a_bucket() {
    let (origin, folder) = (Origin::new(), Folder::new());
    let config = |rate: &str| folder.config(&origin, &format!("limits: {{ allow: [], rate: [ {rate} ] }}\n"));
    let address = "{ by: address, rate: 1/h }";
    let gateway = folder.start(&config(address));
    assert_flood(|| gateway.ask(&get("/x")), 1, 1);
    folder.write("gateway.yaml", config(&format!("{{ by: device, rate: 100/h }}, {address}")));
    reload(&gateway, 2);
    assert_eq!(gateway.ask(&get("/x")).status, 429);
    folder.write("gateway.yaml", config(""));
    reload(&gateway, 3);
    assert_eq!(gateway.ask(&get("/x")).status, 200);
}

#[test]
fn a_grpc_client_over_its_rate_gets_a_grpc_status() {
    let origin = Origin::new();
    let gateway = limited(&origin, "rate: [ { by: address, rate: 1/h } ]");
    let mut client = Http2Client::connect(gateway.address());
    assert_eq!(client.ask(&get("/x")).status, 200);
    let call = Message::new("POST", "/posts.Posts/List").field("content-type", "application/grpc");
    let answer = client.ask(&call);
    assert_eq!((answer.status, answer.values("grpc-status")), (200, vec!["8"]), "RESOURCE_EXHAUSTED");
    assert_eq!(client.ask(&get("/x")).status, 429, "other requests get 429");
}

#[test]
fn memory_does_not_grow_with_the_number_of_keys() {
    let origin = Origin::new();
    let gateway = limited(
        &origin,
        "connections: { requests: 1000000 }, rate: [ { by: device, rate: 1000/s, keys: 1024 } ]",
    );
    let mut client: Client = gateway.connect();
    let busy = tokens::of_device("busy");
    let mut ask = |token: &str| assert_eq!(client.ask(&with(token)).status, 200);
    let rounds = |gateway: &Gateway, ask: &mut dyn FnMut(&str), from: usize| {
        for number in 0..3000 {
            ask(&tokens::of_device(&format!("{from}-{number}")));
        }
        gateway.memory()
    };
    ask(&busy);
    let before = rounds(&gateway, &mut ask, 0);
    let after = rounds(&gateway, &mut ask, 1);
    ask(&busy);
    assert!(after < before + 4 * 1024, "{before} KiB, then {after}");
}
