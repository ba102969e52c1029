//! Property: for any bytes of a client, the origin gets one request, whose end the reader can find, with the
//! fields and the data that a simple reader finds in these bytes. It does not depend on how the bytes are
//! split into reads and writes, and on whether the request is sent again.
//!
//! The first byte of an input has flags; the second and the third have the sizes of reads and writes; the
//! fourth and the fifth tell after how many writes the request is sent again and after how many it is
//! answered.

use approov_gateway::http::{Body, BodyPipe, Head, HeadIndex, HeadLimits, HeadReader};
use approov_gateway::policy::is_identity_field;
use approov_gateway::proxy::Upload;

use super::reader::{Chunks, Field, Request, items, values};
use super::response::HEADS;

const LIMITS: HeadLimits = HeadLimits { bytes: 2048, fields: 24, target: 512 };

/// Limits that a forwarded head never reaches.
const NO_LIMITS: HeadLimits = HeadLimits { bytes: 1 << 16, fields: 64, target: 512 };

/// Fields for one hop (RFC 9110 §7.6.1).
const FOR_THIS_HOP: [&str; 10] = [
    "connection",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Fields that only the gateway sets, and fields that it reads itself. No origin gets them from a client.
const OWN: [&str; 4] = ["approov-gateway-verdict", "approov-token", "host", "x-request-id"];

/// Fields whose other spellings an origin could take for them.
const GUARDED: [&str; 4] = ["connection", "content-length", "transfer-encoding", "upgrade"];

/// How the body of a request gets to the origin.
#[derive(Clone, Copy, Debug)]
struct Way {
    /// The client speaks HTTP/2, whose frames end the body.
    is_stream: bool,
    /// The whole body is held back and verified first.
    is_held: bool,
    /// Bytes in one read of the client.
    size: usize,
    /// Bytes in one write to the origin.
    room: usize,
    /// The number of writes after which the connection breaks.
    breaks: usize,
    /// The number of writes after which the origin has answered.
    answers: usize,
}

/// What has become of the body.
#[derive(Debug)]
struct Outcome {
    /// What the last connection to the origin has got.
    wire: Vec<u8>,
    /// The data that was read from the client.
    data: Vec<u8>,
    is_complete: bool,
    is_malformed: bool,
}

/// Checks the property of this module.
///
/// # Panics
/// If the property does not hold.
pub fn holds(data: &[u8]) {
    let Some(([flags, size, room, breaks, answers], bytes)) = data.split_first_chunk() else { return };
    let Ok(Some(head)) = HeadReader::default().advance(bytes, &LIMITS) else { return };
    let (head_bytes, body) = bytes.split_at(head.length);
    let client = Request::read(head_bytes).expect("a head that httparse reads");
    let index = HeadIndex::of(head_bytes);
    let forwarded = HEADS.request(index.view(head_bytes), head.body);
    assert_eq!(forwarded.is_some(), is_plain(&client), "{}", head_bytes.escape_ascii());
    let Some(forwarded) = forwarded else { return };
    agrees(&client, head, &forwarded);

    let [size, room, breaks, answers] = [size, room, breaks, answers].map(|byte| usize::from(*byte));
    let way = Way {
        is_stream: flags & 1 != 0,
        is_held: flags & 2 != 0,
        size: 1 + size,
        room: 1 + room,
        breaks,
        answers,
    };
    for way in [way, Way { size: 1, room: 1, ..way }, Way { size: usize::MAX, room: usize::MAX, ..way }] {
        let outcome = way.send(head.body, &forwarded, body);
        way.agrees(&outcome, head.body, &forwarded, body);
    }
}

/// Whether a direct exchange serves a request with this head.
fn is_plain(client: &Request) -> bool {
    let (method, _, minor_version) = &client.line;
    let is_usual = |option: &Vec<u8>| matches!(&option[..], b"" | b"close" | b"keep-alive");
    *minor_version == 1
        && method != "CONNECT"
        && values(&client.fields, "upgrade").is_empty()
        && values(&client.fields, "expect").is_empty()
        && items(&client.fields, "connection").iter().all(is_usual)
}

/// Checks the head for the origin.
fn agrees(client: &Request, head: Head, forwarded: &[u8]) {
    let expected = Head { length: forwarded.len(), ..head };
    assert_eq!(HeadReader::default().advance(forwarded, &NO_LIMITS), Ok(Some(expected)));
    let origin = Request::read(forwarded).expect("a head that httparse reads");
    assert_eq!((origin.length, &origin.line), (forwarded.len(), &client.line));
    let cookies = values(&client.fields, "cookie");
    let mut own: Vec<Field> = Vec::new();
    if cookies.len() > 1 {
        let cookies: Vec<&[u8]> = cookies.iter().copied().filter(|cookie| !cookie.is_empty()).collect();
        own.push(("cookie".into(), cookies.join(&b"; "[..])));
    }
    let host = values(&client.fields, "host")[0].to_vec();
    own.push(("x-forwarded-host".into(), host));
    own.push(("x-forwarded-for".into(), b"127.0.0.1".into()));
    own.push(("x-forwarded-proto".into(), b"https".into()));
    own.push(("host".into(), b"api.example.com".into()));
    if head.body == Body::Chunked {
        own.push(("transfer-encoding".into(), b"chunked".into()));
    }
    let passed = origin.fields.strip_suffix(&own[..]);
    let passed = passed.unwrap_or_else(|| panic!("{}", forwarded.escape_ascii()));
    let passes = |(name, _): &&Field| {
        let plain = name.replace(|mark: char| !mark.is_ascii_alphanumeric(), "-");
        let is_removed = FOR_THIS_HOP.contains(&&name[..])
            || OWN.contains(&&plain[..])
            || is_identity_field(&plain)
            || (GUARDED.contains(&&plain[..]) && *name != plain)
            || (name == "cookie" && cookies.len() > 1);
        !is_removed
    };
    assert!(passed.iter().eq(client.fields.iter().filter(passes)), "{}", forwarded.escape_ascii());
}

impl Way {
    /// Sends the request as far as `bytes` have a body.
    fn send(self, body: Body, head: &[u8], bytes: &[u8]) -> Outcome {
        let pipe = if self.is_stream { BodyPipe::of_stream(body) } else { BodyPipe::of_request(body) };
        let mut upload = Upload::new(pipe);
        let mut outcome =
            Outcome { wire: Vec::new(), data: Vec::new(), is_complete: false, is_malformed: false };
        let mut parts = bytes.chunks(self.size);
        if self.is_held {
            let is_chunked = upload.body.left().is_none();
            while !upload.body.is_done() && outcome.read(&mut upload.body, parts.next(), &mut Vec::new()) {}
            if !upload.body.is_done() {
                return outcome;
            }
            upload.put_held(outcome.data.clone(), is_chunked);
        }
        upload.begin(head.to_vec());
        let mut writes = 0;
        loop {
            while !upload.unsent().is_empty() {
                let count = self.room.min(upload.unsent().len());
                outcome.wire.extend_from_slice(&upload.unsent()[..count]);
                upload.sent(count);
                writes += 1;
                if writes == self.answers {
                    upload.forget();
                    assert!(!upload.is_repeatable());
                }
                if writes == self.breaks && upload.is_repeatable() {
                    outcome.wire.clear();
                    upload.begin(head.to_vec());
                }
            }
            if upload.body.is_done() {
                break;
            }
            let (pipe, out) = upload.room();
            if !outcome.read(pipe, parts.next(), out) {
                break;
            }
        }
        assert!(outcome.is_malformed || upload.is_sent() == upload.body.is_done());
        outcome.is_complete = upload.is_sent();
        outcome
    }

    /// Checks what the origin has got of the request.
    fn agrees(self, outcome: &Outcome, body: Body, head: &[u8], bytes: &[u8]) {
        let Outcome { wire, data, is_complete, is_malformed } = outcome;
        assert!(!(*is_complete && *is_malformed));
        let expected = match body {
            Body::Length(length) => {
                let end = bytes.len().min(usize::try_from(length).unwrap_or(usize::MAX));
                assert_eq!(*is_complete, end as u64 == length);
                bytes[..end].to_vec()
            }
            Body::Chunked if self.is_stream => bytes.to_vec(),
            Body::Chunked => {
                let chunks = Chunks::read(bytes);
                assert!(*is_malformed || *is_complete == chunks.length.is_some());
                chunks.data
            }
        };
        assert!(if *is_malformed { expected.starts_with(data) } else { expected == *data });
        if self.is_held && !is_complete {
            assert!(wire.is_empty());
            return;
        }
        let sent = wire.strip_prefix(head).expect("the head");
        if body != Body::Chunked {
            assert_eq!(sent, data);
            return;
        }
        let chunks = Chunks::read(sent);
        assert_eq!(chunks.length, is_complete.then_some(sent.len()), "{}", sent.escape_ascii());
        assert!(if *is_malformed { data.starts_with(&chunks.data) } else { *data == chunks.data });
    }
}

impl Outcome {
    /// Reads a part of the body; `None` is the end of the connection or the stream. Returns whether the body
    /// may go on.
    fn read(&mut self, pipe: &mut BodyPipe, part: Option<&[u8]>, out: &mut Vec<u8>) -> bool {
        let Some(part) = part else { return pipe.close(out) };
        let data = &mut self.data;
        self.is_malformed = pipe.pass_each(part, out, |part| data.extend_from_slice(part)).is_err();
        !self.is_malformed
    }
}
