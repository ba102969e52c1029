//! Request ids: made for every client, kept from trusted proxies, and told to client, origin and log.

use crate::harness::{
    Gateway, Http2Client, Message, Origin, Setup, Then, config_before, gateway_before, get,
};

const NAME: &str = "x-request-id";

/// A gateway that trusts 127.0.0.1 as a proxy.
fn behind_proxy(origin: &Origin, more: &str) -> Gateway {
    let proxies = "trusted_proxies: { ranges: [127.0.0.1] }";
    let listeners = format!("listeners: [ {{ address: \"127.0.0.1:0\", {proxies} }} ]\n");
    let config = config_before(origin, &format!("{listeners}{more}"));
    Setup::bare().without("GATEWAY_LISTEN").config(&config).start()
}

fn is_made(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[test]
fn client_origin_and_log_get_the_same_id() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let answer = gateway.ask(&get("/a"));
    let id = answer.values(NAME)[0];
    assert!(is_made(id), "{id}");
    assert_eq!(origin.only_request().values(NAME), [id]);
    assert_eq!(gateway.wait_for_entry(|entry| entry["url.path"] == "/a")["request.id"], id);
}

#[test]
fn answers_of_the_gateway_have_an_id_that_is_logged() {
    let origin = Origin::refusing();
    let mut gateway = gateway_before(&origin);
    let mut unparsed = gateway.connect();
    unparsed.send("GET /unparsed HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    let mut answers = vec![("/unparsed", unparsed.response())];
    answers.push(("/refused", gateway.ask(&Message::get("/refused"))));
    answers.push(("/host", gateway.ask(&get("/host").host("a b"))));
    answers.push(("/failed", gateway.ask(&get("/failed"))));
    let statuses: Vec<_> = answers.iter().map(|(_, answer)| answer.status).collect();
    assert_eq!(statuses, [400, 401, 400, 502]);
    let mut ids: Vec<String> = Vec::new();
    for (path, answer) in &answers {
        let [id] = answer.values(NAME)[..] else { panic!("{path}: {:?}", answer.fields) };
        assert!(is_made(id) && !ids.contains(&id.to_owned()), "{path}: {id}");
        ids.push(id.to_owned());
        assert_eq!(gateway.wait_for_entry(|entry| entry["url.path"] == *path)["request.id"], id);
    }
    gateway.signal("TERM");
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
}

#[test]
fn a_refused_grpc_call_has_an_id() {
    let origin = Origin::new();
    let config = config_before(&origin, "listeners: [ { address: \"127.0.0.1:0\", h2c: true } ]\n");
    let gateway = Setup::bare().without("GATEWAY_LISTEN").config(&config).start();
    let call = Message::new("POST", "/s/m").field("Content-Type", "application/grpc");
    let answer = Http2Client::connect(gateway.address()).ask(&call);
    assert_eq!(answer.values("grpc-status"), ["16"]);
    assert!(is_made(answer.values(NAME)[0]), "{:?}", answer.fields);
}

#[test]
fn a_client_cannot_choose_its_id_in_any_spelling() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let forged = ["X-Request-Id", "x_request_id", "X.Request.Id", "X-Request_ID"];
    let message = forged.iter().fold(get("/"), |message, name| message.field(name, "forged"));
    let answer = gateway.ask(&message);
    assert!(is_made(answer.values(NAME)[0]));
    let request = origin.only_request();
    assert_eq!(request.values(NAME), answer.values(NAME));
    assert!(!String::from_utf8_lossy(&request.head).contains("forged"));
}

#[test]
fn the_id_of_a_trusted_proxy_is_kept_if_it_is_plain_and_short() {
    let origin = Origin::new();
    let gateway = behind_proxy(&origin, "");
    let long = "x".repeat(128);
    for id in ["7f3c/11:x-y_z.~+=@", &long] {
        let answer = gateway.ask(&get("/kept").field("X-Request-Id", id));
        assert_eq!(answer.values(NAME), [id]);
        assert_eq!(origin.requests().pop().expect("a request").values(NAME), [id]);
        gateway.wait_for_entry(|entry| entry["request.id"] == id);
    }
    for id in ["a b", "a\"b", "", &format!("{long}x")] {
        let answer = gateway.ask(&get("/made").field("X-Request-Id", id));
        assert!(is_made(answer.values(NAME)[0]), "{id}: {:?}", answer.fields);
    }
    let twice = get("/twice").field("X-Request-Id", "a").field("X-Request-Id", "b");
    assert!(is_made(gateway.ask(&twice).values(NAME)[0]));
    let refused = gateway.ask(&Message::get("/refused").field("X-Request-Id", "kept-too"));
    assert_eq!((refused.status, refused.values(NAME)), (401, vec!["kept-too"]));
    // Another peer is a client.
    let mut other = gateway.connect_from(2);
    assert!(is_made(other.ask(&get("/").field("X-Request-Id", "forged")).values(NAME)[0]));
}

#[test]
fn the_origins_own_id_does_not_reach_the_client() {
    let origin = Origin::scripted(|exchange| {
        exchange.send("HTTP/1.1 200 OK\r\nX-Request-Id: own\r\nContent-Length: 2\r\n\r\nok")?;
        Ok(Then::KeepAlive)
    });
    let gateway = gateway_before(&origin);
    let answer = gateway.ask(&get("/"));
    let [id] = answer.values(NAME)[..] else { panic!("{:?}", answer.fields) };
    assert!(is_made(id), "{id}");
}

#[test]
fn another_header_or_none_can_be_chosen() {
    let origin = Origin::new();
    let config = config_before(&origin, "request_id: { header: X-Correlation }\n");
    let gateway = Setup::bare().config(&config).start();
    let answer = gateway.ask(&get("/").field("X-Request-Id", "the client's"));
    assert!(is_made(answer.values("x-correlation")[0]));
    assert_eq!(origin.only_request().values(NAME), ["the client's"]);

    let origin = Origin::new();
    let config = config_before(&origin, "request_id: { enabled: false }\n");
    let gateway = Setup::bare().config(&config).start();
    let answer = gateway.ask(&get("/off").field("X-Request-Id", "the client's"));
    assert!(answer.values(NAME).is_empty());
    assert_eq!(origin.only_request().values(NAME), ["the client's"]);
    let entry = gateway.wait_for_entry(|entry| entry["url.path"] == "/off");
    assert_eq!(entry.get("request.id"), None);
}
