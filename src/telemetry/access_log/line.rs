//! One line of the access log. Every request writes one, so most of it does without `fmt`.

use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use super::Entry;
use crate::clock;
use crate::http::hex;
use crate::telemetry::redact;

/// Bytes to reserve for a line: more than most lines have.
const USUAL: usize = 1024;

/// The name of an attribute as it stands in a line before a text: behind a comma, in quotes, with a colon and the
/// first quotation mark of the text.
#[derive(Clone, Copy)]
struct AttributeKey(&'static str);

impl AttributeKey {
    fn before_text(self) -> &'static [u8] {
        self.0.as_bytes()
    }

    /// Before a value that is not a text, or that has its own quotation marks.
    fn before_value(self) -> &'static [u8] {
        &self.0.as_bytes()[..self.0.len() - 1]
    }
}

/// The [`AttributeKey`] of an attribute.
macro_rules! key {
    ($name:literal) => {
        AttributeKey(concat!(",\"", $name, "\":\""))
    };
}

/// The time as text, formatted once a second.
#[derive(Debug, Default)]
pub(super) struct Clock {
    second: u64,
    /// The time up to the second: `2026-01-31T12:00:00`.
    text: String,
}

impl Clock {
    /// Appends the time in RFC 3339 form with milliseconds.
    fn write(&mut self, now: Duration, line: &mut Vec<u8>) {
        if self.text.is_empty() || self.second != now.as_secs() {
            self.second = now.as_secs();
            self.text =
                clock::date(Duration::from_secs(self.second)).to_string().trim_end_matches('Z').to_owned();
        }
        line.extend_from_slice(self.text.as_bytes());
        line.push(b'.');
        digits(u64::from(now.subsec_millis()), 3, line);
        line.push(b'Z');
    }
}

/// Appends the line for `entry`, with its line break.
pub(super) fn write(entry: &Entry<'_>, clock: &mut Clock, line: &mut Vec<u8>) {
    line.reserve(USUAL);
    line.extend_from_slice(b"{\"timestamp\":\"");
    clock.write(clock::unix_time(), line);
    line.push(b'"');
    text(key!("http.request.method"), entry.method.as_bytes(), line);
    text(key!("url.path"), entry.path, line);
    if let Some(status) = entry.status {
        number(key!("http.response.status_code"), status.into(), line);
    }
    if let Some((ip, port)) = entry.client {
        line.extend_from_slice(key!("client.address").before_text());
        address(ip, line);
        line.push(b'"');
        if let Some(port) = port {
            number(key!("client.port"), port.into(), line);
        }
    }
    label(key!("network.protocol.version"), entry.protocol, line);
    if let Some(version) = entry.tls_version {
        label(key!("tls.protocol.version"), version, line);
        text(key!("tls.client.subject"), entry.client_subject.unwrap_or_default().as_bytes(), line);
    }
    text(key!("server.address"), entry.host, line);
    text(key!("user_agent.original"), entry.user_agent, line);
    number(key!("http.request.body.size"), entry.request_bytes as u64, line);
    number(key!("http.response.body.size"), entry.response_bytes as u64, line);
    number(key!("http.server.request.duration"), entry.duration.as_secs(), line);
    line.push(b'.');
    digits(u64::from(entry.duration.subsec_micros()), 6, line);
    text(key!("request.id"), entry.request_id.unwrap_or_default(), line);
    if let Some((trace_id, span_id)) = entry.trace {
        id(key!("trace_id"), trace_id, line);
        id(key!("span_id"), span_id, line);
    }
    if entry.resends > 0 {
        number(key!("http.request.resend_count"), entry.resends as u64, line);
    }
    label(key!("error.type"), entry.error.unwrap_or_default(), line);
    text(key!("error.message"), entry.error_message.unwrap_or_default().as_bytes(), line);
    if let Some(peer) = entry.peer {
        line.extend_from_slice(key!("network.peer.address").before_text());
        address(peer.ip(), line);
        line.push(b'"');
        number(key!("network.peer.port"), peer.port().into(), line);
    }
    text(key!("approov.route"), entry.route.as_bytes(), line);
    label(key!("approov.policy"), entry.policy, line);
    label(key!("approov.verdict"), entry.verdict, line);
    label(key!("approov.reason"), entry.reason, line);
    label(key!("approov.limit"), entry.limit.map_or("", |limit| limit.cause), line);
    for (key, value) in [
        (key!("approov.limit_name"), entry.limit.and_then(|limit| limit.name)),
        (key!("approov.did"), entry.device_id),
        (key!("approov.arc"), entry.response_code),
        (key!("approov.status"), entry.app_status),
        (key!("approov.unverified.did"), entry.unverified_device_id),
        (key!("approov.unverified.arc"), entry.unverified_response_code),
        (key!("approov.message_signature.result"), entry.message_signature),
        (key!("approov.message_signature.reason"), entry.message_signature_reason),
        (key!("approov.origin"), entry.origin),
    ] {
        text(key, value.unwrap_or_default().as_bytes(), line);
    }
    if entry.limit.is_some_and(|limit| limit.is_observed) {
        line.extend_from_slice(key!("approov.limit_observed").before_value());
        line.extend_from_slice(b"true");
    }
    if let Some(rate) = entry.sample_rate {
        line.extend_from_slice(key!("sample_rate").before_value());
        // Writing to memory cannot fail.
        let _ = write!(line, "{rate}");
    }
    line.extend_from_slice(b"}\n");
}

