//! Requests that only frames can say wrongly: each is refused, and nothing of it reaches the origin.

use super::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, End, Frames, HEADERS, PADDED, PING, PUSH_PROMISE,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, WITH_PRIORITY, block, fields, frame, request,
};
use crate::adversarial::{configured, get, limited};
use crate::harness::{Http2Client, Message, Origin, latin1, tokens};

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
