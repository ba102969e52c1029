//! Property: for any bytes of an origin, the client gets one response, whose end the reader can find, with the
//! fields and the data that a simple reader finds in these bytes. It does not depend on how the bytes are
//! split into reads and writes.
//!
//! The first byte of an input has flags, the second and the third the sizes of reads and writes.

use std::path::Path;
use std::sync::LazyLock;

use approov_gateway::config::{Environment, load_text};
use approov_gateway::proxy::{Download, OfflineHeads};
use pingora_core::{Error, ErrorType};

use super::reader::{Chunks, Field, Response, items, length, values};

/// Interim responses that a client gets at most.
const MAX_INTERIM: usize = 32;

/// Fields of every response that the client does not get, or that the gateway may change.
const FOR_THIS_HOP: [&str; 5] = ["connection", "keep-alive", "location", "proxy-connection", "te"];

/// The heads of a gateway with one origin.
pub(super) static HEADS: LazyLock<OfflineHeads> = LazyLock::new(|| {
    let text = "approov: { keys: [ { secret_base64: p8Zr/1c+QWb0Yk7xTq2LhV5nGd9sJ3uA6eXoMfKyIwPtR4BvCzHlN8S0aDgjE+/mU1Fi7qOx9k2ZT5cW3rVhYQ== } ] }\n\
                origins: { api: { domain: api.example.com } }\n";
    let environment = Environment::from_pairs::<&str, &str>([]);
    let settings = load_text(text, Path::new("/nonexistent/gateway.yaml"), &environment);
    let settings = settings.unwrap_or_else(|problems| panic!("{problems}")).into_snapshot_settings();
    OfflineHeads::new(&settings).expect("an origin")
});

/// An exchange as its two sides see it.
#[derive(Clone, Copy, Debug)]
struct Exchange {
    /// The method is `HEAD`.
    is_head: bool,
    /// The client speaks HTTP/2: it gets data without chunks.
    is_bare: bool,
    /// The gateway closes the client's connection.
    is_last: bool,
    /// The origin closes its connection after the bytes.
    closes: bool,
}

/// What the client has got, and how the response ended.
#[derive(Debug, PartialEq, Eq)]
struct Got {
    heads: Vec<Response>,
    data: Vec<u8>,
    is_complete: bool,
    is_malformed: bool,
    is_switch: bool,
}

/// Checks the property of this module.
///
/// # Panics
/// If the property does not hold.
pub fn holds(data: &[u8]) {
    let Some(([flags, size, room], bytes)) = data.split_first_chunk() else { return };
    let flag = |bit: u8| flags >> bit & 1 == 1;
    let exchange = Exchange { is_head: flag(0), is_bare: flag(1), is_last: flag(2), closes: flag(3) };
    let origin = Origin::read(exchange, bytes);
    let got = exchange.pass(&origin, bytes, usize::MAX, usize::MAX);
    for (size, room) in [(1, 1), (1 + usize::from(*size), 1 + usize::from(*room))] {
        assert_eq!(
            got,
            exchange.pass(&origin, bytes, size, room),
            "{size} bytes read at a time, {room} written"
        );
    }
}

