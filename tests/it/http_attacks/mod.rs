//! Attacks on the HTTP layer, byte by byte. "Refused" means a 4xx and not one byte at the origin.

mod forged_fields;
mod methods_and_hosts;
mod paths;
mod smuggling;
mod upgrades;

use crate::harness::{Gateway, Origin, tokens};

/// A head with this request line and these lines, and a good token.
fn head_with_token(request_line: &str, lines: &str) -> String {
    format!("{request_line}\r\nHost: gateway.test\r\nApproov-Token: {}\r\n{lines}\r\n", tokens::valid())
}

/// The bytes get an answer with this status, nothing behind it, and the connection is closed;
/// not one byte reaches the origin, and the next honest request is served.
fn assert_refused(gateway: &Gateway, origin: &Origin, bytes: impl AsRef<[u8]>, status: u16) {
    let bytes = bytes.as_ref();
    let shown = bytes.escape_ascii();
    let before = origin.bytes();
    let mut client = gateway.connect();
    client.send(bytes);
    let method = if bytes.starts_with(b"HEAD ") { "HEAD" } else { "GET" };
    let response = client.try_response_to(method);
    let response = response.unwrap_or_else(|error| panic!("no answer to {shown}: {error}"));
    assert_eq!(response.status, status, "{shown}");
    if status == 400 {
        client.assert_closed();
    }
    assert_eq!(origin.bytes(), before, "bytes at the origin: {shown}");
    gateway.assert_serves(origin);
}

/// Only honest requests have arrived, and there were some.
fn assert_only_honest(origin: &Origin) {
    let targets = origin.targets();
    assert!(!targets.is_empty());
    assert!(targets.iter().all(|target| target == "/honest"), "{targets:?}");
}
