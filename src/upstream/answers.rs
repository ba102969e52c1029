//! The answers on one connection to an origin, judged before Pingora parses them.

use crate::http::{AnswerBody, AnswerReader, BodyReader, ChunkedReader, MAX_INTERIM};

/// Why the bytes that an origin sent are not handed on. The connection must then be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnswerFault {
    /// The answer is malformed or ambiguous.
    Malformed,
    /// No request asked for these bytes: they may belong to an answer that another client waits for.
    Unsolicited,
}

/// Follows the answers on one connection.
#[derive(Debug)]
pub(super) struct AnswerTracker(Expected);

#[derive(Debug)]
enum Expected {
    /// No request was sent, so no answer may arrive.
    Quiet,
    /// A head is expected. `seen` holds the bytes of a head that arrives in parts.
    Head {
        is_head: bool,
        reader: AnswerReader,
        seen: Vec<u8>,
        interim: usize,
    },
    Body(BodyReader),
    /// The connection must be closed.
    Spoilt(AnswerFault),
}

impl AnswerTracker {
    pub fn new() -> Self {
        Self(Expected::Quiet)
    }

    /// Whether the last answer is complete and nothing has followed it.
    pub fn are_complete(&self) -> bool {
        matches!(self.0, Expected::Quiet)
    }

    /// Whether the connection must be closed.
    pub fn are_spoilt(&self) -> bool {
        matches!(self.0, Expected::Spoilt(_))
    }

    /// Whether an answer is expected of which no byte has come.
    pub fn are_due(&self) -> bool {
        matches!(&self.0, Expected::Head { seen, .. } if seen.is_empty())
    }

    /// The connection is of no use any more.
    pub fn spoil(&mut self) {
        self.0 = Expected::Spoilt(AnswerFault::Malformed);
    }

    /// Expects the answer to a request; `is_head` if its method is `HEAD`.
    pub fn expect(&mut self, is_head: bool) {
        self.0 = Expected::head(is_head, 0);
    }

    /// The number of bytes that may be handed on, and what is wrong with the byte behind them.
    pub fn judge(&mut self, bytes: &[u8]) -> (usize, Option<AnswerFault>) {
        let mut count = 0;
        while count < bytes.len() {
            match self.0.judge(&bytes[count..]) {
                Ok(length) => count += length,
                Err(fault) => {
                    self.0 = Expected::Spoilt(fault);
                    return (count, Some(fault));
                }
            }
        }
        (count, None)
    }
}

impl Expected {
    fn head(is_head: bool, interim: usize) -> Self {
        Expected::Head { is_head, reader: AnswerReader::new(is_head), seen: Vec::new(), interim }
    }

    /// The length of the good part at the start of `bytes`.
    fn judge(&mut self, bytes: &[u8]) -> Result<usize, AnswerFault> {
        match self {
            Expected::Quiet => Err(AnswerFault::Unsolicited),
            Expected::Spoilt(fault) => Err(*fault),
            Expected::Head { is_head, reader, seen, interim } => {
                let before = seen.len();
                let head = if before == 0 {
                    reader.advance(bytes)
                } else {
                    seen.extend_from_slice(bytes);
                    reader.advance(seen)
                };
                let Some(head) = head.map_err(|_| AnswerFault::Malformed)? else {
                    if before == 0 {
                        seen.extend_from_slice(bytes);
                    }
                    return Ok(bytes.len());
                };
                *self = match head.body {
                    _ if head.is_interim() && *interim == MAX_INTERIM => return Err(AnswerFault::Malformed),
                    _ if head.is_interim() => Expected::head(*is_head, *interim + 1),
                    AnswerBody::Empty | AnswerBody::Length(0) => Expected::Quiet,
                    AnswerBody::Length(length) => Expected::Body(BodyReader::Length(length)),
                    AnswerBody::Chunked => Expected::Body(BodyReader::Chunked(ChunkedReader::of_answer())),
                    AnswerBody::UntilClose | AnswerBody::Tunnel => Expected::Body(BodyReader::Endless),
                };
                Ok(head.length - before)
            }
            Expected::Body(body) => {
                let (count, judged) = body.count(bytes);
                if count == 0 && judged.is_err() {
                    return Err(AnswerFault::Malformed);
                }
                if body.is_done() {
                    *self = Expected::Quiet;
                }
                Ok(count)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that are handed on, and the fault. Checks that bytes that arrive one at a time give the
    /// same complete answers.
    fn judge(is_head: bool, bytes: &str) -> (String, Option<AnswerFault>) {
        let mut answers = AnswerTracker::new();
        answers.expect(is_head);
        let (count, fault) = answers.judge(bytes.as_bytes());
        let mut piecemeal = AnswerTracker::new();
        piecemeal.expect(is_head);
        let found = bytes.as_bytes().chunks(1).map(|byte| piecemeal.judge(byte).1).find(Option::is_some);
        assert_eq!(found.flatten(), fault, "{bytes:?}");
        (bytes[..count].to_owned(), fault)
    }

    const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

    #[test]
    fn whole_answers_are_handed_on() {
        for (is_head, answer) in [
            (false, HELLO.to_owned()),
            (false, format!("{CHUNKED}5\r\nhello\r\n0\r\n\r\n")),
            (false, format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n{HELLO}")),
            (false, "HTTP/1.0 200 OK\r\n\r\nanything".to_owned()),
            (false, "HTTP/1.1 204 No Content\r\n\r\n".to_owned()),
            (true, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".to_owned()),
        ] {
            assert_eq!(judge(is_head, &answer), (answer, None));
        }
    }

    #[test]
    fn bytes_behind_an_answer_are_kept_back() {
        for (is_head, answer, rest) in [
            (false, HELLO.to_owned(), HELLO),
            (false, HELLO.to_owned(), "\r\n"),
            (false, format!("{CHUNKED}0\r\n\r\n"), HELLO),
            (false, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n".to_owned(), "hello"),
            (true, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".to_owned(), "hello"),
        ] {
            assert_eq!(judge(is_head, &format!("{answer}{rest}")), (answer, Some(AnswerFault::Unsolicited)));
        }
        assert_eq!(AnswerTracker::new().judge(b"HTTP"), (0, Some(AnswerFault::Unsolicited)));
    }

    #[test]
    fn a_malformed_answer_is_not_handed_on_and_the_connection_is_spoilt() {
        let mut answers = AnswerTracker::new();
        answers.expect(false);
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n";
        assert_eq!(answers.judge(head), (0, Some(AnswerFault::Malformed)));
        assert_eq!(answers.judge(HELLO.as_bytes()), (0, Some(AnswerFault::Malformed)));
        assert!(!answers.are_complete());
        let body = format!("{CHUNKED}5\r\nhello");
        assert_eq!(judge(false, &format!("{body}\r\n5;a\nb\r\nhello")).1, Some(AnswerFault::Malformed));
        assert_eq!(judge(false, &format!("{body}junk")), (body, Some(AnswerFault::Malformed)));
    }

    #[test]
    fn interim_answers_are_limited() {
        let interim = "HTTP/1.1 103 Early Hints\r\n\r\n";
        let most = interim.repeat(MAX_INTERIM);
        assert_eq!(judge(false, &format!("{most}{HELLO}")).1, None);
        assert_eq!(judge(false, &format!("{most}{interim}")), (most, Some(AnswerFault::Malformed)));
    }
}
