//! Bans of addresses whose requests keep failing verification.

use super::{configured, get, hostile, limited, refused};
use crate::harness::{
    Client, Folder, Gateway, Http2Client, Message, Origin, Setup, config_before, eventually, tokens,
};
use crate::lifecycle::reload::reload;

const THREE: &str = "offenders: { failures: 3, within: 1h, ban: 1h, max_ban: 2h }";

/// Asserts that a connection from 127.0.0.`host` is closed without an answer.
fn assert_banned(gateway: &Gateway, host: u8) {
    let before = refused(gateway, "banned_address");
    if let Ok(mut client) = gateway.try_connect_from(host) {
        let _ = client.try_send(get("/banned").bytes());
        client.assert_closed();
    }
    assert_eq!(refused(gateway, "banned_address"), before + 1.0);
}

/// A gateway that trusts 127.0.0.1 as a proxy. `more` configures how the proxy names the client.
fn behind_proxy(origin: &Origin, more: &str) -> Gateway {
    let proxies = format!("trusted_proxies: {{ ranges: [127.0.0.1]{more} }}");
    let listeners = format!("listeners: [ {{ address: \"127.0.0.1:0\", {proxies} }} ]\n");
    let config = config_before(origin, &format!("{listeners}limits: {{ allow: [], {THREE} }}\n"));
    Setup::bare().without("GATEWAY_LISTEN").config(&config).start()
}

fn fail(client: &mut Client, times: usize) {
    for _ in 0..times {
        assert_eq!(client.ask(&hostile("/")).status, 401);
    }
}

fn offenders(gateway: &Gateway) -> serde_json::Value {
    serde_json::from_str(&gateway.admin("/offenders").text()).expect("JSON")
}

fn forgive(gateway: &Gateway, whom: &str) -> serde_json::Value {
    let delete =
        Message::new("DELETE", &format!("/offenders{whom}")).host("localhost").field("Connection", "close");
    let answer = Client::connect(gateway.admin_address()).ask(&delete);
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_str(&answer.text()).expect("JSON")
}

#[test]
fn an_address_that_keeps_failing_is_banned_until_an_operator_lifts_the_ban() {
    let origin = Origin::new();
    let gateway = limited(&origin, THREE);
    let mut kept = gateway.connect_from(2);
    assert_eq!(kept.ask(&get("/x")).status, 200);
    let mut client = gateway.connect_from(2);
    fail(&mut client, 3);
    client.assert_closed();
    assert_banned(&gateway, 2);
    // Open connections of the address end with their next request.
    let answer = kept.ask(&get("/x"));
    assert_eq!((answer.status, answer.values("connection")), (429, vec!["close"]));
    assert!(
        answer.values("retry-after")[0].parse::<u32>().is_ok_and(|seconds| (3500..=3601).contains(&seconds))
    );
    kept.assert_closed();
    // Other addresses are not affected.
    assert_eq!(gateway.connect_from(3).ask(&get("/x")).status, 200);
    gateway.assert_serves(&origin);
    assert_eq!(origin.count("/x"), 2);

    let listed = offenders(&gateway);
    let listed = &listed["offenders"][0];
    assert_eq!((&listed["address"], &listed["bans"]), (&"127.0.0.2".into(), &1.into()));
    assert!(listed["banned_until"].is_string(), "{listed}");
    assert_eq!(gateway.metrics().sum("approov_gateway_banned_addresses", &[]), 1.0);
    gateway.wait_for_message("127.0.0.2 is banned for 3600 s: 3 failed verifications within 3600s");

    assert_eq!(forgive(&gateway, "/127.0.0.9")["forgiven"], 0);
    assert_banned(&gateway, 2);
    assert_eq!(forgive(&gateway, "/127.0.0.2")["forgiven"], 1);
    assert_eq!(gateway.connect_from(2).ask(&get("/x")).status, 200);
    assert_eq!(offenders(&gateway)["offenders"], serde_json::json!([]));
    fail(&mut gateway.connect_from(2), 3);
    fail(&mut gateway.connect_from(4), 3);
    assert_eq!(forgive(&gateway, "")["forgiven"], 2);
    assert_eq!(gateway.connect_from(4).ask(&get("/x")).status, 200);
}

