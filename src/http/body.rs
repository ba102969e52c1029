//! The end of a body, found while its bytes arrive.

use super::chunked::{BadChunk, ChunkedReader};

/// Counts the bytes of one body.
#[derive(Clone, Debug)]
pub enum BodyReader {
    /// This many bytes are left.
    Length(u64),
    /// Chunks, up to the last one.
    Chunked(ChunkedReader),
    /// Every further byte belongs to the body.
    Endless,
}

impl BodyReader {
    /// The length of the part of `bytes` that belongs to the body, and whether the byte behind that part
    /// is malformed. The part continues where the last one ended.
    pub fn count(&mut self, bytes: &[u8]) -> (usize, Result<(), BadChunk>) {
        match self {
            BodyReader::Length(left) => {
                let count = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= count as u64;
                (count, Ok(()))
            }
            BodyReader::Chunked(reader) => count_chunks(reader, bytes),
            BodyReader::Endless => (bytes.len(), Ok(())),
        }
    }

    /// Whether the whole body has been read.
    pub fn is_done(&self) -> bool {
        match self {
            BodyReader::Length(left) => *left == 0,
            BodyReader::Chunked(reader) => reader.is_done(),
            BodyReader::Endless => false,
        }
    }
}

fn count_chunks(reader: &mut ChunkedReader, bytes: &[u8]) -> (usize, Result<(), BadChunk>) {
    let mut count = 0;
    while count < bytes.len() && !reader.is_done() {
        match reader.next(&bytes[count..]) {
            Ok(part) => count += part.length(),
            Err(fault) => return (count, Err(fault)),
        }
    }
    (count, Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_up_to_the_end_of_the_body() {
        let mut length = BodyReader::Length(7);
        assert_eq!(length.count(b"hello"), (5, Ok(())));
        assert!(!length.is_done());
        assert_eq!(length.count(b"hello"), (2, Ok(())));
        assert!(length.is_done());
        assert_eq!(length.count(b"hello"), (0, Ok(())));

        let mut chunked = BodyReader::Chunked(ChunkedReader::of_request());
        assert_eq!(chunked.count(b"5\r\nhel"), (6, Ok(())));
        assert_eq!(chunked.count(b"lo\r\n0\r\n\r\nGET "), (9, Ok(())));
        assert!(chunked.is_done());

        let mut endless = BodyReader::Endless;
        assert_eq!(endless.count(b"hello"), (5, Ok(())));
        assert!(!endless.is_done());
    }

    #[test]
    fn data_before_a_malformed_chunk_counts() {
        let mut chunked = BodyReader::Chunked(ChunkedReader::of_request());
        assert_eq!(chunked.count(b"5\r\nhello\nX"), (8, Err(BadChunk)));
    }
}
