//! Starts: with a cache file, and without any key.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use super::{Answer, KeyServer, SigningKey, config, set_of, wait_for_keys};
use crate::harness::{Folder, Origin, Setup, eventually};

#[test]
fn without_any_key_the_answer_is_503_until_the_set_is_there() {
    let key = SigningKey::new("a");
    let (origin, mut server) = (Origin::new(), KeyServer::closed());
    let gateway = super::gateway(&origin, &server.url());
    let refused = gateway.ask(&key.request());
    assert_eq!(refused.status, 503, "it is not the client's fault");
    gateway.wait_for_requests(&[("verdict", "rejected"), ("reason", "keys_unavailable")], 1.0);
    gateway.wait_for_message("there is no set yet, and requests that need it get 503");
    assert_eq!(gateway.metrics().sum("approov_gateway_key_set_last_success_timestamp_seconds", &[]), 0.0);
    assert_eq!(gateway.admin("/readyz").status, 200);
    assert_eq!(origin.bytes(), 0);
    server.open(Answer::Set(set_of(&[&key])));
    wait_for_keys(&gateway, 1);
    assert_eq!(gateway.ask(&key.request()).status, 200);
}

#[test]
fn a_set_with_secrets_only_is_no_set() {
    let key = SigningKey::new("a");
    let secret =
        "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"a\",\"k\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}]}";
    let (origin, server) = (Origin::new(), KeyServer::new(Answer::Set(secret.into())));
    let gateway = super::gateway(&origin, &server.url());
    assert_eq!(gateway.ask(&key.request()).status, 503);
    assert_eq!(origin.bytes(), 0);
}

#[test]
fn the_cache_file_serves_a_start_without_the_server() {
    let (key, next) = (SigningKey::new("a"), SigningKey::new("b"));
    let (folder, origin) = (Folder::new(), Origin::new());
    let mut server = KeyServer::with_keys(&[&key]);
    let cache = folder.path("keys.json");
    let entry = format!("jwks_uri: \"{}\", refresh: 1s, cache_file: {}", server.url(), cache.display());
    let start = || Setup::bare().config(&config(&origin, &entry, "")).start();
    let first = start();
    eventually("the cache file", || cache.exists().then_some(()));
    assert_eq!(cached(&cache), set_of(&[&key]));
    assert_eq!(fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o600);
    server.set(Answer::Set(set_of(&[&key, &next])));
    wait_for_keys(&first, 2);
    eventually("the next set in the file", || (cached(&cache) == set_of(&[&key, &next])).then_some(()));
    server.kill();
    drop(first);
    let second = start();
    second.wait_for_message("2 keys of the cache file are in force");
    for key in [&key, &next] {
        assert_eq!(second.ask(&key.request()).status, 200);
    }
    assert_eq!(fs::read_dir(folder.path("")).unwrap().count(), 1, "no other file is left behind");
    drop(second);
    fs::write(&cache, "{}").unwrap();
    let third = start();
    third.wait_for_message("is not used: it is not a cache file of the gateway");
    assert_eq!(third.ask(&key.request()).status, 503);
}

/// The set in a cache file.
fn cached(path: &Path) -> String {
    let file: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    file["set"].as_str().unwrap().to_owned()
}

#[test]
fn the_cache_file_of_another_url_serves_no_start() {
    let key = SigningKey::new("a");
    let (folder, origin) = (Folder::new(), Origin::new());
    let mut server = KeyServer::with_keys(&[&key]);
    let cache = folder.path("keys.json");
    let url = server.url();
    let start = |query: &str| {
        let entry = format!("jwks_uri: \"{url}{query}\", cache_file: {}", cache.display());
        Setup::bare().config(&config(&origin, &entry, "")).start()
    };
    let first = start("?account=1");
    eventually("the cache file", || cache.exists().then_some(()));
    assert_eq!(first.ask(&key.request()).status, 200);
    drop(first);
    server.kill();
    let other = start("?account=2");
    other.wait_for_message("is not used: it has the set of another URL");
    assert_eq!(other.ask(&key.request()).status, 503);
    drop(other);
    assert_eq!(start("?account=1").ask(&key.request()).status, 200);
    assert_eq!(origin.requests().len(), 2);
    assert!(!fs::read_to_string(&cache).unwrap().contains("account"), "a query may be a secret");
}

#[test]
fn a_cache_file_that_cannot_be_written_is_a_warning() {
    let key = SigningKey::new("a");
    let (origin, server) = (Origin::new(), KeyServer::with_keys(&[&key]));
    let entry = format!("jwks_uri: \"{}\", cache_file: /nonexistent/keys.json", server.url());
    let gateway = Setup::bare().config(&config(&origin, &entry, "")).start();
    gateway.wait_for_message("the cache file /nonexistent/keys.json cannot be written");
    assert_eq!(gateway.ask(&key.request()).status, 200);
}
