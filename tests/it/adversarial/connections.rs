//! Limits on connections and on requests in progress.

use super::{configured, get, hostile, limited, refused};
use crate::harness::{
    Client, Exchange, Folder, Gate, Gateway, Http2Client, Message, Origin, Setup, Then, config_before,
    eventually,
};
use crate::lifecycle::reload::reload;

/// Whether a connection from 127.0.0.`host` is served.
fn is_served(gateway: &Gateway, host: u8) -> bool {
    gateway.try_connect_from(host).is_ok_and(|mut client| served(&mut client))
}

/// Whether a request on this connection is answered.
fn served(client: &mut Client) -> bool {
    client.try_send(get("/x").bytes()).is_ok() && client.try_response_to("GET").is_ok()
}

#[test]
fn new_connections_of_an_address_are_rate_limited() {
    let origin = Origin::new();
    let gateway = limited(&origin, "connections: { rate: 1/m, burst: 3 }");
    let mut kept = gateway.connect_from(2);
    assert_eq!(kept.ask(&get("/x")).status, 200);
    for _ in 0..2 {
        assert_eq!(gateway.connect_from(2).ask(&get("/x")).status, 200);
    }
    for _ in 0..3 {
        if let Ok(mut client) = gateway.try_connect_from(2) {
            let _ = client.try_send(get("/x").bytes());
            client.assert_closed();
        }
    }
    assert_eq!((refused(&gateway, "connections_rate"), origin.count("/x")), (3.0, 3));
    // Open connections and other addresses are not affected.
    assert_eq!(kept.ask(&get("/x")).status, 200);
    assert_eq!(gateway.connect_from(3).ask(&get("/x")).status, 200);
}

#[test]
fn open_connections_of_an_address_are_limited() {
    let origin = Origin::new();
    let gateway = limited(&origin, "connections: { per_address: 2 }");
    let mut held = [2, 2].map(|host| gateway.connect_from(host));
    assert!(held.iter_mut().all(served));
    assert!(!is_served(&gateway, 2), "the third connection");
    assert_eq!(refused(&gateway, "connections_address"), 1.0);
    let mut others = [3, 3].map(|host| gateway.connect_from(host));
    assert!(others.iter_mut().all(served));
    let [first, _second] = held;
    drop(first);
    eventually("a free place", || is_served(&gateway, 2).then_some(()));
    gateway.assert_serves(&origin);
}

#[test]
fn the_total_of_connections_is_limited_and_open_ones_are_served() {
    let origin = Origin::new();
    let gateway = limited(&origin, "connections: { total: 3 }");
    let mut held = [2, 3, 4].map(|host| gateway.connect_from(host));
    assert!(held.iter_mut().all(served));
    assert!(!is_served(&gateway, 5));
    assert!(held.iter_mut().all(served));
    assert_eq!(refused(&gateway, "connections_total"), 1.0);
    assert_eq!(gateway.metrics().sum("approov_gateway_connections", &[]), 3.0);
    drop(held);
    eventually("a free place", || is_served(&gateway, 1).then_some(()));
}

#[test]
fn connections_of_each_listener_are_limited() {
    let origin = Origin::new();
    let listeners = "listeners: [ { address: \"127.0.0.1:0\" }, { address: \"127.0.0.2:0\" } ]\n\
                     limits: { allow: [], connections: { total: 10, per_listener: 1 } }\n";
    let config = config_before(&origin, listeners);
    let gateway = Setup::bare().without("GATEWAY_LISTEN").config(&config).start();
    let mut first = gateway.connect();
    assert!(served(&mut first));
    assert!(!is_served(&gateway, 1));
    assert_eq!(refused(&gateway, "connections_listener"), 1.0);
    let other = eventually("the other listener", || {
        let log = String::from_utf8(gateway.stderr()).unwrap_or_default();
        let address = log.split("listening on http://127.0.0.2:").nth(1)?;
        format!("127.0.0.2:{}", address.lines().next()?).parse().ok()
    });
    assert!(served(&mut Client::connect(other)));
}

/// An origin that holds `/slow` back until the gate opens.
fn gated(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::scripted(move |exchange: &mut Exchange<'_>| -> std::io::Result<Then> {
        exchange.body()?;
        if exchange.request.target.starts_with("/slow") {
            gate.pass();
        }
        exchange.answer("200 OK", "hello")
    })
}

#[test]
fn under_load_unverified_requests_are_refused_first() {
    let gate = Gate::default();
    let origin = gated(&gate);
    let gateway = configured(
        &origin,
        "limits: { allow: [], requests: { in_flight: 3, reserve: 1 } }\n\
         routes: [ { path: /slow/open, policy: open }, { path: /open, policy: open }, { path: / } ]\n",
    );
    let mut slow =
        [(gateway.connect(), Message::get("/slow/open")), (gateway.connect(), get("/slow/verified"))];
    for (index, (client, message)) in slow.iter_mut().enumerate() {
        client.send(message.bytes());
        origin.wait_until("a slow request", |record| record.requests.len() == index + 1);
    }
    let answer = gateway.ask(&Message::get("/open"));
    assert_eq!((answer.status, answer.values("retry-after"), answer.text().as_str()), (503, vec!["1"], "{}"));
    assert_eq!(gateway.ask(&get("/x")).status, 200, "the reserve is for verified requests");
    assert_eq!(gateway.ask(&hostile("/x")).status, 401, "a refusal does not count as a request in progress");
    let (mut third, message) = (gateway.connect(), get("/slow/third"));
    third.send(message.bytes());
    origin.wait_until("the third", |record| record.requests.len() == 4);
    for message in [get("/x"), hostile("/x"), Message::get("/open")] {
        assert_eq!(gateway.ask(&message).status, 503, "full");
    }
    let causes = ["in_flight_reserve", "in_flight_total"].map(|cause| refused(&gateway, cause));
    assert_eq!(causes, [1.0, 3.0]);
    assert_eq!(gateway.metrics().sum("approov_gateway_requests_in_flight", &[]), 3.0);
    let entry = gateway.wait_for_entry(|entry| entry["approov.limit"] == "in_flight_total");
    assert_eq!(entry["http.response.status_code"], 503);
    gate.open();
    for client in slow.iter_mut().map(|(client, _)| client).chain([&mut third]) {
        assert_eq!(client.response().status, 200, "requests in progress are finished");
    }
    gateway.assert_serves(&origin);
    assert_eq!(origin.count("/open"), 0);
}

