//! Reloads with certificates that cannot be used.

use std::fs;

use rcgen::date_time_ymd;

use super::Identity;
use super::serving::{Edge, NAME, connect};
use crate::harness::tls::Authority;
use crate::harness::{Client, get};

#[test]
fn a_reload_with_an_unusable_certificate_changes_nothing_and_names_the_problem() {
    let edge = Edge::new();
    let config = edge.config("", "");
    let gateway = edge.start(&config);
    let mut open = connect(gateway.address(), &edge.trust().build(), NAME);
    assert_eq!(open.ask(&get("/")).status, 200);
    let leaf = |client: &Client| client.tls().peer_certificates().unwrap()[0].to_vec();
    let served = leaf(&open);

    let [chain, key] = ["own.pem", "own.key"].map(|name| fs::read_to_string(edge.folder.path(name)).unwrap());
    let other = Identity::new(&edge.authority, &[NAME]);
    let stranger = Authority::named("stranger");
    let expired = Identity::with(&edge.authority, &[NAME], |params| {
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
    });
    let half = |text: &str| text[..text.len() / 2].to_owned();
    let cases = [
        ("an empty certificate file", String::new(), key.clone()),
        ("text in place of a certificate", "not a certificate\n".to_owned(), key.clone()),
        ("a truncated certificate", half(&chain), key.clone()),
        ("an empty key file", chain.clone(), String::new()),
        ("a truncated key", chain.clone(), half(&key)),
        ("the key of another certificate", chain.clone(), other.key.clone()),
        ("the certificate of another key", other.chain.clone(), key.clone()),
        ("an expired certificate", expired.chain.clone(), expired.key.clone()),
        (
            "a chain with a certificate that did not issue the first",
            chain.clone() + &stranger.pem,
            key.clone(),
        ),
        ("key and certificate exchanged", key.clone(), chain.clone()),
    ];
    for (number, (what, chain, key)) in cases.iter().enumerate() {
        edge.folder.write("own.pem", chain);
        edge.folder.write("own.key", key);
        gateway.signal("HUP");
        let failures = (number + 1) as f64;
        gateway.wait_for_count("approov_gateway_config_reloads_total", &[("result", "failure")], failures);
        let problems = gateway.version()["config_refused"]["problems"].to_string();
        assert!(problems.contains("listeners[0].tls.certificates[0]."), "{what}: {problems}");
        let is_shown = |file: &String| file.lines().nth(1).is_some_and(|line| problems.contains(line));
        assert!(!is_shown(key) && !is_shown(chain), "{what}: {problems}");
        assert_eq!(open.ask(&get("/")).status, 200, "{what}");
        assert_eq!(leaf(&connect(gateway.address(), &edge.trust().build(), NAME)), served, "{what}");
    }

    let renewed = Identity::new(&edge.authority, &[NAME]);
    edge.folder.identity("own", &renewed);
    crate::lifecycle::reload::reload(&gateway, 2);
    assert_ne!(leaf(&connect(gateway.address(), &edge.trust().build(), NAME)), served);
    assert_eq!(open.ask(&get("/")).status, 200);
}