#[test]
fn failures_that_genuine_apps_have_too_do_not_ban() {
    let origin = Origin::new();
    let gateway = limited(&origin, THREE);
    let mut client = gateway.connect_from(2);
    for token in ["", "NO_NETWORK", &*tokens::expired()] {
        for _ in 0..5 {
            assert_eq!(client.ask(&Message::get("/").token(token)).status, 401);
            assert_eq!(client.ask(&Message::new("OPTIONS", "/")).status, 401);
        }
    }
    assert_eq!(client.ask(&get("/x")).status, 200);
    assert_eq!(offenders(&gateway)["offenders"], serde_json::json!([]));
    // These failures count if the configuration says so.
    let reasons = "offenders: { failures: 3, reasons: [missing_token], within: 1h, ban: 1h, max_ban: 2h }";
    let gateway = limited(&origin, reasons);
    let mut client = gateway.connect_from(2);
    fail(&mut client, 5);
    for _ in 0..3 {
        assert_eq!(client.ask(&Message::get("/")).status, 401);
    }
    client.assert_closed();
    assert_banned(&gateway, 2);
}

#[test]
fn a_private_network_is_never_banned() {
    let origin = Origin::new();
    let gateway = behind_proxy(&origin, "");
    for (address, is_banned) in [
        ("10.1.2.3", false),
        ("172.31.0.1", false),
        ("192.168.7.7", false),
        ("100.64.0.1", false),
        ("169.254.1.1", false),
        ("fd00::1", false),
        ("fe80::1", false),
        ("172.32.0.1", true),
        ("100.128.0.1", true),
        ("2001:db8::1", true),
    ] {
        let mut client = gateway.connect();
        for _ in 0..3 {
            let answer = client.ask(&hostile("/").field("X-Forwarded-For", address));
            assert_eq!(answer.status, 401);
        }
        let answer = client.ask(&get("/x").field("X-Forwarded-For", address));
        assert_eq!(answer.status, if is_banned { 429 } else { 200 }, "{address}");
    }
}

#[test]
fn the_offenders_page_accepts_addresses_only() {
    let origin = Origin::new();
    let gateway = limited(&origin, THREE);
    let ask = |method: &str, path: &str| {
        let message = Message::new(method, path).host("localhost").field("Connection", "close");
        Client::connect(gateway.admin_address()).ask(&message).status
    };
    assert_eq!(ask("GET", "/offenders"), 200);
    assert_eq!(ask("GET", "/offenders/127.0.0.1"), 404);
    assert_eq!(ask("DELETE", "/offenders/example.com"), 400);
    assert_eq!(ask("DELETE", "/offenders/2001:db8::/64"), 200);
    assert_eq!(ask("POST", "/offenders"), 405);
    assert_eq!(ask("DELETE", "/metrics"), 405);
    assert_eq!(ask("DELETE", "/offendersx"), 405);
}

#[test]
fn one_tampered_phone_does_not_ban_honest_ones_at_the_same_address() {
    let origin = Origin::new();
    let gateway = limited(&origin, THREE);
    let mut client = gateway.connect_from(2);
    for _ in 0..20 {
        fail(&mut client, 2);
        for _ in 0..2 {
            assert_eq!(client.ask(&get("/x")).status, 200);
        }
    }
    assert_eq!(offenders(&gateway)["offenders"], serde_json::json!([]));
}

#[test]
fn an_allowed_range_is_never_banned_and_not_limited() {
    let origin = Origin::new();
    let limits =
        format!("limits: {{ allow: [127.0.0.2], {THREE}, rate: [ {{ by: address, rate: 1/h }} ] }}\n");
    let gateway = configured(&origin, &limits);
    fail(&mut gateway.connect_from(2), 10);
    let mut client = gateway.connect_from(2);
    let statuses: Vec<_> = (0..3).map(|_| client.ask(&get("/x")).status).collect();
    assert_eq!(statuses, [200; 3]);
}