#[test]
fn concurrent_requests_of_an_address_are_limited() {
    let gate = Gate::default();
    let origin = gated(&gate);
    let gateway = limited(&origin, "requests: { per_address: 2 }");
    let mut client = Http2Client::connect(gateway.address());
    let slow = [1, 2].map(|number| client.send(&get(&format!("/slow/{number}"))));
    origin.wait_until("both", |record| record.requests.len() == 2);
    assert_eq!(client.ask(&get("/x")).status, 503);
    assert_eq!(gateway.connect_from(2).ask(&get("/x")).status, 200);
    gate.open();
    for pending in slow {
        assert_eq!(client.response(pending).status, 200);
    }
    assert_eq!(client.ask(&get("/x")).status, 200);
    assert_eq!(refused(&gateway, "in_flight_address"), 1.0);
}

#[test]
fn a_tunnel_does_not_count_as_a_request_in_progress() {
    let origin = Origin::scripted(|exchange| {
        exchange.body()?;
        if exchange.request.target != "/tunnel" {
            return exchange.answer("200 OK", "hello");
        }
        exchange.switch_protocols()?;
        exchange.echo()
    });
    let gateway = limited(&origin, "requests: { in_flight: 1, reserve: 0 }");
    let mut tunnel = gateway.connect();
    let handshake = get("/tunnel").websocket();
    tunnel.send(handshake.bytes());
    assert_eq!(tunnel.head().status, 101);
    tunnel.send("ping");
    assert_eq!(tunnel.exactly(4), b"ping");
    gateway.assert_serves(&origin);
    tunnel.send("pong");
    assert_eq!(tunnel.exactly(4), b"pong");
}

#[test]
fn requests_on_a_connection_are_limited_and_the_last_answer_says_close() {
    let origin = Origin::new();
    let gateway = limited(&origin, "connections: { requests: 3 }");
    let mut client = gateway.connect();
    let answers: Vec<_> = (0..3).map(|_| client.ask(&get("/x"))).collect();
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_ne!(answers[1].values("connection"), ["close"]);
    assert_eq!(answers[2].values("connection"), ["close"]);
    client.assert_closed();
    let mut client = Http2Client::connect(gateway.address());
    let statuses: Vec<_> = (0..3).map(|_| client.ask(&get("/y")).status).collect();
    assert_eq!(statuses, [200; 3]);
    client.wait_for_end().expect("a GOAWAY without an error");
}

#[test]
fn a_connection_that_is_too_old_ends_after_an_answer() {
    let origin = Origin::new();
    let gateway = limited(&origin, "connections: { age: 1s }");
    let mut client = gateway.connect();
    eventually("the last answer", || {
        let answer = client.ask(&get("/x"));
        assert_eq!(answer.status, 200);
        (answer.values("connection") == ["close"]).then_some(())
    });
    client.assert_closed();
    gateway.assert_serves(&origin);
}

#[test]
fn connections_from_a_denied_range_are_refused_and_a_reload_changes_the_list() {
    let (origin, folder) = (Origin::new(), Folder::new());
    folder.write("deny.list", "# known for nothing good\n127.0.0.2\n127.0.0.4/31\n");
    let list = folder.config(&origin, "limits: { allow: [127.0.0.5], deny_files: [deny.list] }\n");
    let gateway = folder.start(&list);
    let denied = |host: u8| !is_served(&gateway, host);
    assert_eq!([2, 3, 4, 5].map(denied), [true, false, true, false], "an allowed address is never denied");
    assert_eq!(refused(&gateway, "denied_address"), 2.0);
    let mut kept = gateway.connect_from(3);
    assert_eq!(kept.ask(&get("/x")).status, 200);
    folder.write("deny.list", "127.0.0.3\n");
    reload(&gateway, 2);
    assert_eq!([2, 3, 4].map(denied), [false, true, false]);
    let answer = kept.ask(&get("/x"));
    assert_eq!((answer.status, answer.values("connection")), (403, vec!["close"]));
    kept.assert_closed();
}

#[test]
fn a_hundred_thousand_ranges_are_loaded_from_a_file() {
    let (origin, folder) = (Origin::new(), Folder::new());
    let ranges: String = (0..100_000_u32)
        .map(|number| format!("{}/31\n", std::net::Ipv4Addr::from((10 << 24) | (number * 4))))
        .collect();
    folder.write("deny.list", format!("{ranges}127.0.0.2\n"));
    let gateway = folder.start(&folder.config(&origin, "limits: { allow: [], deny_files: [deny.list] }\n"));
    assert!(!is_served(&gateway, 2) && is_served(&gateway, 3));
}
