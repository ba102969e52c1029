//! Chunked bodies (RFC 9112 §7.1), judged byte by byte.
//!
//! The reader only says which bytes are data and where the body ends; it keeps no bytes. The rules are
//! stricter than the RFC: see [`ChunkedReader::of_request`].

use std::fmt;

use super::grammar::is_token;

/// Hexadecimal digits of a chunk size: as many as fit into 64 bits.
const MAX_DIGITS: u8 = 16;

/// Bytes of extensions that a body may have beyond twice its data. Signed uploads have an extension in
/// every chunk; a body that is mostly extensions only costs work.
const MAX_EXCESS: u64 = 16 * 1024;

/// Bytes of the trailer section.
const MAX_TRAILER: u64 = 8 * 1024;

/// A chunked body is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadChunk;

impl fmt::Display for BadChunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a malformed chunk")
    }
}

impl std::error::Error for BadChunk {}

/// The next part of a chunked body. The number counts bytes from the start of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Sizes, extensions, trailers and line ends.
    Framing(usize),
    /// This many bytes of a chunk's data.
    Data(usize),
    /// The last bytes of framing. The body is complete.
    End(usize),
}

impl Part {
    /// The number of bytes in this part.
    pub fn length(self) -> usize {
        match self {
            Part::Framing(length) | Part::Data(length) | Part::End(length) => length,
        }
    }
}

/// Finds the end of one chunked body.
#[derive(Clone, Debug)]
pub struct ChunkedReader {
    state: ChunkState,
    /// Answers may have blanks around extensions.
    is_answer: bool,
    /// The size read so far, then the bytes of data that are left.
    size: u64,
    digits: u8,
    excess: u64,
    trailer: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChunkState {
    Size,
    /// Blanks behind the size or behind an extension; answers only.
    Blank,
    ExtensionStart,
    ExtensionName,
    /// Blanks behind the name of an extension; answers only.
    BlankBehindName,
    ValueStart,
    TokenValue,
    QuotedValue,
    QuotedPair,
    BehindQuoted,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Done,
    /// The body is malformed, and every further byte is an error.
    Broken,
}

impl ChunkedReader {
    /// A reader for the body of a request. It refuses what some reader could take for something else:
    /// bare line feeds, sizes without digits or with more than 16, blanks, extensions that are not
    /// `name`, `name=token` or `name="quoted"`, and trailers that are not header fields.
    pub fn of_request() -> Self {
        Self { state: ChunkState::Size, is_answer: false, size: 0, digits: 0, excess: 0, trailer: 0 }
    }

    /// A reader for the body of an answer. Blanks around extensions are accepted: some servers pad sizes.
    pub fn of_answer() -> Self {
        Self { is_answer: true, ..Self::of_request() }
    }

    /// The part at the start of `input`, which continues where the last part ended. `input` is not empty.
    /// After [`Part::End`] every further part is an empty `End`.
    ///
    /// # Errors
    /// [`BadChunk`] if the body is malformed.
    pub fn next(&mut self, input: &[u8]) -> Result<Part, BadChunk> {
        if self.state == ChunkState::Data {
            let left = usize::try_from(self.size).unwrap_or(usize::MAX);
            let length = input.len().min(left);
            self.size -= length as u64;
            if self.size == 0 {
                self.state = ChunkState::DataCr;
            }
            return Ok(Part::Data(length));
        }
        for (at, byte) in input.iter().enumerate() {
            match self.state {
                ChunkState::Data => return Ok(Part::Framing(at)),
                ChunkState::Done => return Ok(Part::End(at)),
                _ => {
                    let next = self.step(*byte);
                    self.state = *next.as_ref().unwrap_or(&ChunkState::Broken);
                    next?;
                }
            }
        }
        Ok(if self.state == ChunkState::Done { Part::End(input.len()) } else { Part::Framing(input.len()) })
    }

    /// Whether the whole body has been read.
    pub fn is_done(&self) -> bool {
        self.state == ChunkState::Done
    }

