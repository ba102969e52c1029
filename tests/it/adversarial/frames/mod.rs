//! HTTP/2 frames that a well-behaved library does not send.

mod floods;
mod malformed;
mod unread_streams;

use crate::harness::{Client, Gateway};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const WITH_PRIORITY: u8 = 0x20;

/// A frame (RFC 9113 §4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
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
fn fields(token: &str) -> Vec<(&str, &str)> {
    vec![
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "gateway.test"),
        (":path", "/attack"),
        ("approov-token", token),
    ]
}

fn request(stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
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

struct Frames {
    client: Client,
}

impl Frames {
    fn open(gateway: &Gateway) -> Self {
        Self::over(gateway.connect())
    }

    /// HTTP/2 over the connection of `client`.
    fn over(mut client: Client) -> Self {
        client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        client.send(frame(SETTINGS, 0, 0, []));
        Self { client }
    }

    /// Sends bytes. Returns `false` if the gateway has closed the connection.
    fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
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
