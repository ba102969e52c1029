//! Property: with any values of a client, an access log entry is one line of JSON of limited length,
//! without a token, line breaks or terminal control characters.
//!
//! An input has the values separated by empty lines: path, host, user agent, method, device id,
//! response code, subject of a certificate. `$TOKEN` stands for a token.

use std::time::Duration;

use approov_gateway::telemetry::Entry;
use serde_json::Value;

const TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjQxMDI0NDQ4MDAsImRpZCI6InEifQ.\
                     3vQ0yXW5n1TzR8kLb2Jm6aGfUcHd9sVt4eKoPiNwMxY";

/// A part of the token's signature that must not appear.
const PIECE: usize = 12;

const MAX_LINE: usize = 8 * 1024;

/// Checks the property of this module.
///
/// # Panics
/// If the property does not hold.
pub fn holds(data: &[u8]) {
    let mut values = separate(data).into_iter().map(with_token);
    let mut next = || values.next().unwrap_or_default();
    let (path, host, user_agent, request_id) = (next(), next(), next(), next());
    let mut text = || String::from_utf8_lossy(&next()).into_owned();
    let (method, device_id, response_code, subject) = (text(), text(), text(), text());
    let entry = Entry {
        method: &method,
        path: &path,
        status: Some(401),
        client: Some(([192, 0, 2, 1].into(), Some(4711))),
        protocol: "1.1",
        tls_version: Some("1.3"),
        client_subject: Some(&subject),
        host: &host,
        user_agent: &user_agent,
        request_bytes: 0,
        response_bytes: 2,
        duration: Duration::from_micros(1500),
        request_id: Some(&request_id),
        trace: Some(([0xab; 16], [0x0c; 8])),
        error: None,
        error_message: None,
        peer: None,
        route: "/",
        policy: "protect",
        verdict: "rejected",
        reason: "expired",
        limit: None,
        device_id: Some(&device_id),
        response_code: Some(&response_code),
        app_status: None,
        unverified_device_id: None,
        unverified_response_code: None,
        message_signature: None,
        message_signature_reason: None,
        origin: None,
        resends: 0,
        sample_rate: None,
    };
    let line = String::from_utf8(entry.to_line()).expect("a log is UTF-8");
    let line = line.strip_suffix('\n').expect("a line has an end");
    assert!(!line.contains(is_unsafe), "{line:?}");
    assert!(!line.contains("eyJ"), "{line}");
    assert!(line.len() < MAX_LINE, "{} bytes", line.len());
    let signature = &TOKEN[TOKEN.len() - 43..];
    for piece in signature.as_bytes().windows(PIECE) {
        let is_told = line.contains(std::str::from_utf8(piece).expect("ASCII"));
        assert!(!is_told || contains(data, piece), "{line}");
    }
    let members: Value = serde_json::from_str(line).expect("a line is JSON");
    for (name, value) in [
        ("url.path", &path[..]),
        ("server.address", &host),
        ("user_agent.original", &user_agent),
        ("http.request.method", method.as_bytes()),
        ("approov.did", device_id.as_bytes()),
        ("approov.arc", response_code.as_bytes()),
        ("tls.client.subject", subject.as_bytes()),
    ] {
        let shown = members.get(name).map(|shown| shown.as_str().expect("text"));
        assert_eq!(shown.is_none(), value.is_empty(), "{name}");
        let is_plain = value.len() <= 256 && value.iter().all(|byte| matches!(byte, b' '..=b'~'));
        if is_plain && !contains(value, b"eyJ") && !value.is_empty() {
            assert_eq!(shown.map(str::as_bytes), Some(value), "{name}");
        }
    }
    assert_eq!(members.get("approov.reason"), Some(&"expired".into()));
}

fn separate(data: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let mut rest = data;
    while let Some(at) = rest.windows(2).position(|pair| pair == b"\n\n") {
        parts.push(&rest[..at]);
        rest = &rest[at + 2..];
    }
    parts.push(rest);
    parts
}

fn with_token(value: &[u8]) -> Vec<u8> {
    let mut with = Vec::new();
    let mut rest = value;
    while let Some(at) = rest.windows(6).position(|mark| mark == b"$TOKEN") {
        with.extend_from_slice(&rest[..at]);
        with.extend_from_slice(TOKEN.as_bytes());
        rest = &rest[at + 6..];
    }
    with.extend_from_slice(rest);
    with
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
