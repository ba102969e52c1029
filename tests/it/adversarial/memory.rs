//! Attacks on the memory of a gateway that has 512 MiB.

use std::io::Write;
use std::net::TcpStream;
use std::time::Instant;

use super::get;
use crate::harness::{
    Client, DEADLINE, Gateway, Http2Client, MemoryGroup, Message, Origin, Setup, Then, config_before,
    gateway_before, tokens,
};

const LIMIT: u64 = 512 * 1024 * 1024;

/// Answers `/endless…` without end and keeps silent about `/silent…`.
pub(super) fn hostile_origin() -> Origin {
    Origin::troubled(|exchange| {
        if exchange.request.target.starts_with("/silent") {
            return exchange.wait_for_hangup();
        }
        exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        // Ends when the gateway closes the connection.
        while exchange.send(&chunk).is_ok() {}
        Ok(Then::Close)
    })
}

/// Connections from 127.0.0.2 to 127.0.0.10, in turn.
fn connect(gateway: &Gateway, number: usize) -> Client {
    gateway.connect_from(2 + u8::try_from(number % 9).unwrap())
}

/// Heads that are as long as permitted and do not end.
fn unfinished_heads(gateway: &Gateway) -> Vec<Client> {
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(7000));
    (0..400)
        .map(|number| {
            let mut client = connect(gateway, number);
            let _ = client.try_send(&head);
            client
        })
        .collect()
}

/// Downloads that the client does not read.
fn unread_downloads(gateway: &Gateway) -> Vec<Client> {
    (0..200)
        .map(|number| {
            let mut client = connect(gateway, number);
            let _ = client.try_send(get(&format!("/endless/{number}")).bytes());
            client
        })
        .collect()
}

/// Uploads that the origin does not read.
fn unread_uploads(gateway: &Gateway) -> Vec<TcpStream> {
    let message = get("/silent/upload").field("Content-Length", "1000000000").bytes();
    (0..100)
        .map(|_| {
            let mut stream = TcpStream::connect(gateway.address()).unwrap();
            stream.write_all(&message).unwrap();
            stream.set_nonblocking(true).unwrap();
            // Until the buffers of the kernel and of the gateway are full.
            while stream.write(&[0; 65536]).is_ok() {}
            stream
        })
        .collect()
}

/// HTTP/2 connections with as many open streams as permitted, and floods of resets.
fn streams(gateway: &Gateway) -> Vec<Http2Client> {
    (0..10)
        .map(|number| {
            let mut client = Http2Client::connect(gateway.address());
            let target = format!("/endless/h2/{number}");
            for _ in 0..50 {
                let _ = client.begin(&get(&target), true);
            }
            let _ = client.send_and_reset(&Message::get("/x"), 2000);
            client
        })
        .collect()
}

/// Requests of many devices, addresses and forged tokens, which fill the tables of the limits.
fn many_keys(gateway: &Gateway) {
    let mut client = gateway.connect();
    for number in 0..1000 {
        let token = if number % 2 == 0 {
            tokens::of_device(&format!("device-{number}"))
        } else {
            tokens::wrongly_signed()
        };
        if client.try_send(Message::get("/honest").token(&token).bytes()).is_err()
            || client.try_response_to("GET").is_err()
        {
            client = gateway.connect();
        }
    }
}

/// Clients that read the head of an endless answer and nothing of its body.
#[test]
fn clients_that_read_nothing_of_their_answers_hold_little_memory_and_it_comes_back() {
    const CLIENTS: u64 = 500;
    let origin = hostile_origin();
    let gateway = gateway_before(&origin);
    gateway.assert_serves(&origin);
    let before = gateway.memory();
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let mut client = Client::connect_with_small_window(gateway.address());
        client.send(get(&format!("/endless/{number}")).bytes());
        assert_eq!(client.head().status, 200);
        clients.push(client);
    }
    let mut peak = 0;
    for _ in 0..50 {
        gateway.assert_serves(&origin);
        peak = peak.max(gateway.memory());
    }
    let each = (peak - before.min(peak)) / CLIENTS;
    println!("{each} KiB for each client");
    assert!(each < 192, "memory grew from {before} to {peak} KiB, {each} for each client");

    drop(clients);
    let start = Instant::now();
    // The allocator returns memory while it is used.
    while gateway.memory() > before + (peak - before) / 2 {
        assert!(start.elapsed() < DEADLINE, "{} KiB are left of {peak}, {before} before", gateway.memory());
        gateway.assert_serves(&origin);
    }
}

/// A number that is not written fits the memory of the control group.
#[test]
fn requests_in_flight_are_derived_from_the_memory_of_the_group() {
    let Some(group) = MemoryGroup::new(LIMIT) else { return };
    let origin = hostile_origin();
    let gateway = Setup::before(&origin).under(&["sh", "-c", &group.starter()]).start();
    gateway.wait_for_message("limits.requests.in_flight is not written: 2048, fitting 512 MiB of memory");
}

#[test]
fn no_attack_makes_the_kernel_kill_a_gateway_with_512_mib() {
    let Some(group) = MemoryGroup::new(LIMIT) else { return };
    let origin = hostile_origin();
    let listeners = "listeners: [ { address: \"127.0.0.1:0\", h2c: true } ]\n\
                     limits: { allow: [127.0.0.1], rate: [ { by: device, rate: 100000/s } ] }\n";
    let gateway = Setup::bare()
        .without("GATEWAY_LISTEN")
        .config(&config_before(&origin, listeners))
        .under(&["sh", "-c", &group.starter()])
        .start();
    gateway.assert_serves(&origin);
    let before = group.peak();
    let heads = unfinished_heads(&gateway);
    gateway.assert_serves(&origin);
    let downloads = unread_downloads(&gateway);
    gateway.assert_serves(&origin);
    let uploads = unread_uploads(&gateway);
    gateway.assert_serves(&origin);
    let streams = streams(&gateway);
    gateway.assert_serves(&origin);
    many_keys(&gateway);
    gateway.assert_serves(&origin);
    println!("MiB: {before} before the attacks, at most {} under attack", group.peak());
    assert_eq!(group.kills(), 0);
    drop((heads, downloads, uploads, streams));
    gateway.assert_serves(&origin);
    drop(gateway);
}
