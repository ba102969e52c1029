//! A simple reader of HTTP/1 messages: heads with `httparse`, bodies chunk by chunk.

/// The most fields of a head that is read.
const MAX_FIELDS: usize = 272;

/// A field: the name in lower case, and the value without blanks around it.
pub type Field = (String, Vec<u8>);

/// The head of a response.
#[derive(Debug, PartialEq, Eq)]
pub struct Response {
    pub minor_version: u8,
    pub status: u16,
    pub reason: String,
    pub fields: Vec<Field>,
    pub length: usize,
}

/// The head of a request.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    pub line: (String, String, u8),
    pub fields: Vec<Field>,
    pub length: usize,
}

/// What a chunked body has up to its end, or up to the first byte that is missing or malformed.
#[derive(Debug, PartialEq, Eq)]
pub struct Chunks {
    pub data: Vec<u8>,
    /// The length of the whole body with its framing. `None` if it is not complete.
    pub length: Option<usize>,
}

impl Response {
    /// The head at the start of `bytes`. `None` if it is malformed or not complete.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut space = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut response = httparse::Response::new(&mut space);
        let Ok(httparse::Status::Complete(length)) = response.parse(bytes) else { return None };
        Some(Self {
            minor_version: response.version?,
            status: response.code?,
            reason: response.reason?.to_owned(),
            fields: fields(response.headers),
            length,
        })
    }

    /// Whether the final response is still to come.
    pub fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }
}

impl Request {
    /// The head at the start of `bytes`. `None` if it is malformed or not complete.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut space = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut request = httparse::Request::new(&mut space);
        let Ok(httparse::Status::Complete(length)) = request.parse(bytes) else { return None };
        Some(Self {
            line: (request.method?.to_owned(), request.path?.to_owned(), request.version?),
            fields: fields(request.headers),
            length,
        })
    }
}

fn fields(headers: &[httparse::Header<'_>]) -> Vec<Field> {
    let field = |header: &httparse::Header<'_>| {
        let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let start = header.value.iter().take_while(|byte| is_blank(byte)).count();
        let end = header.value.len() - header.value.iter().rev().take_while(|byte| is_blank(byte)).count();
        (header.name.to_ascii_lowercase(), header.value.get(start..end).unwrap_or_default().to_vec())
    };
    headers.iter().map(field).collect()
}

/// The values of all fields of this name.
pub fn values<'f>(fields: &'f [Field], name: &str) -> Vec<&'f [u8]> {
    fields.iter().filter(|(field, _)| field == name).map(|(_, value)| &value[..]).collect()
}

/// The items of all lists in fields of this name, in lower case.
pub fn items(fields: &[Field], name: &str) -> Vec<Vec<u8>> {
    let lists = values(fields, name).into_iter();
    lists
        .flat_map(|list| list.split(|byte| *byte == b','))
        .map(|item| item.trim_ascii().to_ascii_lowercase())
        .collect()
}

/// The value of the only `Content-Length`, if there is one.
pub fn length(fields: &[Field]) -> Option<u64> {
    let lengths = values(fields, "content-length");
    assert!(lengths.len() < 2, "two lengths");
    lengths.first().map(|digits| std::str::from_utf8(digits).expect("ASCII").parse().expect("a length"))
}

impl Chunks {
    /// The body at the start of `bytes`.
    pub fn read(bytes: &[u8]) -> Self {
        let (mut data, mut rest) = (Vec::new(), bytes);
        let end = loop {
            let Ok(httparse::Status::Complete((line, size))) = httparse::parse_chunk_size(rest) else {
                break None;
            };
            rest = &rest[line..];
            if size == 0 {
                break after_trailers(rest);
            }
            let size = usize::try_from(size).unwrap_or(usize::MAX).min(rest.len());
            data.extend_from_slice(&rest[..size]);
            let Some(behind) = rest[size..].strip_prefix(b"\r\n") else { break None };
            rest = behind;
        };
        Self { data, length: end.map(|rest| bytes.len() - rest) }
    }
}

/// The number of bytes behind the trailers that `bytes` begin with. `None` if they are not complete.
fn after_trailers(mut bytes: &[u8]) -> Option<usize> {
    loop {
        let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
        bytes = &bytes[end + 2..];
        if end == 0 {
            return Some(bytes.len());
        }
    }
}