    fn step(&mut self, byte: u8) -> Result<ChunkState, BadChunk> {
        use ChunkState::*;
        let next = match (self.state, byte) {
            (Size, digit) if digit.is_ascii_hexdigit() => return self.digit(digit),
            (Size, _) if self.digits == 0 => return Err(BadChunk),
            (Size | ExtensionName | TokenValue | BehindQuoted | Blank | BlankBehindName, b'\r') => SizeLf,
            (Size | ExtensionName | TokenValue | BehindQuoted | Blank | BlankBehindName, b';') => {
                ExtensionStart
            }
            (Size | TokenValue | BehindQuoted | Blank, b' ' | b'\t') if self.is_answer => Blank,
            (ExtensionName | BlankBehindName, b' ' | b'\t') if self.is_answer => BlankBehindName,
            (ExtensionStart | ValueStart, b' ' | b'\t') if self.is_answer => self.state,
            (ExtensionStart | ExtensionName, byte) if is_token(&[byte]) => ExtensionName,
            (ExtensionName | BlankBehindName, b'=') => ValueStart,
            (ValueStart, b'"') => QuotedValue,
            (ValueStart | TokenValue, byte) if is_token(&[byte]) => TokenValue,
            (QuotedValue, b'"') => BehindQuoted,
            (QuotedValue, b'\\') => QuotedPair,
            (QuotedValue | QuotedPair, byte) if is_text(byte) => QuotedValue,
            (SizeLf, b'\n') => return Ok(self.size_line_ends()),
            (DataCr, b'\r') => DataLf,
            (DataLf, b'\n') => {
                self.digits = 0;
                return Ok(Size);
            }
            (TrailerStart, b'\r') => EndLf,
            (EndLf, b'\n') => return Ok(Done),
            (TrailerStart | TrailerName, byte) if is_token(&[byte]) => TrailerName,
            (TrailerName, b':') => TrailerValue,
            (TrailerValue, b'\r') => TrailerLf,
            (TrailerValue, byte) if is_text(byte) => TrailerValue,
            (TrailerLf, b'\n') => TrailerStart,
            _ => return Err(BadChunk),
        };
        self.count(next)?;
        Ok(next)
    }

    fn digit(&mut self, digit: u8) -> Result<ChunkState, BadChunk> {
        if self.digits == MAX_DIGITS {
            return Err(BadChunk);
        }
        if self.digits == 0 {
            self.size = 0;
        }
        let value = char::from(digit).to_digit(16).ok_or(BadChunk)?;
        self.size = self.size << 4 | u64::from(value);
        self.digits += 1;
        Ok(ChunkState::Size)
    }

    /// The state behind a size: data, or trailers after the last chunk.
    fn size_line_ends(&mut self) -> ChunkState {
        self.excess = self.excess.saturating_sub(self.size.saturating_mul(2));
        if self.size == 0 { ChunkState::TrailerStart } else { ChunkState::Data }
    }

