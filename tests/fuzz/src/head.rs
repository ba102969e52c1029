//! Property: the verdict about any bytes as the head of a request does not depend on how they are split
//! into reads, and `httparse` and Pingora read the same from an accepted head. So does the index by which
//! the head is forwarded as bytes.

use std::cell::LazyCell;
use std::io::Cursor;

use approov_gateway::http::{Body, Head, HeadFault, HeadIndex, HeadLimits, HeadReader, RequestLine};
use bytes::BytesMut;
use pingora_core::protocols::http::v1::server::HttpSession;
use tokio::runtime::{Builder, Runtime};

const LIMITS: HeadLimits = HeadLimits { bytes: 2048, fields: 24, target: 512 };

thread_local! {
    static RUNTIME: LazyCell<Runtime> =
        LazyCell::new(|| Builder::new_current_thread().enable_all().build().expect("a runtime"));
}

/// Checks the property of this module.
///
/// # Panics
/// If the property does not hold.
pub fn holds(data: &[u8]) {
    let whole = HeadReader::default().advance(data, &LIMITS);
    assert_eq!(whole, in_pieces(data, |_| 1), "one byte at a time");
    assert_eq!(whole, in_pieces(data, |seen| 1 + seen % 7), "a few bytes at a time");
    match whole {
        Ok(Some(head)) => {
            let (bytes, rest) = data.split_at(head.length);
            let message = Message::parse(bytes);
            message.agrees_with(&head);
            message.agrees_with_index(bytes);
            RUNTIME.with(|runtime| runtime.block_on(message.agrees_with_pingora(&head, bytes, rest)));
        }
        Ok(None) => assert!(data.len() <= LIMITS.bytes),
        Err(_) => {}
    }
}

fn in_pieces(data: &[u8], size: impl Fn(usize) -> usize) -> Result<Option<Head>, HeadFault> {
    let mut reader = HeadReader::default();
    let mut seen = 0;
    while seen < data.len() {
        seen = (seen + size(seen)).min(data.len());
        match reader.advance(&data[..seen], &LIMITS) {
            Ok(None) => {}
            done => return done,
        }
    }
    Ok(None)
}

/// A head, read by `httparse`.
struct Message<'h> {
    method: &'h str,
    target: &'h str,
    minor_version: u8,
    fields: Vec<(&'h str, &'h [u8])>,
    length: usize,
}

impl<'h> Message<'h> {
    fn parse(bytes: &'h [u8]) -> Self {
        let mut fields = [httparse::EMPTY_HEADER; LIMITS.fields];
        let mut request = httparse::Request::new(&mut fields);
        let Ok(httparse::Status::Complete(length)) = request.parse(bytes) else {
            panic!("passed, and is no head to httparse: {}", bytes.escape_ascii());
        };
        Self {
            method: request.method.expect("a method"),
            target: request.path.expect("a target"),
            minor_version: request.version.expect("a version"),
            fields: request.headers.iter().map(|field| (field.name, field.value)).collect(),
            length,
        }
    }

    fn values(&self, name: &str) -> Vec<&'h [u8]> {
        let named = self.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        named.map(|(_, value)| without_blanks(value)).collect()
    }

    fn agrees_with(&self, head: &Head) {
        assert_eq!(self.length, head.length);
        assert_eq!(!self.values("upgrade").is_empty(), head.has_upgrade);
        let length = match self.values("content-length")[..] {
            [] => None,
            [digits] => Some(std::str::from_utf8(digits).expect("ASCII").parse().expect("a length")),
            _ => panic!("several lengths passed"),
        };
        let body = match (self.values("transfer-encoding")[..].len(), length) {
            (0, length) => Body::Length(length.unwrap_or(0)),
            (1, None) => Body::Chunked,
            _ => panic!("chunks and a length passed, or chunks of chunks"),
        };
        assert_eq!(body, head.body);
        let hosts = self.values("host").len();
        assert!(hosts == 1 || hosts == 0 && self.minor_version == 0, "{hosts} hosts passed");
        assert!(self.target.starts_with('/') || self.method == "CONNECT", "{}", self.target);
    }

    fn agrees_with_index(&self, bytes: &[u8]) {
        let index = HeadIndex::of(bytes);
        let view = index.view(bytes);
        assert!(bytes.strip_prefix(view.first_line()).is_some_and(|rest| rest.starts_with(b"\r\n")));
        let found: Vec<_> = view.fields().map(|field| (field.name, field.value)).collect();
        let fields = self.fields.iter().map(|(name, value)| (name.as_bytes(), without_blanks(value)));
        assert_eq!(found, fields.collect::<Vec<_>>());
        assert_eq!(view.field_count(), self.fields.len());
    }

    async fn agrees_with_pingora(&self, head: &Head, bytes: &[u8], rest: &[u8]) {
        let line = RequestLine::of(bytes).expect("a request line");
        assert_eq!((line.method, line.target), (self.method.as_bytes(), self.target.as_bytes()));
        let mut session = HttpSession::new(Box::new(Cursor::new(rest.to_vec())));
        session.set_pipelined_prefix(BytesMut::from(bytes));
        let read = session.read_request().await;
        let length = read.unwrap_or_else(|error| panic!("passed, and Pingora refuses it: {error}"));
        assert_eq!(length, Some(head.length));
        let request = session.req_header();
        assert_eq!(request.method.as_str(), self.method);
        assert_eq!(request.raw_path(), self.target.as_bytes());
        assert_eq!(request.version == http::Version::HTTP_11, self.minor_version == 1);
        assert_eq!(request.headers.len(), self.fields.len());
        for (name, _) in &self.fields {
            let values = request.headers.get_all(*name).iter().map(|value| without_blanks(value.as_bytes()));
            assert_eq!(values.collect::<Vec<_>>(), self.values(name), "{name}");
        }
        if let Body::Length(length) = head.body {
            let is_whole = usize::try_from(length).is_ok_and(|length| length <= rest.len());
            assert_eq!(session.is_body_empty(), length == 0);
            if is_whole {
                let mut body = Vec::new();
                while let Some(part) = session.read_body_bytes().await.expect("a body that is there") {
                    body.extend_from_slice(&part);
                }
                assert_eq!(body.len() as u64, length);
                assert!(rest.starts_with(&body));
            }
        } else {
            assert!(!session.is_body_empty());
        }
    }
}

/// Space and tab, the only white space around a value (RFC 9110 §5.6.3).
fn without_blanks(value: &[u8]) -> &[u8] {
    let is_content = |byte: &u8| !matches!(byte, b' ' | b'\t');
    let start = value.iter().position(is_content).unwrap_or(value.len());
    let end = value.iter().rposition(is_content).map_or(start, |last| last + 1);
    &value[start..end]
}
