//! Attacks on HTTP/1, byte by byte. "Refused" means that the answer is 4xx and that not one byte
//! reaches the origin.

mod forged_fields;
mod look_alikes;
mod methods_and_hosts;
mod paths;
mod smuggling;
mod upgrades;

use crate::harness::{Gateway, Origin, tokens};

/// A head with this request line, these lines and a valid token.
fn head_with_token(request_line: &str, lines: &str) -> String {
    format!("{request_line}\r\nHost: gateway.test\r\nApproov-Token: {}\r\n{lines}\r\n", tokens::valid())
}

/// Asserts for each case that the answer is 400 and nothing else, that the connection is closed, that
/// not one byte reaches the origin, and that the next honest request is served. Reports all failing
/// cases at once.
fn assert_malformed(gateway: &Gateway, origin: &Origin, cases: impl IntoIterator<Item = impl AsRef<[u8]>>) {
    let mut tried = 0;
    let mut failed = Vec::new();
    for case in cases {
        if let Err(what) = try_malformed(gateway, origin, case.as_ref()) {
            failed.push(format!("{what}: {}", case.as_ref().escape_ascii()));
        }
        gateway.assert_serves(origin);
        tried += 1;
    }
    assert!(tried > 0);
    assert!(failed.is_empty(), "{} of {tried} failed:\n{}", failed.len(), failed.join("\n"));
    assert_only_honest(origin);
}

fn try_malformed(gateway: &Gateway, origin: &Origin, bytes: &[u8]) -> Result<(), String> {
    let before = origin.bytes();
    let mut client = gateway.connect();
    client.send(bytes);
    let response = client.try_response_to("GET").map_err(|error| format!("no answer ({error})"))?;
    let arrived = origin.bytes() - before;
    if response.status != 400 || arrived > 0 {
        return Err(format!("{} and {arrived} bytes at the origin", response.status));
    }
    let rest = client.read_to_end();
    if rest.is_empty() { Ok(()) } else { Err(format!("400, and then {}", rest.escape_ascii())) }
}

/// Asserts that at least one request arrived and that all of them are honest.
fn assert_only_honest(origin: &Origin) {
    let targets = origin.targets();
    assert!(!targets.is_empty());
    assert!(targets.iter().all(|target| target == "/honest"), "{targets:?}");
}
