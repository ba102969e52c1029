//! Keys change while requests are verified with them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::{Answer, KeyServer, SigningKey, config, gateway, set_of, wait_for_keys};
use crate::harness::{Folder, Origin, SetOnDrop, Setup, eventually};

#[test]
fn a_rotation_under_load_refuses_no_request() {
    let (old, new) = (Arc::new(SigningKey::new("old")), Arc::new(SigningKey::new("new")));
    let (origin, server) = (Origin::new(), KeyServer::with_keys(&[&old]));
    let gateway = gateway(&origin, &server.url());
    let signing = Mutex::new(Arc::clone(&old));
    let (is_over, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let over = SetOnDrop(&is_over);
        let apps: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut refused = 0;
                    while !is_over.load(Ordering::Relaxed) {
                        let key = Arc::clone(&signing.lock().unwrap());
                        refused += usize::from(gateway.ask(&key.request()).status != 200);
                        sent.fetch_add(1, Ordering::Relaxed);
                    }
                    refused
                })
            })
            .collect();
        // As Approov does it: the new key is published before it signs, the old one removed later.
        let keep_going = |count: usize| {
            let before = sent.load(Ordering::Relaxed);
            eventually("more requests", || (sent.load(Ordering::Relaxed) >= before + count).then_some(()));
        };
        keep_going(50);
        server.set(Answer::Set(set_of(&[&old, &new])));
        wait_for_keys(&gateway, 2);
        *signing.lock().unwrap() = Arc::clone(&new);
        keep_going(50);
        server.set(Answer::Set(set_of(&[&new])));
        wait_for_keys(&gateway, 1);
        keep_going(50);
        drop(over);
        let refused: usize = apps.into_iter().map(|app| app.join().unwrap()).sum();
        assert_eq!(refused, 0, "of {} requests", sent.load(Ordering::Relaxed));
    });
    assert_eq!(gateway.ask(&old.request()).status, 401, "the old key is gone");
    gateway.wait_for_requests(&[("reason", "unknown_key")], 1.0);
    assert_eq!(origin.requests().len(), sent.into_inner());
}

#[test]
fn a_token_that_was_accepted_is_refused_once_its_key_is_gone() {
    let (key, next, impostor) = (SigningKey::new("key"), SigningKey::new("next"), SigningKey::new("key"));
    let (origin, server) = (Origin::new(), KeyServer::with_keys(&[&key]));
    let gateway = gateway(&origin, &server.url());
    let request = key.request();
    assert_eq!([(); 3].map(|()| gateway.ask(&request).status), [200; 3]);
    // Another key has its id now.
    server.set(Answer::Set(set_of(&[&impostor, &next])));
    wait_for_keys(&gateway, 2);
    assert_eq!(gateway.ask(&request).status, 401);
    gateway.wait_for_requests(&[("reason", "bad_signature")], 1.0);
    server.set(Answer::Set(set_of(&[&next])));
    wait_for_keys(&gateway, 1);
    assert_eq!(gateway.ask(&request).status, 401);
    gateway.wait_for_requests(&[("reason", "unknown_key")], 1.0);
    server.set(Answer::Set(set_of(&[&key, &next])));
    wait_for_keys(&gateway, 2);
    assert_eq!(gateway.ask(&request).status, 200);
    assert_eq!(origin.requests().len(), 4);
}

#[test]
fn a_set_that_has_not_changed_is_not_sent_again() {
    let key = SigningKey::new("a");
    let (origin, server) = (Origin::new(), KeyServer::with_keys(&[&key]));
    let gateway = gateway(&origin, &server.url());
    server.wait_for_fetches(3);
    let tags: Vec<_> =
        server.server.requests().iter().map(|request| request.values("if-none-match").len()).collect();
    assert_eq!(&tags[..3], [0, 1, 1]);
    gateway.wait_for_log(|_, stderr| String::from_utf8_lossy(stderr).matches("1 keys in force").count() == 1);
    assert_eq!(gateway.ask(&key.request()).status, 200);
}

#[test]
fn a_watched_file_of_keys_rotates_without_a_signal() {
    let (old, new) = (SigningKey::new("old"), SigningKey::new("new"));
    let (folder, origin) = (Folder::new(), Origin::new());
    let file = folder.write("keys.json", set_of(&[&old]));
    let entry = format!("jwks_file: {}", file.display());
    let config = config(&origin, &entry, "server: { watch: true }\n");
    let gateway = Setup::bare().config(&config).start();
    assert_eq!(gateway.ask(&old.request()).status, 200);
    assert_eq!(gateway.ask(&new.request()).status, 401);
    folder.write("keys.new", set_of(&[&old, &new]));
    std::fs::rename(folder.path("keys.new"), &file).unwrap();
    eventually("the new key", || (gateway.ask(&new.request()).status == 200).then_some(()));
    assert_eq!(gateway.ask(&old.request()).status, 200);
    folder.write("keys.json", "{}");
    gateway.wait_for_message("this is not a JWK set");
    assert_eq!(gateway.ask(&new.request()).status, 200, "a set that is none changes nothing");
}
