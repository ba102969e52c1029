//! HTTP/2 frames that a well-behaved library does not send.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use super::{configured, get, limited};
use crate::harness::{Client, Exchange, Gate, Gateway, Http2Client, Message, Origin, Then, latin1, tokens};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const WITH_PRIORITY: u8 = 0x20;

/// A frame (RFC 9113 §4.1).
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A field block in which each field is a literal without indexing (RFC 7541 §6.2.2).
fn block<'f>(fields: impl IntoIterator<Item = (&'f str, &'f str)>) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            length(text.len(), &mut block);
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// An integer with a prefix of seven bits (RFC 7541 §5.1).
fn length(length: usize, block: &mut Vec<u8>) {
    if length < 127 {
        return block.push(u8::try_from(length).unwrap());
    }
    block.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        block.push(u8::try_from(rest % 128 + 128).unwrap());
        rest /= 128;
    }
    block.push(u8::try_from(rest).unwrap());
}

/// The fields of an honest request.
pub(super) fn fields(token: &str) -> Vec<(&str, &str)> {
    vec![
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "gateway.test"),
        (":path", "/attack"),
        ("approov-token", token),
    ]
}

pub(super) fn request(stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, block(fields.iter().copied()))
}

/// How a stream or its connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    /// The gateway sent HEADERS on the stream.
    Answered,
    Reset,
    /// The gateway sent GOAWAY or closed the connection.
    SentAway,
}

pub(super) struct Frames {
    client: Client,
}

impl Frames {
    fn open(gateway: &Gateway) -> Self {
        Self::over(gateway.connect())
    }

    /// HTTP/2 over the connection of `client`.
    pub(super) fn over(mut client: Client) -> Self {
        client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        client.send(frame(SETTINGS, 0, 0, []));
        Self { client }
    }

    /// Sends bytes. Returns `false` if the gateway has closed the connection.
    pub(super) fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.client.try_send(bytes).is_ok()
    }

    /// Sends a request and waits for its answer; ignores all other frames.
    fn is_answered(&mut self, stream: u32, fields: &[(&str, &str)]) -> bool {
        self.send(request(stream, fields))
            && loop {
                match self.next() {
                    Some((HEADERS, of)) if of == stream => break true,
                    Some(_) => {}
                    None => break false,
                }
            }
    }

    /// Reads a frame. Returns its type and stream, or `None` at the end of the connection.
    fn next(&mut self) -> Option<(u8, u32)> {
        let head = self.client.try_exactly(9).ok()?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        self.client.try_exactly(length).ok()?;
        Some((head[3], u32::from_be_bytes(head[5..9].try_into().unwrap())))
    }

    /// Reads until the stream or the connection ends.
    fn end(&mut self, stream: u32) -> End {
        loop {
            match self.next() {
                Some((HEADERS, of)) if of == stream => return End::Answered,
                Some((RST_STREAM, of)) if of == stream => return End::Reset,
                Some((GOAWAY, _)) | None => return End::SentAway,
                Some(_) => {}
            }
        }
    }
}

/// Asserts for each case that nothing reaches the origin and that the next honest request is served.
/// Reports all failing cases at once.
fn assert_refused(cases: Vec<(String, Vec<u8>)>) {
    let origin = Origin::new();
    let gateway = limited(&origin, "rate: []");
    let mut failed = Vec::new();
    let tried = cases.len();
    for (what, bytes) in cases {
        let before = origin.bytes();
        let mut frames = Frames::open(&gateway);
        frames.send(&bytes);
        // DATA on stream 0 is a connection error, so that the gateway answers in any case.
        frames.send(frame(DATA, 0, 0, []));
        let end = frames.end(1);
        if origin.bytes() > before {
            failed.push(format!("{what}: {end:?}, and {} bytes at the origin", origin.bytes() - before));
        }
        gateway.assert_serves(&origin);
    }
    assert!(tried > 0 && failed.is_empty(), "{} of {tried} failed:\n{}", failed.len(), failed.join("\n"));
    assert!(origin.targets().iter().all(|target| target == "/honest"));
}

#[test]
fn well_formed_hand_made_frames_are_a_request() {
    let origin = Origin::new();
    let gateway = limited(&origin, "rate: []");
    let token = tokens::valid();
    let mut frames = Frames::open(&gateway);
    // Frames of unknown types are ignored (RFC 9113 §5.5).
    frames.send(frame(0xfa, 0xff, 0, b"what?"));
    frames.send(request(1, &fields(&token)));
    assert_eq!(frames.end(1), End::Answered);
    assert_eq!(origin.targets(), ["/attack"]);
    // The head is sent in several frames, with padding and a priority.
    let block = block(fields(&token));
    let (head, tail) = block.split_at(20);
    let padded = [&[3], &[0, 0, 0, 0, 9][..], head, &[0; 3]].concat();
    frames.send(frame(HEADERS, PADDED | WITH_PRIORITY | END_STREAM, 3, padded));
    frames.send(frame(CONTINUATION, END_HEADERS, 3, tail));
    assert_eq!(frames.end(3), End::Answered);
    assert_eq!(origin.targets(), ["/attack"; 2]);
}

