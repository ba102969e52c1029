//! Bodies larger than any buffer, and peers that close the connection in the middle of a body.

use std::thread;

use crate::harness::{Message, Origin, Then, gateway_before, tokens};

const MIB: u64 = 1024 * 1024;

/// Limit for the growth of the gateway's memory, in KiB.
const GROWTH: u64 = 64 * 1024;

fn head(method: &str, target: &str, length: u64) -> String {
    let token = tokens::valid();
    format!(
        "{method} {target} HTTP/1.1\r\nHost: a\r\nApproov-Token: {token}\r\nContent-Length: {length}\r\n\r\n"
    )
}

/// Bytes that differ by position.
fn pattern(length: u64) -> Vec<u8> {
    (0..u32::try_from(length / 4).unwrap())
        .flat_map(|word| word.wrapping_mul(0x9e37_79b1).to_le_bytes())
        .collect()
}

#[test]
fn sixteen_mebibytes_pass_unchanged_in_both_directions() {
    let body = pattern(16 * MIB);
    let download = body.clone();
    let origin = Origin::scripted(move |exchange| {
        exchange.body()?;
        exchange.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", download.len()))?;
        exchange.send(&download)?;
        Ok(Then::KeepAlive)
    });
    let gateway = gateway_before(&origin);
    let mut client = gateway.connect();
    let response = client.ask(&Message::post("/", body.clone()).token(&tokens::valid()));
    assert_eq!(response.status, 200);
    assert!(response.body == body, "the download differs");
    assert!(origin.only_request().body == body, "the upload differs");
    assert_eq!(client.ask(&Message::get("/").token(&tokens::valid())).body.len(), body.len());
}

#[test]
fn a_download_of_one_gibibyte_needs_little_memory() {
    let origin = Origin::troubled(|exchange| {
        exchange.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 1024 * MIB))?;
        let piece = vec![b'x'; 4 * 1024 * 1024];
        for _ in 0..256 {
            exchange.send(&piece)?;
        }
        Ok(Then::KeepAlive)
    });
    let gateway = gateway_before(&origin);
    gateway.assert_serves(&origin);
    let before = gateway.memory();
    let mut client = gateway.connect();
    client.send(Message::get("/").token(&tokens::valid()).bytes());
    assert_eq!(client.head().status, 200);
    let mut peak = 0;
    for _ in 0..16 {
        client.skip(64 * MIB);
        peak = peak.max(gateway.memory());
    }
    assert!(peak < before + GROWTH, "grew from {before} to {peak} KiB");
    assert_eq!(client.ask(&Message::get("/honest").token(&tokens::valid())).text(), "hello");
}

#[test]
fn an_upload_of_one_gibibyte_needs_little_memory() {
    let origin = Origin::troubled(|exchange| {
        exchange.skip_body()?;
        exchange.answer("200 OK", "got it")
    });
    let gateway = gateway_before(&origin);
    gateway.assert_serves(&origin);
    let before = gateway.memory();
    let mut client = gateway.connect();
    client.send(head("PUT", "/", 1024 * MIB));
    let piece = vec![b'x'; 4 * 1024 * 1024];
    let mut peak = 0;
    for _ in 0..256 {
        client.send(&piece);
        peak = peak.max(gateway.memory());
    }
    assert_eq!(client.response().text(), "got it");
    assert!(peak < before + GROWTH, "grew from {before} to {peak} KiB");
    gateway.assert_serves(&origin);
}

#[test]
fn a_client_that_reads_slowly_slows_the_origin_down() {
    let origin = Origin::troubled(|exchange| {
        exchange.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 1024 * MIB))?;
        let piece = vec![b'x'; 1024 * 1024];
        for _ in 0..1024 {
            exchange.send(&piece)?;
        }
        Ok(Then::KeepAlive)
    });
    let gateway = gateway_before(&origin);
    gateway.assert_serves(&origin);
    let before = gateway.memory();
    let mut client = gateway.connect();
    client.send(Message::get("/").token(&tokens::valid()).bytes());
    assert_eq!(client.head().status, 200);
    // The client does not read its answer. Other clients are served meanwhile.
    for _ in 0..50 {
        gateway.assert_serves(&origin);
    }
    let after = gateway.memory();
    assert!(after < before + GROWTH, "grew from {before} to {after} KiB");
    drop(client);
    origin.wait_until("the end of the download", |record| record.ended >= 1);
}

#[test]
fn a_client_that_closes_during_a_download_ends_it_at_the_origin() {
    let origin = Origin::troubled(|exchange| {
        exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        loop {
            exchange.send("5\r\nhello\r\n")?;
        }
    });
    let gateway = gateway_before(&origin);
    let mut client = gateway.connect();
    client.send(Message::get("/endless").token(&tokens::valid()).bytes());
    assert_eq!(client.head().status, 200);
    assert!(client.chunk().unwrap().starts_with(b"hello"));
    drop(client);
    origin.wait_until("the end of the download", |record| record.ended == 1);
    gateway.assert_serves(&origin);
}

#[test]
fn an_upload_that_the_client_aborts_never_completes_at_the_origin() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    for (number, (framing, body)) in
        [("Content-Length: 10", "hello"), ("Transfer-Encoding: chunked", "5\r\nhello\r\n")]
            .into_iter()
            .enumerate()
    {
        let mut client = gateway.connect();
        let token = tokens::valid();
        client.send(format!(
            "POST /half HTTP/1.1\r\nHost: a\r\nApproov-Token: {token}\r\n{framing}\r\n\r\n{body}"
        ));
        origin.wait_until("the first half", |record| {
            record.requests.iter().filter(|request| request.body == b"hello").count() == number + 1
        });
        drop(client);
        origin.wait_until("the end of the upload", |record| record.ended == number + 1);
    }
    assert_eq!(origin.count("/half"), 2);
    gateway.assert_serves(&origin);
}

#[test]
fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let origin = Origin::troubled(|exchange| {
        exchange
            .send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")?;
        exchange.wait_for_hangup()
    });
    let gateway = gateway_before(&origin);
    let mut client = gateway.connect();
    client.send(head("POST", "/", 1024 * MIB));
    client.send("the beginning");
    let response = client.response();
    assert_eq!((response.status, response.text().as_str()), (413, "big"));
    thread::spawn(move || while client.try_send([0; 65536]).is_ok() {}).join().unwrap();
    gateway.assert_serves(&origin);
}