#[test]
fn observed_failures_do_not_ban() {
    let origin = Origin::new();
    let gateway = configured(
        &origin,
        &format!("limits: {{ allow: [], {THREE} }}\nroutes: [ {{ path: /, policy: observe }} ]\n"),
    );
    let mut client = gateway.connect_from(2);
    let statuses: Vec<_> = (0..5).map(|_| client.ask(&hostile("/x")).status).collect();
    assert_eq!(statuses, [200; 5]);
}

#[test]
fn behind_a_proxy_the_client_is_banned_and_not_the_proxy() {
    let origin = Origin::new();
    let gateway = behind_proxy(&origin, "");
    let mut proxy = gateway.connect();
    let from = |message: Message, client: &str| message.field("X-Forwarded-For", client);
    for _ in 0..3 {
        assert_eq!(proxy.ask(&from(hostile("/"), "203.0.113.7")).status, 401);
    }
    for _ in 0..2 {
        let answer = proxy.ask(&from(get("/x"), "203.0.113.7"));
        assert_eq!(answer.status, 429, "the connection is the proxy's, and is kept");
    }
    // The client's own value stands before the value that the proxy adds.
    assert_eq!(proxy.ask(&from(get("/x"), "203.0.113.8, 203.0.113.7")).status, 429);
    assert_eq!(proxy.ask(&from(get("/x"), "203.0.113.7, 203.0.113.8")).status, 200);
    // Without a client address, or with an unusable one, the address is the proxy's.
    for _ in 0..5 {
        assert_eq!(proxy.ask(&hostile("/")).status, 401);
        assert_eq!(proxy.ask(&from(hostile("/"), "unknown")).status, 401);
    }
    assert_eq!(proxy.ask(&from(get("/x"), "203.0.113.8")).status, 200);
    assert_eq!(offenders(&gateway)["offenders"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_banned_client_named_by_a_proxy_header_is_disconnected() {
    let origin = Origin::new();
    let gateway = behind_proxy(&origin, ", client_address: proxy-protocol");
    let connect = |client: &str| {
        let mut connection = gateway.connect();
        connection.send(format!("PROXY TCP4 {client} 192.0.2.1 40000 80\r\n"));
        connection
    };
    let mut client = connect("203.0.113.7");
    fail(&mut client, 3);
    client.assert_closed();
    let mut client = connect("203.0.113.7");
    let _ = client.try_send(get("/x").bytes());
    client.assert_closed();
    assert_eq!(connect("203.0.113.8").ask(&get("/x")).status, 200);
    assert_eq!((origin.count("/x"), refused(&gateway, "banned_address")), (1, 1.0));
}

#[test]
fn a_banned_http_2_client_is_disconnected() {
    let origin = Origin::new();
    let gateway = limited(&origin, THREE);
    let mut client = Http2Client::connect(gateway.address());
    let pending: Vec<_> = (0..3).map(|_| client.send(&hostile("/"))).collect();
    let statuses: Vec<_> = pending.into_iter().map(|pending| client.response(pending).status).collect();
    assert_eq!(statuses, [401; 3]);
    // The gateway closes the connection at the next stream.
    let pending = client.send(&get("/x"));
    assert!(client.try_response(pending).is_err());
    client.wait_for_end().expect_err("sent away");
    assert_eq!(origin.bytes(), 0);
}

#[test]
fn bans_end_and_survive_a_reload() {
    let (origin, folder) = (Origin::new(), Folder::new());
    let config = |rest: &str| {
        let rules = "offenders: { failures: 3, within: 10s, ban: 1s, max_ban: 1h }";
        folder.config(&origin, &format!("limits: {{ allow: [], {rules} }}\n{rest}"))
    };
    let gateway = folder.start(&config(""));
    fail(&mut gateway.connect_from(2), 3);
    eventually("the end of the ban", || {
        let mut client = gateway.try_connect_from(2).ok()?;
        client.try_send(get("/x").bytes()).ok()?;
        client.try_response_to("GET").ok().filter(|answer| answer.status == 200).map(drop)
    });
    // The second ban lasts twice as long, and survives a reload.
    fail(&mut gateway.connect_from(2), 3);
    assert_banned(&gateway, 2);
    folder.write("gateway.yaml", config("rejection: { status: 403 }\n"));
    reload(&gateway, 2);
    assert_eq!(offenders(&gateway)["offenders"][0]["bans"], 2);
}