#[test]
fn fields_that_are_illegal_in_http_2_are_refused() {
    let token = tokens::valid();
    let without =
        |name: &str| -> Vec<_> { fields(&token).into_iter().filter(|(other, _)| *other != name).collect() };
    let with = |name, value| [fields(&token), vec![(name, value)]].concat();
    let instead = |name: &'static str, value: &'static str| -> Vec<_> {
        fields(&token).into_iter().map(|field| if field.0 == name { (name, value) } else { field }).collect()
    };
    let first = |name, value| [vec![(name, value)], fields(&token)].concat();
    let mut cases: Vec<(String, Vec<_>)> = Vec::new();
    for name in [":method", ":path", ":scheme"] {
        cases.push((format!("without {name}"), without(name)));
    }
    for (name, value) in [
        ("connection", "close"),
        ("connection", "approov-token"),
        ("keep-alive", "1"),
        ("proxy-connection", "close"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("te", "gzip"),
        ("X-Upper", "1"),
        ("", "1"),
        ("x y", "1"),
        ("x:y", "1"),
        ("x\r\ny", "1"),
        ("x", "1\r\ny: 2"),
        ("x", "1\n"),
        ("x", "\0"),
        ("content-length", "1"),
        ("content-length", "-1"),
        ("content-length", "1, 1"),
        (":path", "/late"),
        (":unknown", "1"),
        ("approov-token", "again"),
    ] {
        cases.push((format!("with {name:?}: {value:?}"), with(name, value)));
    }
    for (name, value) in [
        (":path", "/twice"),
        (":method", "POST"),
        (":authority", "other.test"),
        (":status", "200"),
        (":protocol", "websocket"),
        (":unknown", "1"),
    ] {
        cases.push((format!("first {name}: {value}"), first(name, value)));
    }
    for (name, value) in [
        (":path", ""),
        (":path", "attack"),
        (":path", "*"),
        (":path", "http://gateway.test/attack"),
        (":path", "/attack x"),
        (":path", "/attack#x"),
        (":path", "/attack\r\nX: y"),
        (":path", "/attack\0"),
        (":path", "/attack HTTP/1.1\r\nHost: x\r\n\r\nGET /smuggled"),
        (":method", "CONNECT"),
        (":method", "TRACE"),
        (":method", "GE T"),
        (":method", "GET /x HTTP/1.1\r\nX:"),
        (":method", ""),
        (":authority", ""),
        (":authority", "user@gateway.test"),
        (":authority", "gateway.test/x"),
        (":authority", "a b"),
        (":authority", "a\r\nX: y"),
    ] {
        cases.push((format!("{name} {value:?}"), instead(name, value)));
    }
    cases.push(("another host".into(), with("host", "other.test")));
    assert_refused(cases.into_iter().map(|(what, fields)| (what, request(1, &fields))).collect());
}

#[test]
fn frames_that_break_the_rules_are_refused() {
    let token = tokens::valid();
    let block = block(fields(&token));
    let (head, tail) = block.split_at(20);
    let begun = frame(HEADERS, END_STREAM, 1, head);
    let cases = [
        ("on stream 0", frame(HEADERS, END_HEADERS | END_STREAM, 0, &block)),
        ("on a stream of the server's", frame(HEADERS, END_HEADERS | END_STREAM, 2, &block)),
        ("padding longer than the frame", frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, [255, 0, 0])),
        (
            "a stream that depends on itself",
            frame(HEADERS, END_HEADERS | WITH_PRIORITY, 1, [&[0, 0, 0, 1, 9], &block[..]].concat()),
        ),
        (
            "a frame in the middle of a header",
            [begun.clone(), frame(PING, 0, 0, [0; 8]), frame(CONTINUATION, END_HEADERS, 1, tail)].concat(),
        ),
        (
            "a header continued on another stream",
            [begun.clone(), frame(CONTINUATION, END_HEADERS, 3, tail)].concat(),
        ),
        ("nothing to continue", frame(CONTINUATION, END_HEADERS, 1, &block)),
        (
            "a frame longer than allowed",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, [&block[..], &[0; 20_000]].concat()),
        ),
        ("an index that does not exist", frame(HEADERS, END_HEADERS | END_STREAM, 1, [0xff, 0xff, 0x7f])),
        ("an integer without end", frame(HEADERS, END_HEADERS | END_STREAM, 1, [0xff; 40])),
        (
            "a table larger than allowed",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, [&[0x3f, 0xff, 0xff, 0x7f], &block[..]].concat()),
        ),
        (
            "a text longer than the block",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, [0, 0x7f, 0xff, 0x01, b'x']),
        ),
        ("a broken Huffman code", frame(HEADERS, END_HEADERS | END_STREAM, 1, [0, 0x82, 0xff, 0xff, 0x00])),
        ("data before a header", frame(DATA, END_STREAM, 1, b"GET /attack")),
        ("a reset before a header", frame(RST_STREAM, 0, 1, [0, 0, 0, 8])),
        ("a promise by a client", frame(PUSH_PROMISE, END_HEADERS, 1, [&[0, 0, 0, 2], &block[..]].concat())),
        ("a window that grows by nothing", frame(WINDOW_UPDATE, 0, 0, [0; 4])),
        ("a window that grows too large", frame(WINDOW_UPDATE, 0, 0, [0x7f, 255, 255, 255]).repeat(2)),
        ("settings of half a setting", frame(SETTINGS, 0, 0, [0, 4, 0])),
        ("settings of a stream", frame(SETTINGS, 0, 1, [])),
        ("an acknowledgement with settings", frame(SETTINGS, ACK, 0, [0, 3, 0, 0, 0, 1])),
        ("push neither on nor off", frame(SETTINGS, 0, 0, [0, 2, 0, 0, 0, 2])),
        ("a window beyond all windows", frame(SETTINGS, 0, 0, [0, 4, 255, 255, 255, 255])),
        ("frames of one byte", frame(SETTINGS, 0, 0, [0, 5, 0, 0, 0, 1])),
        ("a short ping", frame(PING, 0, 0, [0; 7])),
        ("a ping of a stream", frame(PING, 0, 1, [0; 8])),
        ("a short reset", frame(RST_STREAM, 0, 1, [0; 3])),
    ];
    assert_refused(cases.into_iter().map(|(what, bytes)| (what.to_owned(), bytes)).collect());
}

