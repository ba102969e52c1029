//! A server of key sets that is gone, slow, or answers with something else.

use serde_json::json;

use super::{Answer, KeyServer, SigningKey, config, gateway, set_of, wait_for_keys};
use crate::harness::tls::Authority;
use crate::harness::{Folder, Gateway, Origin, Setup, gateway_command, run};

const FETCHES: &str = "approov_gateway_key_set_fetches_total";

fn assert_serves(gateway: &Gateway, key: &SigningKey) {
    assert_eq!(gateway.ask(&key.request()).status, 200, "the last set stays in force");
}

#[test]
fn interim_answers_before_the_set_are_skipped() {
    let key = SigningKey::new("a");
    let (origin, server) = (Origin::new(), KeyServer::with_keys(&[&key]));
    let set = set_of(&[&key]);
    let interim = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(2);
    let last = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{set}", set.len());
    server.set(Answer::Bytes(interim + &last));
    assert_serves(&gateway(&origin, &server.url()), &key);
}

#[test]
fn the_last_set_stays_in_force_whatever_the_server_answers() {
    let key = SigningKey::new("a");
    let (origin, server) = (Origin::new(), KeyServer::with_keys(&[&key]));
    let gateway = gateway(&origin, &server.url());
    let with_body = |status: &str, body: &str| {
        Answer::Bytes(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
    };
    let secret = json!({ "keys": [{ "kty": "oct", "kid": "a", "k": "A".repeat(64) }] }).to_string();
    let many = json!({ "keys": vec![key.jwk(); 65] }).to_string();
    let good = set_of(&[&key]);
    for (answer, message) in [
        (with_body("500 Oops", &good), "the server answers 500"),
        (with_body("404 Not Found", ""), "the server answers 404"),
        (with_body("200 OK", "<html>"), "this is not a JWK set"),
        (with_body("200 OK", "{\"keys\":[]}"), "has no key that the gateway can use"),
        (with_body("200 OK", &many), "has more than 64 keys"),
        (with_body("200 OK", &secret), "has no key that the gateway can use"),
        (with_body("200 OK", &good[..20]), "this is not a JWK set"),
        (
            Answer::Bytes(format!("HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{good}")),
            "closes the connection before its response is complete",
        ),
        (
            Answer::Bytes(
                "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n".into(),
            ),
            "a redirect, which is not followed",
        ),
        (Answer::Bytes("SSH-2.0-OpenSSH\r\n".into()), "is not an HTTP response"),
        (Answer::Endless, "sends more than 256 KiB"),
        (
            Answer::Bytes(format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "a".repeat(1 << 20))),
            "not an HTTP response",
        ),
    ] {
        let before = gateway.stderr().len();
        server.set(answer);
        gateway.wait_for_log(|_, stderr| String::from_utf8_lossy(&stderr[before..]).contains(message));
        assert_serves(&gateway, &key);
    }
    let log = String::from_utf8(gateway.stderr()).unwrap();
    assert!(log.contains("the last set stays in force (1 keys)"), "{log}");
    assert!(gateway.metrics().sum(FETCHES, &[("result", "failure")]) >= 12.0);
    let last = gateway.metrics().sum("approov_gateway_key_set_last_success_timestamp_seconds", &[]);
    server.set(Answer::Set(good));
    // A later second, when the server is itself again.
    crate::harness::eventually("a successful fetch", || {
        let now = gateway.metrics().sum("approov_gateway_key_set_last_success_timestamp_seconds", &[]);
        (now > last).then_some(())
    });
    assert_serves(&gateway, &key);
}

#[test]
fn a_server_that_dies_takes_no_key_along() {
    let key = SigningKey::new("a");
    let (origin, mut server) = (Origin::new(), KeyServer::with_keys(&[&key]));
    let gateway = gateway(&origin, &server.url());
    wait_for_keys(&gateway, 1);
    server.kill();
    gateway.wait_for_message("check that the key server runs and listens there; the last set stays in force");
    assert_serves(&gateway, &key);
    // A reload keeps the set too.
    gateway.signal("HUP");
    gateway.wait_for_message("configuration reloaded, generation 2");
    assert_serves(&gateway, &key);
    wait_for_keys(&gateway, 1);
}

