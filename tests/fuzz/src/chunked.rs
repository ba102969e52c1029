//! Property: the verdict about any bytes as a chunked body does not depend on how they are split into
//! reads, and `httparse` and a simple reader read the same from an accepted body. A body that passes a
//! pipe has the same data, in chunks without extensions and trailers.

use approov_gateway::http::{AnswerBody, BadChunk, Body, BodyPipe, BodyReader, ChunkedReader, Part};

/// The data of a body and the number of bytes after it. `None` if the body is incomplete.
type Read = Result<Option<(Vec<u8>, usize)>, BadChunk>;

/// Checks the property of this module.
///
/// # Panics
/// If the property does not hold.
pub fn holds(data: &[u8]) {
    let request = read(ChunkedReader::of_request(), data, usize::MAX);
    let answer = read(ChunkedReader::of_answer(), data, usize::MAX);
    for size in [1, 2, 7, 64] {
        assert_eq!(request, read(ChunkedReader::of_request(), data, size), "{size} bytes at a time");
        assert_eq!(answer, read(ChunkedReader::of_answer(), data, size), "{size} bytes at a time");
    }
    for size in [1, 7, usize::MAX] {
        passes(BodyPipe::of_request(Body::Chunked), &request, data, size);
        passes(BodyPipe::of_answer(AnswerBody::Chunked), &answer, data, size);
    }
    if request.is_ok() {
        assert_eq!(request, answer, "an answer may have all that a request may have");
    }
    if let Ok(Some((body, rest))) = &answer {
        let framed = &data[..data.len() - rest];
        assert_eq!(naive(framed).as_ref(), Some(body), "{}", framed.escape_ascii());
        let (count, judged) = BodyReader::Chunked(ChunkedReader::of_answer()).count(data);
        assert_eq!((count, judged), (framed.len(), Ok(())));
    }
}

fn read(mut reader: ChunkedReader, data: &[u8], size: usize) -> Read {
    let (mut at, mut body) = (0, Vec::new());
    while at < data.len() {
        let end = at.saturating_add(size).min(data.len());
        let part = reader.next(&data[at..end])?;
        assert!(at + part.length() <= end);
        if let Part::Data(length) = part {
            body.extend_from_slice(&data[at..at + length]);
        }
        at += part.length();
        if reader.is_done() {
            assert!(matches!(part, Part::End(_)));
            return Ok(Some((body, data.len() - at)));
        }
    }
    Ok(None)
}

/// Checks what a pipe makes of `data`, from which a reader has read `read`.
fn passes(mut pipe: BodyPipe, read: &Read, data: &[u8], size: usize) {
    let (mut out, mut passed, mut fault) = (Vec::new(), Vec::new(), None);
    for part in data.chunks(size.min(data.len().max(1))) {
        let count = pipe.pass_each(part, &mut out, |data| passed.extend_from_slice(data));
        fault = count.err();
        if fault.is_some() {
            break;
        }
    }
    assert_eq!(pipe.is_done(), matches!(read, Ok(Some(_))));
    assert_eq!(fault.is_some(), read.is_err());
    if let Ok(Some((body, _))) = read {
        assert_eq!((&passed, pipe.bytes()), (body, body.len() as u64));
        let mut rest = &out[..];
        while rest != b"0\r\n\r\n" {
            let end = rest.iter().position(|byte| *byte == b'\r').expect("a size and its line end");
            let digits = std::str::from_utf8(&rest[..end]).expect("ASCII");
            let size = usize::from_str_radix(digits, 16).expect("digits without extension");
            assert!(size > 0 && rest[end..].starts_with(b"\r\n"));
            let (_, behind) = rest[end + 2..].split_at(size);
            rest = behind.strip_prefix(b"\r\n").expect("the end of a chunk");
        }
        assert_eq!(naive(&out).as_ref(), Some(body));
    }
}

/// Reads a complete body line by line, with chunk sizes parsed by `httparse`.
fn naive(mut framed: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let httparse::Status::Complete((behind, size)) = httparse::parse_chunk_size(framed).ok()? else {
            return None;
        };
        let line = &framed[..behind];
        assert!(line.ends_with(b"\r\n"));
        assert_eq!(line.iter().filter(|byte| matches!(byte, b'\r' | b'\n')).count(), 2);
        framed = &framed[behind..];
        if size == 0 {
            break;
        }
        let (data, rest) = framed.split_at_checked(usize::try_from(size).ok()?)?;
        body.extend_from_slice(data);
        framed = rest.strip_prefix(b"\r\n")?;
    }
    while framed != b"\r\n" {
        let end = framed.windows(2).position(|pair| pair == b"\r\n")?;
        let (line, rest) = framed.split_at(end);
        let mut fields = [httparse::EMPTY_HEADER; 2];
        let section = [line, b"\r\n\r\n"].concat();
        let parsed = httparse::parse_headers(&section, &mut fields).expect("a trailer that httparse reads");
        assert!(matches!(parsed, httparse::Status::Complete((_, [_]))), "{}", line.escape_ascii());
        framed = &rest[2..];
    }
    Some(body)
}
