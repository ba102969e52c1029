//! One changed bit anywhere in what is signed, on the wire: the request is refused, and the origin gets nothing.

use super::{App, HELLO, HELLO_DIGEST, digested, gateway};
use crate::harness::{Message, Origin};

/// The position behind the first occurrence of `start`, and the position of `end` after it.
fn between(bytes: &[u8], start: &str, end: &str) -> std::ops::Range<usize> {
    let find = |from: usize, part: &str| {
        let found = bytes[from..].windows(part.len()).position(|window| window == part.as_bytes());
        from + found.unwrap_or_else(|| panic!("no {part:?}"))
    };
    let begin = if start.is_empty() { 0 } else { find(0, start) + start.len() };
    begin..find(begin, end)
}

#[test]
fn one_changed_bit_of_a_signed_request_reaches_no_origin() {
    let (app, origin) = (App::install(), Origin::new());
    let gateway = gateway(&origin, "mode: required", "");
    let message = digested(&app, Message::post("/a", HELLO), HELLO_DIGEST);
    let bytes = message.bytes();
    let mut changed = 0;
    for (start, end) in [
        ("", " "),
        (" ", " HTTP/1.1"),
        ("Host: ", "\r\n"),
        ("Approov-Token: ", "\r\n"),
        ("Content-Digest: ", "\r\n"),
        ("Signature-Input: ", "\r\n"),
        ("Signature: ", "\r\n"),
        ("\r\n\r\n", "}"),
    ] {
        let part = between(&bytes, start, end);
        assert!(!part.is_empty(), "{start:?}");
        // Every position of a short part, and about forty of a long one.
        for at in part.clone().step_by(1 + part.len() / 40) {
            let mut other = bytes.clone();
            // Another letter, digit or mark, and never only another case.
            other[at] ^= 1;
            let mut client = gateway.connect();
            client.send(&other);
            let status = client.response_to("POST").status;
            assert!((400..500).contains(&status), "{status} at {at}: {}", String::from_utf8_lossy(&other));
            changed += 1;
        }
    }
    assert!(changed > 100, "{changed}");
    assert_eq!(origin.bytes(), 0);
    assert_eq!(gateway.ask(&message).status, 200);
    assert_eq!(origin.only_request().body, HELLO.as_bytes());
}
