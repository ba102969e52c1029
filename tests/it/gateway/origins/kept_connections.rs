//! Connections to origins that are kept for the next requests.

use super::{config, gateway, get, post};
use crate::harness::{Client, Gate, Gateway, Message, Origin, Setup, Then, gateway_before, tokens};

/// An origin that answers once the gate is open. It closes each connection after the answer if `closes`.
fn behind(gate: &Gate, closes: bool) -> Origin {
    let gate = gate.clone();
    Origin::troubled(move |exchange| {
        exchange.body()?;
        gate.pass();
        exchange.answer("200 OK", "hello")?;
        Ok(if closes { Then::Close } else { Then::KeepAlive })
    })
}

/// Has `count` requests at the origin at once, and reads their answers.
fn ask_at_once(gateway: &Gateway, origin: &Origin, gate: &Gate, count: usize) {
    let ask = |_| {
        let mut client = gateway.connect();
        client.send(get("/").bytes());
        client
    };
    let clients: Vec<Client> = (0..count).map(ask).collect();
    origin.wait_until("all requests", |record| record.requests.len() == count);
    gate.open();
    for mut client in clients {
        assert_eq!(client.response().text(), "hello");
    }
}

#[test]
fn any_number_of_kept_connections_that_the_origin_has_closed_costs_no_request() {
    let gate = Gate::default();
    let origin = behind(&gate, true);
    let gateway = Setup::before(&origin).env("GATEWAY_THREADS", "1").start();
    ask_at_once(&gateway, &origin, &gate, 12);
    origin.wait_until("the end of all connections", |record| record.ended == 12);
    assert_eq!(gateway.ask(&post("/honest")).text(), "hello");
    assert_eq!((origin.requests().len(), origin.connections()), (13, 13));
}

#[test]
fn a_kept_connection_is_closed_after_its_time() {
    let origin = Origin::new();
    let gateway = gateway(&format!("domain: \"{}\", idle_timeout: 300ms", origin.url()));
    assert_eq!(gateway.ask(&get("/")).text(), "hello");
    origin.wait_until("the end of the connection", |record| record.ended == 1);
    assert_eq!(gateway.ask(&get("/")).text(), "hello");
    assert_eq!(origin.connections(), 2);
}

#[test]
fn only_so_many_connections_are_kept() {
    let gate = Gate::default();
    let origin = behind(&gate, false);
    let rest = "server: { threads: 1, upstream_keepalive_pool_size: 2 }\n";
    let gateway = Setup::bare().config(&config(&format!("domain: \"{}\"", origin.url()), rest)).start();
    ask_at_once(&gateway, &origin, &gate, 5);
    origin.wait_until("the end of three connections", |record| record.ended == 3);
    assert_eq!(gateway.ask(&get("/honest")).text(), "hello");
    assert_eq!((origin.connections(), origin.requests().len()), (5, 6));
}

/// An origin that closes its first connection after one request.
fn closes_first_connection() -> Origin {
    Origin::scripted(|exchange| {
        exchange.body()?;
        exchange.answer("200 OK", "hello")?;
        Ok(if exchange.request.connection == 0 { Then::Close } else { Then::KeepAlive })
    })
}

#[test]
fn a_pooled_connection_that_the_origin_closed_costs_no_request() {
    let origin = closes_first_connection();
    let gateway = gateway_before(&origin);
    assert_eq!(gateway.ask(&get("/1")).text(), "hello");
    origin.wait_until("the end of the first connection", |record| record.ended == 1);
    assert_eq!(gateway.ask(&get("/2")).text(), "hello");
    assert_eq!(gateway.ask(&Message::post("/3", "body").token(&tokens::valid())).text(), "hello");
    assert_eq!(origin.targets(), ["/1", "/2", "/3"]);
}

/// An origin that closes its first connection when the second request arrives on it.
fn hangs_up_on_the_second_request() -> Origin {
    Origin::scripted(|exchange| {
        exchange.body()?;
        if exchange.request.connection == 0 && exchange.request.target != "/1" {
            return Ok(Then::Close);
        }
        exchange.answer("200 OK", "hello")
    })
}

#[test]
fn a_get_is_sent_again_if_a_pooled_connection_breaks() {
    let origin = hangs_up_on_the_second_request();
    let gateway = gateway_before(&origin);
    assert_eq!(gateway.ask(&get("/1")).text(), "hello");
    assert_eq!(gateway.ask(&get("/2")).text(), "hello");
    assert_eq!(origin.targets(), ["/1", "/2", "/2"]);
    assert_eq!(origin.connections(), 2);
}

#[test]
fn a_post_is_never_sent_twice() {
    let origin = hangs_up_on_the_second_request();
    let gateway = gateway_before(&origin);
    assert_eq!(gateway.ask(&get("/1")).text(), "hello");
    let response = gateway.ask(&Message::post("/pay", "1000").token(&tokens::valid()));
    assert_eq!((response.status, response.text().as_str()), (502, "{}"));
    assert_eq!(gateway.ask(&get("/2")).text(), "hello");
    assert_eq!(origin.targets(), ["/1", "/pay", "/2"]);
}