#[test]
fn a_server_that_sends_nothing_holds_up_no_request() {
    let key = SigningKey::new("a");
    let (origin, server) = (Origin::new(), KeyServer::with_keys(&[&key]));
    let gateway = gateway(&origin, &server.url());
    server.set(Answer::Silence);
    server.wait_for_fetches(3);
    assert_serves(&gateway, &key);
    gateway.wait_for_message("the server does not send it within 10s");
    assert_serves(&gateway, &key);
}

#[test]
fn keys_come_over_tls_from_a_server_whose_certificate_is_verified() {
    let (key, authority, folder) = (SigningKey::new("a"), Authority::new(), Folder::new());
    let set = set_of(&[&key]);
    let server = Origin::scripted_with_tls(authority.server_named("localhost"), move |exchange| {
        exchange.answer("200 OK", &set)
    });
    let root = folder.write("root.pem", &authority.pem);
    let other = folder.write("other.pem", Authority::named("Another root").pem);
    let origin = Origin::new();
    let config = config(&origin, &format!("jwks_uri: \"{}/keys\"", server.url()), "");
    let start = |root: &std::path::Path| {
        Setup::bare().env("SSL_CERT_FILE", root.to_str().unwrap()).config(&config).start()
    };
    let stranger = start(&other);
    assert_eq!(stranger.ask(&key.request()).status, 503);
    stranger.wait_for_message("add the authority to the certificates of the system, or set SSL_CERT_FILE");
    assert!(server.requests().is_empty());
    assert_eq!(start(&root).ask(&key.request()).status, 200);
}

#[test]
fn check_connect_fetches_the_set_or_says_what_is_wrong() {
    let key = SigningKey::new("a");
    let (folder, origin) = (Folder::new(), Origin::new());
    let server = KeyServer::with_keys(&[&key]);
    let entry = format!("jwks_uri: \"{}?v=1\"", server.url());
    let file = folder.write("gateway.yaml", config(&origin, &entry, ""));
    let check = || run(&mut gateway_command(&["check", "--connect", "-c", file.to_str().unwrap()]));
    let exit = check();
    assert_eq!(exit.status.code(), Some(0), "{exit:?}");
    assert!(exit.stdout.contains(&format!("key set {}: 1 keys\n", server.url())), "{exit:?}");
    assert!(exit.stdout.contains("every 10m"), "{exit:?}");
    assert_eq!(server.server.targets(), ["/jwks.json?v=1"]);
    server.set(Answer::Bytes("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".into()));
    let exit = check();
    assert_eq!(exit.status.code(), Some(78), "{exit:?}");
    let expected = format!("key set {}: the server answers 403; check the URL", server.url());
    assert!(exit.stderr.contains(&expected), "{exit:?}");
}

#[test]
fn inspect_fetches_the_set_to_judge_a_token() {
    let (key, other) = (SigningKey::new("a"), SigningKey::new("a"));
    let (folder, origin) = (Folder::new(), Origin::new());
    let server = KeyServer::with_keys(&[&key]);
    let entry = format!("jwks_uri: \"{}\"", server.url());
    let file = folder.write("gateway.yaml", config(&origin, &entry, ""));
    let inspect =
        |token: String| run(&mut gateway_command(&["inspect", "-c", file.to_str().unwrap(), &token]));
    assert_eq!(inspect(key.token()).status.code(), Some(0));
    let exit = inspect(other.token());
    assert_eq!(exit.status.code(), Some(1));
    assert!(exit.stderr.contains("bad_signature"), "{exit:?}");
    server.set(Answer::Bytes("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".into()));
    let exit = inspect(key.token());
    assert!(exit.stderr.contains("the server answers 403"), "{exit:?}");
    assert!(exit.stderr.contains("keys_unavailable"), "{exit:?}");
}