#[test]
fn a_body_that_contradicts_its_content_length_never_completes_at_the_origin() {
    let origin = Origin::new();
    let gateway = limited(&origin, "rate: []");
    let token = tokens::valid();
    for (declared, sent) in [("10", 5), ("5", 10), ("0", 1)] {
        let mut fields = fields(&token);
        fields[0] = (":method", "POST");
        fields.push(("content-length", declared));
        let mut frames = Frames::open(&gateway);
        frames.send(frame(HEADERS, END_HEADERS, 1, block(fields)));
        frames.send(frame(DATA, END_STREAM, 1, vec![b'x'; sent]));
        let _ = frames.end(1);
        gateway.assert_serves(&origin);
    }
    for request in origin.requests() {
        let declared: usize =
            request.values("content-length").first().map_or(0, |length| length.parse().unwrap());
        assert!(
            request.target == "/honest" || request.body.len() < declared || declared == 0,
            "{}",
            latin1(&request.head)
        );
    }
}

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
fn a_malformed_grpc_call_is_refused_like_any_other_request() {
    let origin = Origin::new();
    let gateway = configured(&origin, "");
    let mut client = Http2Client::connect(gateway.address());
    let call = Message::new("POST", "/posts.Posts/List").field("content-type", "application/grpc");
    let malformed = client.ask(&Message::new("POST", "/a/../b").field("content-type", "application/grpc"));
    assert_eq!((malformed.status, malformed.values("grpc-status")), (200, vec!["16"]));
    assert_eq!(client.ask(&call.token(&tokens::expired())).values("grpc-status"), ["16"]);
    assert_eq!(client.ask(&get("/x")).status, 200);
    assert_eq!(origin.targets(), ["/x"]);
}

#[test]
fn a_scheme_that_is_not_that_of_the_connection_is_refused() {
    let origin = Origin::new();
    let gateway = limited(&origin, "rate: []");
    let token = tokens::valid();
    let with_scheme = |scheme: &'static str| {
        let mut fields = fields(&token);
        fields[1] = (":scheme", scheme);
        let mut frames = Frames::open(&gateway);
        frames.send(request(1, &fields));
        frames.end(1)
    };
    for scheme in ["ftp", "javascript", "httpx", "h2", "ws", "x", "h%74tp", ""] {
        let _ = with_scheme(scheme);
        gateway.assert_serves(&origin);
        assert_eq!(origin.count("/attack"), 0, "{scheme}");
    }
    for scheme in ["http", "https"] {
        assert_eq!(with_scheme(scheme), End::Answered, "{scheme}");
    }
    assert_eq!(origin.count("/attack"), 2);
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
        frames.send(start);
        let began = Instant::now();
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

#[test]
fn a_path_with_a_fragment_is_refused_and_never_cut() {
    let origin = Origin::new();
    let gateway = limited(&origin, "rate: []");
    let token = tokens::valid();
    for path in ["/attack#x", "/attack?a#b", "/#", "#", "/attack#"] {
        let mut fields = fields(&token);
        fields[3] = (":path", path);
        let mut frames = Frames::open(&gateway);
        frames.send(request(1, &fields));
        assert_eq!(frames.end(1), End::SentAway, "{path}");
        gateway.assert_serves(&origin);
    }
    // A fragment elsewhere is the client's own affair.
    let referer = [fields(&token), vec![("referer", "https://a.test/#b")]].concat();
    let mut frames = Frames::open(&gateway);
    assert!(frames.is_answered(1, &referer));
    assert_eq!(origin.targets().iter().filter(|target| *target != "/honest").count(), 1);
}
