//! `enforce`: a route that refuses for a share of the clients, and observes the others.

use serde_json::json;

use crate::core::message_signing::Signer;
use crate::harness::tokens::{self, in_seconds};
use crate::harness::{Gateway, Message, Origin, Setup, config_before};

fn gateway(origin: &Origin, route: &str) -> Gateway {
    Setup::bare().config(&config_before(origin, &format!("routes: [ {{ path: /, {route} }} ]\n"))).start()
}

/// A request of this device with an expired token.
fn expired(device: usize) -> Message {
    Message::get("/a").token(&tokens::expired_of_device(&format!("device {device}")))
}

/// Whether each of these messages is refused.
fn refused(gateway: &Gateway, messages: impl IntoIterator<Item = Message>) -> Vec<bool> {
    let mut client = gateway.connect();
    let statuses = messages.into_iter().map(|message| client.ask(&message).status);
    let is_refused = |status| match status {
        401 => true,
        200 => false,
        other => panic!("{other}"),
    };
    statuses.map(is_refused).collect()
}

fn count(refused: &[bool]) -> usize {
    refused.iter().filter(|refused| **refused).count()
}

#[test]
fn a_share_of_the_devices_is_refused_and_always_the_same() {
    let origin = Origin::new();
    let gateway = gateway(&origin, "enforce: 30%");
    let first = refused(&gateway, (0..200).map(expired));
    let count = count(&first);
    // 3 σ of 200 choices at 30 %.
    assert!(count.abs_diff(60) <= 20, "{count}");
    assert_eq!(refused(&gateway, (0..200).map(expired)), first);
    assert_eq!(origin.requests().len(), 2 * (200 - count));
    let count = 2.0 * count as f64;
    gateway.wait_for_requests(&[("verdict", "rejected"), ("reason", "expired")], count);
    gateway.wait_for_requests(&[("verdict", "observed"), ("reason", "expired")], 400.0 - count);
}

#[test]
fn every_node_refuses_the_same_devices_whatever_the_reason() {
    let signer = Signer::install();
    let unsigned = |device: usize| {
        let did = format!("device {device}");
        let claims = json!({ "exp": in_seconds(3600), "did": did, "ipk": signer.ipk() });
        Message::get("/a").token(&tokens::with_claims(claims))
    };
    let origin = Origin::new();
    let [one, other] = [(); 2].map(|()| gateway(&origin, "enforce: 30%, message_signing: required"));
    let of_one = refused(&one, (0..100).map(expired));
    assert_eq!(refused(&other, (0..100).map(expired)), of_one);
    assert_eq!(refused(&other, (0..100).map(unsigned)), of_one);
    assert!((1..100).contains(&count(&of_one)));
    // A larger share refuses the same devices, and others.
    let larger = refused(&gateway(&origin, "enforce: 60%"), (0..100).map(expired));
    assert!(of_one.iter().zip(&larger).all(|(small, large)| !small || *large));
    assert!(count(&larger) > count(&of_one));
    let observed = (100 - count(&of_one)) as f64;
    let reason = |reason| [("verdict", "observed"), ("reason", reason)];
    other.wait_for_requests(&reason("missing_message_signature"), observed);
    other.wait_for_requests(&reason("expired"), observed);
}

#[test]
fn without_a_proven_device_the_address_decides() {
    let origin = Origin::new();
    let gateway = gateway(&origin, "enforce: 50%");
    let forged = |device: usize| {
        let claims = json!({ "exp": in_seconds(3600), "did": format!("device {device}") });
        Message::get("/a").token(&tokens::signed_with(&[7; 64], &claims))
    };
    let is_refused = |host: u8, message: &Message| gateway.connect_from(host).ask(message).status == 401;
    let addresses: Vec<bool> = (1..40).map(|host| is_refused(host, &Message::get("/a"))).collect();
    assert!((1..39).contains(&count(&addresses)));
    for (host, expected) in (1..40).zip(&addresses) {
        // A device that no key has signed for is any that the client likes.
        for device in 0..3 {
            assert_eq!(is_refused(host, &forged(device)), *expected, "127.0.0.{host}");
        }
    }
}

/// What client and origin see of honest, failing and odd requests.
fn seen(origin: &Origin, route: &str) -> Vec<(String, Option<String>)> {
    let gateway = gateway(origin, route);
    let bound = |message: Message| message.host("api.test").field("Authorization", "Bearer a");
    let messages = [
        Message::get("/a?b=%20c").token(&tokens::valid()),
        Message::post("/a", "body").token(&tokens::valid()),
        Message::post("/a", "body").token(&tokens::expired()),
        Message::get("/a").token(&tokens::wrongly_signed()),
        Message::get("/a").token(""),
        Message::get("/a").token("NO_NETWORK").field("Approov-Status", "no_network"),
        Message::get("/a").field("Approov-Gateway-Verdict", "accepted"),
        Message::new("OPTIONS", "/a"),
        Message::new("HEAD", "/a").token(&tokens::expired()),
        Message::get("/../a").token(&tokens::valid()),
    ];
    messages.map(bound).iter().map(|message| see(&gateway, origin, message)).collect()
}

fn see(gateway: &Gateway, origin: &Origin, message: &Message) -> (String, Option<String>) {
    let before = origin.requests().len();
    let answer = gateway.ask(message).undated();
    let arrived = origin.requests().into_iter().nth(before).map(|request| {
        let head = String::from_utf8(request.head).unwrap();
        let lines = head.split_inclusive("\r\n").filter(|line| !line.starts_with("x-request-id:"));
        lines.collect::<String>() + &String::from_utf8(request.body).unwrap()
    });
    (answer, arrived)
}

#[test]
fn nothing_and_everything_are_observe_and_protect_byte_for_byte() {
    let origin = Origin::new();
    let [observe, nothing, protect, everything] = [
        "policy: observe",
        "policy: protect, enforce: 0%",
        "policy: protect",
        "policy: protect, enforce: 100%",
    ]
    .map(|route| seen(&origin, route));
    assert_eq!(nothing, observe);
    assert_eq!(everything, protect);
    let arrived =
        |seen: &[(String, Option<String>)]| seen.iter().filter(|(_, arrived)| arrived.is_some()).count();
    assert_eq!((arrived(&observe), arrived(&protect)), (10, 3));
}