    /// Limits the bytes of extensions and trailers.
    fn count(&mut self, next: ChunkState) -> Result<(), BadChunk> {
        match next {
            ChunkState::TrailerStart
            | ChunkState::TrailerName
            | ChunkState::TrailerValue
            | ChunkState::TrailerLf => {
                self.trailer += 1;
            }
            ChunkState::DataCr | ChunkState::DataLf | ChunkState::SizeLf | ChunkState::EndLf => {}
            _ => self.excess += 1,
        }
        if self.trailer > MAX_TRAILER || self.excess > MAX_EXCESS { Err(BadChunk) } else { Ok(()) }
    }
}

/// A byte of a field value or of a quoted string.
fn is_text(byte: u8) -> bool {
    byte >= b' ' && byte != 0x7f || byte == b'\t'
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data, and the bytes behind the end; `None` if the body is not complete. Checks that the
    /// result does not depend on how the bytes arrive.
    fn read(reader: &ChunkedReader, bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, BadChunk> {
        let whole = read_by(reader.clone(), bytes, usize::MAX);
        for size in [1, 2, 3, 7] {
            assert_eq!(whole, read_by(reader.clone(), bytes, size), "{}", bytes.escape_ascii());
        }
        whole
    }

    fn read_by(
        mut reader: ChunkedReader,
        bytes: &[u8],
        size: usize,
    ) -> Result<Option<(Vec<u8>, usize)>, BadChunk> {
        let (mut at, mut data) = (0, Vec::new());
        while at < bytes.len() {
            let end = at.saturating_add(size).min(bytes.len());
            let part = reader.next(&bytes[at..end])?;
            if let Part::Data(length) = part {
                data.extend_from_slice(&bytes[at..at + length]);
            }
            at += part.length();
            if let Part::End(_) = part {
                return Ok(Some((data, bytes.len() - at)));
            }
        }
        assert!(!reader.is_done());
        Ok(None)
    }

    #[test]
    fn finds_the_data_and_the_end_of_a_body() {
        for (body, data) in [
            ("0\r\n\r\n", ""),
            ("5\r\nhello\r\n0\r\n\r\n", "hello"),
            ("0005\r\nhello\r\n000\r\n\r\n", "hello"),
            ("1\r\nh\r\nA\r\n0123456789\r\n0\r\n\r\n", "h0123456789"),
            ("a\r\n\r\n0\r\n\r\n...\r\n0\r\n\r\n", "\r\n0\r\n\r\n..."),
            ("5;a;b=c;d=\"e f\\\"\\;\"\r\nhello\r\n0;z\r\nX: y\r\nZ:\r\n\r\n", "hello"),
        ] {
            for reader in [ChunkedReader::of_request(), ChunkedReader::of_answer()] {
                let with_more = format!("{body}GET ");
                let found = read(&reader, with_more.as_bytes());
                assert_eq!(found, Ok(Some((data.as_bytes().to_vec(), 4))), "{body:?}");
                assert_eq!(read(&reader, &body.as_bytes()[..body.len() - 1]), Ok(None), "{body:?}");
            }
        }
    }

    #[test]
    fn refuses_what_could_be_read_in_two_ways() {
        for body in [
            "\r\n",
            ";\r\n",
            "5\nhello",
            "5;a\nb\r\nhello\r\n",
            "5;a\rb\r\nhello\r\n",
            "5\r\nhello\n",
            "5\r\nhello\rX",
            "5\r\nhelloworld\r\n",
            "5\r\nhello\r\n\r\n",
            "0x5\r\nhello",
            "+5\r\n",
            "-5\r\n",
            "zz\r\n",
            "5 5\r\n",
            "5\0\r\n",
            "5;\r\n",
            "5;;a\r\n",
            "5;a=\r\n",
            "5;a=b=c\r\n",
            "5;a=\"b\r\n",
            "5;a=\"b\"c\r\n",
            "5;a=\"\u{1}\"\r\n",
            "5;a(\r\n",
            "5,a\r\n",
            "10000000000000000\r\n",
            "00000000000000005\r\n",
            "0\r\njunk\r\n",
            "0\r\nX : y\r\n",
            "0\r\n X: y\r\n",
            "0\r\nX: y\n",
            "0\r\nX: y\rz",
            "0\r\nX: \0\r\n",
            "0\r\n: y\r\n",
            "0\r\n\n",
            "0\n",
        ] {
            for reader in [ChunkedReader::of_request(), ChunkedReader::of_answer()] {
                assert_eq!(read(&reader, body.as_bytes()), Err(BadChunk), "{body:?}");
            }
        }
    }

    #[test]
    fn nothing_follows_a_fault() {
        let mut reader = ChunkedReader::of_answer();
        assert_eq!(reader.next(b"5;a\nb\r\n"), Err(BadChunk));
        assert_eq!(reader.next(b"\r\nhello"), Err(BadChunk));
        assert!(!reader.is_done());
    }

    #[test]
    fn only_answers_may_have_blanks() {
        for body in ["5 \r\nhello\r\n0\r\n\r\n", "5 ; a\t=\tb ;c\r\nhello\r\n0\r\n\r\n"] {
            assert_eq!(read(&ChunkedReader::of_request(), body.as_bytes()), Err(BadChunk), "{body:?}");
            let found = read(&ChunkedReader::of_answer(), body.as_bytes());
            assert_eq!(found, Ok(Some((b"hello".to_vec(), 0))), "{body:?}");
        }
    }

    #[test]
    fn limits_extensions_by_the_data_and_trailers_altogether() {
        let extension = |count| format!("1;{}\r\nx\r\n", "a".repeat(count));
        let few = extension(100).repeat(100) + "0\r\n\r\n";
        assert!(matches!(read(&ChunkedReader::of_request(), few.as_bytes()), Ok(Some(_))));
        for body in [extension(17_000), extension(100).repeat(200)] {
            assert_eq!(read(&ChunkedReader::of_request(), body.as_bytes()), Err(BadChunk));
        }
        let signed = format!("400;chunk-signature={}\r\n{}\r\n", "f".repeat(64), "x".repeat(1024));
        let signed = signed.repeat(1000) + "0\r\n\r\n";
        assert!(matches!(read(&ChunkedReader::of_request(), signed.as_bytes()), Ok(Some(_))));
        let trailers = format!("0\r\n{}", "X: y\r\n".repeat(2000));
        assert_eq!(read(&ChunkedReader::of_request(), trailers.as_bytes()), Err(BadChunk));
    }
}
