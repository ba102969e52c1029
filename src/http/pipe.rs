//! Bodies: taken out of the framing of one connection and put into the framing of the other.

use std::io::Write;

use super::chunked::{BadChunk, ChunkedReader, Part};
use super::framing::Body;
use super::response::AnswerBody;

/// The last chunk, without trailers (RFC 9112 §7.1).
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// One body on its way through the gateway. A body with a length keeps its length. Every other body
/// gets new chunks, without extensions and trailers, unless the receiver speaks HTTP/2.
#[derive(Debug)]
pub struct BodyPipe {
    source: BodySource,
    /// Whether the data goes out without chunks around it.
    is_bare: bool,
    /// Bytes of data that have passed.
    bytes: u64,
    has_more: bool,
}

/// How the body is framed where it comes from.
#[derive(Debug)]
enum BodySource {
    /// This many bytes are left.
    Length(u64),
    /// Chunks, up to the last one.
    Chunks(ChunkedReader),
    /// All bytes up to the end of the connection.
    UntilClose,
    /// The body is complete, and nothing more belongs to it.
    Done,
}

impl BodyPipe {
    /// The body of a request.
    pub fn of_request(body: Body) -> Self {
        Self::new(match body {
            Body::Length(length) => BodySource::Length(length),
            Body::Chunked => BodySource::Chunks(ChunkedReader::of_request()),
        })
    }

    /// The body of a request on a stream of HTTP/2. The end of the stream ends a body without a length:
    /// see [`close`](Self::close).
    pub fn of_stream(body: Body) -> Self {
        Self::new(match body {
            Body::Length(length) => BodySource::Length(length),
            Body::Chunked => BodySource::UntilClose,
        })
    }

    /// The body of a response.
    pub fn of_answer(body: AnswerBody) -> Self {
        Self::new(match body {
            AnswerBody::Empty | AnswerBody::Tunnel => BodySource::Done,
            AnswerBody::Length(length) => BodySource::Length(length),
            AnswerBody::Chunked => BodySource::Chunks(ChunkedReader::of_answer()),
            AnswerBody::UntilClose => BodySource::UntilClose,
        })
    }

    fn new(source: BodySource) -> Self {
        let source = if matches!(source, BodySource::Length(0)) { BodySource::Done } else { source };
        Self { source, is_bare: false, bytes: 0, has_more: false }
    }

    /// This body for a receiver with HTTP/2, whose frames end a body: no chunks go out.
    pub fn without_chunks(self) -> Self {
        Self { is_bare: true, ..self }
    }

    /// Whether the body is complete.
    pub fn is_done(&self) -> bool {
        matches!(self.source, BodySource::Done)
    }

    /// The bytes that are missing; `None` if that is not known.
    pub fn left(&self) -> Option<u64> {
        match self.source {
            BodySource::Length(left) => Some(left),
            BodySource::Done => Some(0),
            BodySource::Chunks(_) | BodySource::UntilClose => None,
        }
    }

    /// Bytes of data that have passed.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether bytes have arrived behind the end of the body.
    pub fn has_more(&self) -> bool {
        self.has_more
    }

    /// Passes on `bytes`, which continue the body, by appending to `out`. Returns how many bytes of data
    /// are among them. Bytes behind the end of the body are ignored.
    ///
    /// # Errors
    /// [`BadChunk`] if the chunks are malformed.
    pub fn pass(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, BadChunk> {
        self.pass_each(bytes, out, |_| {})
    }

    /// Passes on `bytes` like [`pass`](Self::pass), and calls `each` with the data.
    ///
    /// # Errors
    /// [`BadChunk`] if the chunks are malformed.
    pub fn pass_each(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        mut each: impl FnMut(&[u8]),
    ) -> Result<usize, BadChunk> {
        let (mut data, is_bare) = (0, self.is_bare);
        match &mut self.source {
            BodySource::Length(left) => {
                data = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                out.extend_from_slice(&bytes[..data]);
                each(&bytes[..data]);
                *left -= data as u64;
                self.has_more = data < bytes.len();
                if *left == 0 {
                    self.source = BodySource::Done;
                }
            }
            BodySource::Chunks(reader) => {
                let mut at = 0;
                while at < bytes.len() && !reader.is_done() {
                    // The data before the fault has been passed on.
                    let part = reader.next(&bytes[at..]).inspect_err(|_| self.bytes += data as u64)?;
                    if let Part::Data(length) = part {
                        put(&bytes[at..at + length], is_bare, out);
                        each(&bytes[at..at + length]);
                        data += length;
                    }
                    at += part.length();
                }
                self.has_more = at < bytes.len();
                if reader.is_done() {
                    self.end(out);
                }
            }
            BodySource::UntilClose => {
                put(bytes, is_bare, out);
                each(bytes);
                data = bytes.len();
            }
            BodySource::Done => self.has_more |= !bytes.is_empty(),
        }
        self.bytes += data as u64;
        Ok(data)
    }

    /// The connection has ended. Returns whether that is the end of the body.
    pub fn close(&mut self, out: &mut Vec<u8>) -> bool {
        if matches!(self.source, BodySource::UntilClose) {
            self.end(out);
        }
        self.is_done()
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if !self.is_bare {
            out.extend_from_slice(LAST_CHUNK);
        }
        self.source = BodySource::Done;
    }
}

/// A whole body as one chunk and the last chunk.
pub fn in_one_chunk(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() + 32);
    chunk(data, &mut out);
    out.extend_from_slice(LAST_CHUNK);
    out
}