impl Exchange {
    /// Passes the bytes of an origin on, and checks what the client gets. `origin` is what a simple reader finds
    /// in the bytes.
    fn pass(self, origin: &Origin, bytes: &[u8], size: usize, room: usize) -> Got {
        let mut download = Download::new(self.is_head, self.is_bare);
        let (mut wire, mut statuses, mut is_switch) = (Vec::new(), Vec::new(), false);
        for part in bytes.chunks(size) {
            if download.is_complete() || download.is_malformed() || is_switch {
                break;
            }
            let taken = download.take(part, |view, answer, is_begun, out| {
                assert_eq!(is_begun, !statuses.is_empty());
                if answer.status == 101 {
                    return Err(Error::new(ErrorType::InvalidHTTPHeader));
                }
                statuses.push(answer.status);
                if !self.is_bare {
                    HEADS.response(view, answer, self.is_last, out);
                }
                Ok(true)
            });
            is_switch = taken.is_err();
            write(&mut download, room, &mut wire);
        }
        let is_open = !download.is_complete() && !download.is_malformed() && !is_switch;
        if self.closes && is_open {
            assert_eq!(download.close(), download.is_complete());
            write(&mut download, room, &mut wire);
        }
        let (heads, data) = self.read_client(&wire, origin, &statuses, download.is_complete());
        let got = Got {
            heads,
            data,
            is_complete: download.is_complete(),
            is_malformed: download.is_malformed(),
            is_switch,
        };
        origin.agrees_with(&got, &statuses);
        assert_eq!(download.is_begun, !statuses.is_empty());
        assert_eq!(download.body_bytes(), got.data.len() as u64);
        let last = statuses.last().copied().filter(|status| *status >= 200);
        assert_eq!(download.status.map(|status| status.as_u16()), last);
        if got.is_complete && size >= bytes.len() {
            assert_eq!(download.has_more(), origin.end.is_some_and(|end| end < bytes.len()));
            assert_eq!(download.may_keep_origin(), origin.is_persistent && !download.has_more());
        }
        got
    }

    /// Reads all that the client has got. A complete response has an end that the client sees, and nothing
    /// behind it.
    fn read_client(
        self,
        wire: &[u8],
        origin: &Origin,
        statuses: &[u16],
        is_complete: bool,
    ) -> (Vec<Response>, Vec<u8>) {
        if self.is_bare {
            return (Vec::new(), wire.to_vec());
        }
        let (mut heads, mut rest) = (Vec::new(), wire);
        for (status, sent) in statuses.iter().zip(&origin.heads) {
            let head = self.read_head(rest, sent);
            assert_eq!((head.minor_version, head.status, &head.reason), (1, *status, &sent.reason));
            rest = &rest[head.length..];
            heads.push(head);
        }
        let Some(last) = heads.last().filter(|head| !head.is_interim()) else {
            assert!(rest.is_empty(), "{}", rest.escape_ascii());
            return (heads, Vec::new());
        };
        let is_chunked = !values(&last.fields, "transfer-encoding").is_empty();
        let data = match (self.has_body(last.status), is_chunked, length(&last.fields)) {
            (false, ..) => {
                assert!(rest.is_empty(), "{}", rest.escape_ascii());
                Vec::new()
            }
            (true, true, None) => {
                let body = Chunks::read(rest);
                assert_eq!(body.length, is_complete.then_some(rest.len()), "{}", rest.escape_ascii());
                body.data
            }
            (true, false, Some(length)) => {
                assert!(rest.len() as u64 <= length);
                assert_eq!(is_complete, rest.len() as u64 == length);
                rest.to_vec()
            }
            (true, ..) => panic!("two ends of the body, or none"),
        };
        (heads, data)
    }

    /// Reads a head that the client has got, and compares it with the head that the origin has `sent`. The
    /// time in it is left out.
    fn read_head(self, wire: &[u8], sent: &Response) -> Response {
        let mut head = Response::read(wire).unwrap_or_else(|| panic!("no head: {}", wire.escape_ascii()));
        let nominated = items(&sent.fields, "connection");
        let has_no_body = sent.status < 200 || sent.status == 204;
        let passes = |(name, _): &&Field| {
            let is_framing = matches!(&name[..], "content-length" | "transfer-encoding");
            let is_nominated = !is_framing && nominated.iter().any(|item| item == name.as_bytes());
            !(FOR_THIS_HOP.contains(&&name[..]) || is_nominated || is_framing && has_no_body)
                && (name != "date" || sent.is_interim())
        };
        let mut expected: Vec<Field> = sent.fields.iter().filter(passes).cloned().collect();
        if !sent.is_interim() {
            if self.has_body(sent.status) && ends_with_connection(sent) {
                expected.push(("transfer-encoding".into(), b"chunked".into()));
            }
            expected.push((
                "connection".into(),
                if self.is_last { b"close".into() } else { b"keep-alive".into() },
            ));
            assert_eq!(values(&head.fields, "date").len(), 1);
            head.fields.retain(|(name, _)| name != "date");
        }
        let found = head.fields.iter().filter(|(name, _)| name != "location");
        assert!(found.eq(&expected), "{}", wire.escape_ascii());
        head
    }

