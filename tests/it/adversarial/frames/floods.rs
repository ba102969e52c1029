//! Floods of frames, and clients that wait, drip or go on: limits hold, and others are served.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use super::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, End, Frames, HEADERS, PING, PRIORITY, SETTINGS,
    WINDOW_UPDATE, block, fields, frame, length, request,
};
use crate::adversarial::limited;
use crate::harness::{Exchange, Gate, Gateway, Origin, Then, tokens};

/// Limit for the growth of the gateway's memory, in KiB.
const GROWTH: u64 = 32 * 1024;

/// Sends a flood in portions, until its end or until the gateway closes the connection. Asserts that
/// honest requests are served meanwhile and that the gateway's memory does not grow.
fn assert_withstands(
    what: &str,
    gateway: &Gateway,
    origin: &Origin,
    start: &[u8],
    portion: &[u8],
    portions: usize,
) {
    let before = gateway.memory();
    let mut frames = Frames::open(gateway);
    frames.send(start);
    let mut taken = 0;
    while taken < portions && frames.send(portion) {
        taken += 1;
        if taken % 16 == 1 {
            gateway.assert_serves(origin);
        }
    }
    gateway.assert_serves(origin);
    let after = gateway.memory();
    assert!(after < before + GROWTH, "{what}: {before} KiB, then {after}");
}

#[test]
fn floods_of_frames_do_not_stop_honest_requests() {
    let origin = Origin::new();
    let gateway = limited(&origin, "rate: []");
    let token = tokens::valid();
    let block = block(fields(&token));
    let begun = frame(HEADERS, END_STREAM, 1, &block);
    let open = frame(HEADERS, END_HEADERS, 1, &block);
    for (what, start, piece) in [
        ("continuations that end never", &begun, frame(CONTINUATION, 0, 1, [0, 1, b'x', 1, b'y'])),
        ("empty continuations", &begun, frame(CONTINUATION, 0, 1, [])),
        ("pings", &Vec::new(), frame(PING, 0, 0, [7; 8])),
        ("settings", &Vec::new(), frame(SETTINGS, 0, 0, [0, 3, 0, 0, 0, 1])),
        ("priorities", &Vec::new(), frame(PRIORITY, 0, 5, [0, 0, 0, 0, 1])),
        ("windows", &Vec::new(), frame(WINDOW_UPDATE, 0, 0, [0, 0, 0, 1])),
        ("empty data", &open, frame(DATA, 0, 1, [])),
        ("unknown frames", &Vec::new(), frame(0xfa, 0, 0, [0; 100])),
    ] {
        assert_withstands(what, &gateway, &origin, start, &piece.repeat(1000), 64);
    }
}

#[test]
fn a_compressed_head_is_not_expanded_beyond_its_limit() {
    let origin = Origin::new();
    let gateway = limited(&origin, "rate: []");
    let token = tokens::valid();
    // A field of 4000 bytes is put into the table once and then referenced by one byte each time.
    let mut bomb = block(fields(&token));
    bomb.extend([0x40, 1, b'x']);
    length(4000, &mut bomb);
    bomb.extend([b'y'; 4000]);
    bomb.extend([0xbe; 10_000]);
    let before = gateway.memory();
    for _ in 0..20 {
        let mut frames = Frames::open(&gateway);
        frames.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb));
        frames.send(frame(DATA, 0, 0, []));
        let _ = frames.end(1);
    }
    assert_eq!(origin.bytes(), 0);
    assert!(gateway.memory() < before + GROWTH);
    gateway.assert_serves(&origin);
}