/// Appends data, in a chunk unless it `is_bare`.
fn put(data: &[u8], is_bare: bool, out: &mut Vec<u8>) {
    if is_bare {
        out.extend_from_slice(data);
    } else {
        chunk(data, out);
    }
}

/// Appends one chunk. A chunk without data would end the body.
fn chunk(data: &[u8], out: &mut Vec<u8>) {
    if data.is_empty() {
        return;
    }
    // Writing to memory cannot fail.
    let _ = write!(out, "{:x}\r\n", data.len());
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(mut pipe: BodyPipe, parts: &[&str]) -> (String, bool, u64) {
        let mut out = Vec::new();
        for part in parts {
            pipe.pass(part.as_bytes(), &mut out).expect("a body");
        }
        (String::from_utf8(out).expect("text"), pipe.is_done(), pipe.bytes())
    }

    #[test]
    fn a_body_with_a_length_passes_unchanged() {
        let pipe = || BodyPipe::of_request(Body::Length(5));
        assert_eq!(pass(pipe(), &["he", "llo"]), ("hello".into(), true, 5));
        assert_eq!(pass(pipe(), &["he", "llo more"]), ("hello".into(), true, 5));
        assert_eq!(pass(pipe(), &["he"]), ("he".into(), false, 2));
        assert!(BodyPipe::of_request(Body::Length(0)).is_done());
    }

    #[test]
    fn what_came_before_a_malformed_chunk_is_passed_on_and_counted() {
        let mut pipe = BodyPipe::of_answer(AnswerBody::Chunked);
        let mut out = Vec::new();
        assert!(pipe.pass(b"5\r\nhello\r\nX", &mut out).is_err());
        assert!(String::from_utf8_lossy(&out).contains("hello"));
        assert_eq!(pipe.bytes(), 5);
    }

    #[test]
    fn bytes_behind_the_end_are_noticed_however_they_arrive() {
        for (answer, whole) in [
            (AnswerBody::Length(5), "hello"),
            (AnswerBody::Chunked, "5\r\nhello\r\n0\r\n\r\n"),
            (AnswerBody::Empty, ""),
        ] {
            for parts in [vec![format!("{whole}H")], vec![whole.to_owned(), "H".to_owned()]] {
                let mut pipe = BodyPipe::of_answer(answer);
                pipe.pass(whole.as_bytes(), &mut Vec::new()).expect("a body");
                assert!(pipe.is_done() && !pipe.has_more(), "{answer:?}");
                let mut pipe = BodyPipe::of_answer(answer);
                for part in &parts {
                    pipe.pass(part.as_bytes(), &mut Vec::new()).expect("a body");
                }
                assert!(pipe.is_done() && pipe.has_more(), "{answer:?} {parts:?}");
            }
        }
    }

    #[test]
    fn chunks_lose_extensions_and_trailers() {
        let parts = ["5;a=b\r\nhel", "lo\r\n0\r\nX-Real-IP: 1.2.3.4\r\n\r\n"];
        let expected = "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
        assert_eq!(pass(BodyPipe::of_request(Body::Chunked), &parts), (expected.into(), true, 5));
        assert_eq!(pass(BodyPipe::of_answer(AnswerBody::Chunked), &parts), (expected.into(), true, 5));
    }

    #[test]
    fn malformed_chunks_are_refused() {
        let mut pipe = BodyPipe::of_request(Body::Chunked);
        assert_eq!(pipe.pass(b"5\r\nhelloX", &mut Vec::new()), Err(BadChunk));
    }

    #[test]
    fn the_end_of_a_stream_ends_a_body_without_a_length_only() {
        let mut pipe = BodyPipe::of_stream(Body::Chunked);
        let mut out = Vec::new();
        pipe.pass(b"hello", &mut out).expect("a body");
        assert!(pipe.close(&mut out));
        assert_eq!(out, b"5\r\nhello\r\n0\r\n\r\n");
        let mut pipe = BodyPipe::of_stream(Body::Length(5));
        pipe.pass(b"hell", &mut out).expect("a body");
        assert!(!pipe.close(&mut out));
    }

    #[test]
    fn a_receiver_with_http_2_gets_data_without_chunks() {
        let parts = ["5;a=b\r\nhel", "lo\r\n0\r\nX-Real-IP: 1.2.3.4\r\n\r\n"];
        let pipe = BodyPipe::of_answer(AnswerBody::Chunked).without_chunks();
        assert_eq!(pass(pipe, &parts), ("hello".into(), true, 5));
        let mut pipe = BodyPipe::of_answer(AnswerBody::UntilClose).without_chunks();
        let mut out = Vec::new();
        pipe.pass(b"hello", &mut out).expect("a body");
        assert!(pipe.close(&mut out));
        assert_eq!(out, b"hello");
    }

    #[test]
    fn a_body_up_to_the_end_of_the_connection_becomes_chunks() {
        let mut pipe = BodyPipe::of_answer(AnswerBody::UntilClose);
        let mut out = Vec::new();
        pipe.pass(b"hello", &mut out).expect("a body");
        assert!(!pipe.is_done());
        assert!(pipe.close(&mut out));
        assert_eq!(out, b"5\r\nhello\r\n0\r\n\r\n");
        assert!(!BodyPipe::of_answer(AnswerBody::Length(5)).close(&mut Vec::new()));
    }
}