    /// Whether a final response with this status has a body (RFC 9112 §6.3).
    fn has_body(self, status: u16) -> bool {
        !self.is_head && !matches!(status, 100..200 | 204 | 304)
    }
}

/// Delivers everything to the client.
fn write(download: &mut Download, room: usize, wire: &mut Vec<u8>) {
    while !download.unwritten().is_empty() {
        if room.is_multiple_of(2) {
            wire.extend_from_slice(&download.take_unwritten(room));
        } else {
            let count = room.min(download.unwritten().len());
            wire.extend_from_slice(&download.unwritten()[..count]);
            download.written(count);
        }
    }
}

/// Whether only the end of the connection ends the body of this response, if it has one.
fn ends_with_connection(head: &Response) -> bool {
    length(&head.fields).is_none() && values(&head.fields, "transfer-encoding").is_empty()
}

/// What a simple reader finds in the bytes of an origin.
#[derive(Debug)]
struct Origin {
    heads: Vec<Response>,
    data: Vec<u8>,
    /// Where the response ends. `None` if its end is not there.
    end: Option<usize>,
    is_persistent: bool,
}

impl Origin {
    fn read(exchange: Exchange, bytes: &[u8]) -> Self {
        let (mut heads, mut at) = (Vec::new(), 0);
        let mut origin = loop {
            let Some(head) = Response::read(&bytes[at..]) else {
                return Self { heads, data: Vec::new(), end: None, is_persistent: false };
            };
            at += head.length;
            let is_interim = head.is_interim();
            heads.push(head);
            if !is_interim {
                break Self { heads, data: Vec::new(), end: None, is_persistent: false };
            }
        };
        let (rest, last) = (&bytes[at..], &origin.heads[origin.heads.len() - 1]);
        let options = items(&last.fields, "connection");
        let has = |option: &str| options.iter().any(|item| item == option.as_bytes());
        let is_chunked = !values(&last.fields, "transfer-encoding").is_empty();
        origin.is_persistent = !has("close") && (last.minor_version == 1 || has("keep-alive"));
        let lengths = values(&last.fields, "content-length");
        (origin.data, origin.end) = if !exchange.has_body(last.status) {
            (Vec::new(), Some(at))
        } else if is_chunked {
            let body = Chunks::read(rest);
            (body.data, body.length.map(|length| at + length))
        } else if let Some(digits) = lengths.first() {
            // The gateway refuses what is no length.
            let length = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u64>().ok());
            let length = usize::try_from(length.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
            (rest[..length.min(rest.len())].to_vec(), (length <= rest.len()).then(|| at + length))
        } else {
            origin.is_persistent = false;
            (rest.to_vec(), exchange.closes.then_some(bytes.len()))
        };
        origin
    }

    fn agrees_with(&self, got: &Got, statuses: &[u16]) {
        let found: Vec<u16> = self.heads.iter().map(|head| head.status).collect();
        assert!(found.starts_with(statuses), "{found:?} {statuses:?}");
        assert!(statuses.iter().filter(|status| **status < 200).count() <= MAX_INTERIM);
        assert!(!(got.is_complete && (got.is_malformed || got.is_switch)));
        if got.is_malformed || got.is_switch {
            assert!(self.data.starts_with(&got.data));
            assert_eq!(got.is_switch, found.get(statuses.len()) == Some(&101) && !got.is_malformed);
        } else if statuses.last().is_some_and(|status| *status >= 200) {
            assert_eq!((&got.data, got.is_complete), (&self.data, self.end.is_some()));
        } else {
            assert!(!got.is_complete && statuses.len() == found.len());
        }
    }
}