#[test]
fn streams_beyond_the_cap_are_refused_and_the_others_answered() {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::troubled(move |exchange: &mut Exchange<'_>| -> std::io::Result<Then> {
        exchange.body()?;
        held.pass();
        exchange.answer("200 OK", "hello")
    });
    let gateway = limited(&origin, "rate: []");
    let token = tokens::valid();
    let mut frames = Frames::open(&gateway);
    for number in 0..101 {
        frames.send(request(number * 2 + 1, &fields(&token)));
    }
    assert_eq!(frames.end(201), End::Reset, "stream 101");
    origin.wait_until("a hundred", |record| record.requests.len() == 100);
    gateway.assert_serves(&origin);
    gate.open();
    assert_eq!(frames.end(1), End::Answered);
}

#[test]
fn streams_with_an_empty_window_time_out() {
    let origin = Origin::new();
    let gateway = limited(&origin, "rate: [], time: { write: 1s, idle: 2s }");
    let token = tokens::valid();
    let mut frames = Frames::open(&gateway);
    let window = |size: u32| frame(SETTINGS, 0, 0, [&[0, 4][..], &size.to_be_bytes()].concat());
    frames.send(window(0));
    let streams: RangeInclusive<u32> = 0..=20;
    for number in streams {
        frames.send(request(number * 2 + 1, &fields(&token)));
    }
    origin.wait_until("all of them", |record| record.requests.len() == 21);
    gateway.wait_for_count("approov_gateway_limited_total", &[("cause", "write_time")], 21.0);
    gateway.assert_serves(&origin);
}

#[test]
fn a_client_that_ignores_goaway_is_disconnected() {
    let origin = Origin::new();
    let limits = "rate: [], connections: { requests: 5 }, time: { header: 1s }";
    let gateway = limited(&origin, limits);
    let token = tokens::valid();
    // This client does not answer PING, so that the gateway cannot finish its graceful shutdown.
    let mut frames = Frames::open(&gateway);
    let start = Instant::now();
    let long = Duration::from_secs(10);
    let is_served =
        |number: &u32| start.elapsed() < long && frames.is_answered(number * 2 + 1, &fields(&token));
    let answered = (0..).take_while(is_served).count();
    assert!(answered >= 5 && start.elapsed() < long, "{answered} requests in {:?}", start.elapsed());
    gateway.assert_serves(&origin);
}

#[test]
fn a_head_that_comes_in_drips_of_frames_is_not_waited_for() {
    let origin = Origin::new();
    let gateway = limited(&origin, "time: { header: 1s }");
    let begun = frame(HEADERS, END_STREAM, 1, block([(":method", "GET")]));
    let cases: [(&str, &[u8], &[u8]); 4] = [
        ("no end of the head", &begun, &[]),
        ("half a frame", &begun[..12], &[]),
        ("half the beginning of a frame", &begun[..4], &[]),
        ("continuations", &begun, &frame(CONTINUATION, 0, 1, block([("x", "y")]))),
    ];
    for (what, start, drip) in cases {
        let mut frames = Frames::open(&gateway);
        // The settings of the gateway, so that nothing but the head is waited for.
        assert!(frames.next().is_some());
        let began = Instant::now();
        frames.send(start);
        while !drip.is_empty() && frames.send(drip) && began.elapsed() < Duration::from_secs(10) {
            // Being slow is what is tested.
            std::thread::sleep(Duration::from_millis(400));
        }
        while frames.next().is_some() {}
        let elapsed = began.elapsed();
        assert!((1..8).contains(&elapsed.as_secs()), "{what}: ended after {elapsed:?}");
        gateway.assert_serves(&origin);
    }
    assert_eq!(origin.count("/attack"), 0);
}

#[test]
fn a_connection_that_is_silent_between_heads_is_kept() {
    let origin = Origin::new();
    let gateway = limited(&origin, "time: { header: 1s }");
    let token = tokens::valid();
    let mut frames = Frames::open(&gateway);
    for number in 0..2 {
        assert!(frames.is_answered(2 * number + 1, &fields(&token)));
        // Silence is what is tested.
        std::thread::sleep(Duration::from_millis(1500));
    }
    assert!(frames.is_answered(5, &fields(&token)));
}
