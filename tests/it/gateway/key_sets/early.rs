//! Tokens that name unknown keys.

use std::thread;
use std::time::Duration;

use super::{Answer, KeyServer, SigningKey, config, set_of, wait_for_keys};
use crate::harness::{Gateway, Message, Origin, Setup, eventually};

/// A gateway that fetches the set once a day.
fn daily(origin: &Origin, server: &KeyServer) -> Gateway {
    let entry = format!("jwks_uri: \"{}\", refresh: 24h", server.url());
    Setup::bare().config(&config(origin, &entry, "")).start()
}

#[test]
fn a_thousand_invented_keys_cause_one_fetch() {
    let key = SigningKey::new("a");
    let (origin, server) = (Origin::new(), KeyServer::with_keys(&[&key]));
    let gateway = daily(&origin, &server);
    assert_eq!(server.fetches(), 1);
    let mut client = gateway.connect();
    let mut invent = |range: std::ops::Range<usize>| {
        for number in range {
            let token = key.token_with_id(&format!("invented {number}"));
            assert_eq!(client.ask(&Message::get("/a").token(&token)).status, 401);
        }
    };
    invent(0..500);
    server.wait_for_fetches(2);
    invent(500..1000);
    // The task looks once a second: a third fetch would begin in this time.
    thread::sleep(Duration::from_millis(2500));
    assert_eq!(server.fetches(), 2);
    assert_eq!(gateway.ask(&key.request()).status, 200);
    assert_eq!(origin.requests().len(), 1);
    gateway.wait_for_requests(&[("reason", "unknown_key")], 1000.0);
}

#[test]
fn a_key_that_was_added_is_found_before_the_next_fetch_is_due() {
    let (old, new) = (SigningKey::new("old"), SigningKey::new("new"));
    let (origin, server) = (Origin::new(), KeyServer::with_keys(&[&old]));
    let gateway = daily(&origin, &server);
    server.set(Answer::Set(set_of(&[&old, &new])));
    assert_eq!(gateway.ask(&new.request()).status, 401);
    wait_for_keys(&gateway, 2);
    eventually("the new key", || (gateway.ask(&new.request()).status == 200).then_some(()));
    assert_eq!(server.fetches(), 2);
}
