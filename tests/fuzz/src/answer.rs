//! Property: the verdict about any bytes as the head of an answer does not depend on how they are split
//! into reads, and `httparse` reads the same from an accepted head. So does the index by which the head is
//! forwarded as bytes.

use approov_gateway::http::{AnswerBody, AnswerHead, AnswerReader, BadAnswer, HeadIndex};

const MAX_FIELDS: usize = 256;

/// Checks the property of this module. The first byte says whether the request was a `HEAD`.
///
/// # Panics
/// If the property does not hold.
pub fn holds(data: &[u8]) {
    let Some((first, bytes)) = data.split_first() else { return };
    let is_head = first % 2 == 1;
    let whole = AnswerReader::new(is_head).advance(bytes);
    assert_eq!(whole, in_pieces(is_head, bytes, |_| 1), "one byte at a time");
    assert_eq!(whole, in_pieces(is_head, bytes, |seen| 1 + seen % 7), "a few bytes at a time");
    if let Ok(Some(head)) = whole {
        agrees_with_httparse(is_head, &head, &bytes[..head.length]);
    }
}

fn in_pieces(
    is_head: bool,
    data: &[u8],
    size: impl Fn(usize) -> usize,
) -> Result<Option<AnswerHead>, BadAnswer> {
    let mut reader = AnswerReader::new(is_head);
    let mut seen = 0;
    while seen < data.len() {
        seen = (seen + size(seen)).min(data.len());
        match reader.advance(&data[..seen]) {
            Ok(None) => {}
            done => return done,
        }
    }
    Ok(None)
}

fn agrees_with_httparse(is_head: bool, head: &AnswerHead, bytes: &[u8]) {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let Ok(httparse::Status::Complete(length)) = response.parse(bytes) else {
        panic!("passed, and is no head to httparse: {}", bytes.escape_ascii());
    };
    assert_eq!((length, response.code), (head.length, Some(head.status)));
    assert!(bytes.iter().filter(|byte| **byte == b'\n').count() == response.headers.len() + 2);
    let index = HeadIndex::of(bytes);
    let view = index.view(bytes);
    let found: Vec<_> = view.fields().map(|field| (field.name, field.value)).collect();
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let fields = response.headers.iter().map(|field| {
        let start = field.value.iter().position(|byte| !blank(byte)).unwrap_or(field.value.len());
        let end = field.value.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
        (field.name.as_bytes(), &field.value[start..end])
    });
    assert_eq!(found, fields.collect::<Vec<_>>());
    let values = |name: &str| -> Vec<&[u8]> {
        let named = response.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| field.value).collect()
    };
    let length = match values("content-length")[..] {
        [] => None,
        [value] => {
            let digits = std::str::from_utf8(value).expect("ASCII").trim_matches([' ', '\t']);
            assert!(digits.bytes().all(|byte| byte.is_ascii_digit()));
            Some(digits.parse::<u64>().expect("a length"))
        }
        _ => panic!("two lengths"),
    };
    let is_chunked = !values("transfer-encoding").is_empty();
    assert!(!(is_chunked && (length.is_some() || response.version == Some(0))));
    let expected = match (head.status, length) {
        (101, _) => AnswerBody::Tunnel,
        (100..200 | 204 | 304, _) => AnswerBody::Empty,
        _ if is_head => AnswerBody::Empty,
        (_, Some(length)) => AnswerBody::Length(length),
        _ if is_chunked => AnswerBody::Chunked,
        _ => AnswerBody::UntilClose,
    };
    assert_eq!(head.body, expected);
}
