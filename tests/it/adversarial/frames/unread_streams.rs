//! HTTP/2 clients that allow any amount of data and read none of it.

use super::{Frames, SETTINGS, WINDOW_UPDATE, fields, frame, request};
use crate::adversarial::memory::hostile_origin;
use crate::harness::{Client, Setup, config_before, tokens};

const CONNECTIONS: u64 = 10;
const STREAMS: u64 = 20;

/// Flow control allows 2³¹−1 bytes for each stream, and for the connection.
fn open_windows() -> Vec<u8> {
    let initial_window = [&[0, 4][..], &0x7fff_ffff_u32.to_be_bytes()].concat();
    let settings = frame(SETTINGS, 0, 0, initial_window);
    [settings, frame(WINDOW_UPDATE, 0, 0, (0x7fff_ffff_u32 - 0xffff).to_be_bytes())].concat()
}

#[test]
fn streams_of_clients_that_read_nothing_hold_little_memory() {
    // Pingora's proxy keeps parts of a response on its way between two sessions.
    for (way, most) in [("direct", 96), ("pingora", 320)] {
        let each = held_by_a_stream(way);
        println!("{way}: {each} KiB for each stream");
        assert!(each < most, "{way}: {each} KiB for each stream");
    }
}

/// KiB by which memory grows for each unread stream.
fn held_by_a_stream(way: &str) -> u64 {
    let origin = hostile_origin();
    let settings = "listeners: [ { address: \"127.0.0.1:0\", h2c: true } ]\n\
                    limits: { allow: [], rate: [] }\n";
    let setup = Setup::bare().without("GATEWAY_LISTEN").config(&config_before(&origin, settings));
    let gateway = setup.env("GATEWAY_HTTP1_EXCHANGE", way).start();
    gateway.assert_serves(&origin);
    let before = gateway.memory();
    let token = tokens::valid();
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut frames = Frames::over(Client::connect_with_small_window(gateway.address()));
        frames.send(open_windows());
        for number in 0..STREAMS {
            let stream = u32::try_from(2 * number + 1).unwrap();
            assert!(frames.send(request(stream, &fields(&token))));
        }
        connections.push(frames);
    }
    let streams = CONNECTIONS * STREAMS;
    origin.wait_until("all requests", |record| record.requests.len() as u64 > streams);
    let mut peak = before;
    for _ in 0..50 {
        gateway.assert_serves(&origin);
        peak = peak.max(gateway.memory());
    }
    (peak - before) / streams
}