/// Appends an attribute with a text of a client or the configuration. Leaves an empty one out.
fn text(key: AttributeKey, value: &[u8], line: &mut Vec<u8>) {
    if value.is_empty() {
        return;
    }
    if redact::is_plain(value) {
        line.extend_from_slice(key.before_text());
        line.extend_from_slice(value);
        line.push(b'"');
    } else {
        line.extend_from_slice(key.before_value());
        // Writing to memory cannot fail, and text is always JSON.
        let _ = serde_json::to_writer(line, &*redact::client_value(value));
    }
}

/// Appends an attribute with a word of the gateway's own, which needs no escapes. Leaves an empty one out.
fn label(key: AttributeKey, word: &'static str, line: &mut Vec<u8>) {
    if !word.is_empty() {
        line.extend_from_slice(key.before_text());
        line.extend_from_slice(word.as_bytes());
        line.push(b'"');
    }
}

/// Appends an attribute with an id in lower-case hex.
fn id<const N: usize>(key: AttributeKey, value: [u8; N], line: &mut Vec<u8>) {
    line.extend_from_slice(key.before_text());
    line.extend_from_slice(hex(value).as_flattened());
    line.push(b'"');
}

fn number(key: AttributeKey, value: u64, line: &mut Vec<u8>) {
    line.extend_from_slice(key.before_value());
    line.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// A number with leading zeros.
fn digits(value: u64, width: usize, line: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(value);
    line.extend(std::iter::repeat_n(b'0', width.saturating_sub(text.len())));
    line.extend_from_slice(text.as_bytes());
}

/// Appends an address. IPv4 does without `fmt`, which would cost more than the rest of the line.
pub(crate) fn address(ip: IpAddr, text: &mut Vec<u8>) {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            for (index, octet) in ip.octets().into_iter().enumerate() {
                if index > 0 {
                    text.push(b'.');
                }
                text.extend_from_slice(itoa::Buffer::new().format(octet).as_bytes());
            }
        }
        // Writing to memory cannot fail.
        IpAddr::V6(ip) => drop(write!(text, "{ip}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_times_and_addresses_as_the_standard_forms_have_them() {
        let mut line = Vec::new();
        let mut clock = Clock::default();
        clock.write(Duration::from_millis(1_700_000_000_007), &mut line);
        clock.write(Duration::from_millis(1_700_000_000_120), &mut line);
        clock.write(Duration::from_millis(1_700_000_001_000), &mut line);
        let expected = "2023-11-14T22:13:20.007Z2023-11-14T22:13:20.120Z2023-11-14T22:13:21.000Z";
        assert_eq!(String::from_utf8_lossy(&line), expected);
        for (ip, expected) in
            [("192.0.2.17", "192.0.2.17"), ("::ffff:10.0.0.1", "10.0.0.1"), ("2001:db8::1", "2001:db8::1")]
        {
            let mut text = Vec::new();
            address(ip.parse().expect("an address"), &mut text);
            assert_eq!(String::from_utf8_lossy(&text), expected);
        }
    }
}
