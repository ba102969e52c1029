//! Bodies that are held back until their digest is verified: how many, and how much memory.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::{App, digested, gateway};
use crate::harness::{Client, Message, Origin, eventually};

const KIB: u64 = 1024;

/// The most bodies that are held back at a time.
const MOST: usize = 1024;

/// The most memory that they take altogether, in KiB.
const STATED: u64 = 192 * KIB;

#[test]
fn a_thousand_held_bodies_stay_under_the_stated_memory_and_the_next_one_has_to_wait() {
    let origin = Origin::new();
    let limits = "limits: { allow: [127.0.0.1], requests: { in_flight: 2000 } }\n";
    let gateway = gateway(&origin, "mode: required", limits);
    let body = "x".repeat(64 * 1024);
    let digest = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(&body)));
    let message = digested(&App::install(), Message::post("/a", &*body), &digest);
    assert_eq!(gateway.ask(&message).status, 200);
    let before = gateway.memory();

    let bytes = message.bytes();
    let (first, last) = bytes.split_at(bytes.len() - 1);
    let mut clients: Vec<Client> = (0..MOST)
        .map(|_| {
            let mut client = gateway.connect();
            client.send(first);
            client
        })
        .collect();
    gateway.wait_for_count("approov_gateway_requests_in_flight", &[], MOST as f64);
    // The gateway has read them: they are in its own memory, not in the kernel's.
    eventually("the bodies", || (gateway.memory() >= before + 62 * KIB).then_some(()));
    assert_eq!(gateway.ask(&message).status, 503);
    let held = gateway.memory() - before;
    println!("{} MiB for {MOST} bodies of 64 KiB", held / KIB);
    assert!(held < STATED, "{held} KiB");
    assert_eq!(origin.requests().len(), 1, "no byte of a body that is not verified");
    gateway.wait_for_requests(&[("verdict", "denied"), ("reason", "limit")], 1.0);

    for client in &mut clients {
        client.send(last);
        assert_eq!(client.response_to("POST").status, 200);
    }
    assert_eq!(gateway.ask(&message).status, 200, "there is room again");
    let requests = origin.requests();
    assert_eq!(requests.len(), MOST + 2);
    assert!(requests.iter().all(|request| request.body == body.as_bytes()));
}
