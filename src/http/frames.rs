//! The frames of HTTP/2 (RFC 9113 §4.1), followed only so far as to know whether the head of a request is
//! on its way, and what its `:path` is.

use super::hpack::{Fragment, PathScan};

/// The first bytes of a connection (RFC 9113 §3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEADER: usize = 9;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const WITH_PRIORITY: u8 = 0x20;

/// The longest block of header fields that is read. The parser behind refuses longer ones.
const MAX_BLOCK: usize = 256 * 1024;

/// Follows the frames that one side of a connection sends.
#[derive(Clone, Debug)]
pub struct Frames {
    /// Bytes of the preface that are still to come.
    preface: usize,
    /// The first bytes of a frame.
    header: [u8; HEADER],
    /// How many of them have come.
    length: usize,
    /// Bytes of the payload that are still to come.
    payload: usize,
    /// The number of frames that have begun.
    count: u64,
    /// The number of the `HEADERS` frame of a head whose frame with `END_HEADERS` has not ended.
    head: Option<u64>,
    /// The payload of the current frame, if it is part of a head.
    part: Vec<u8>,
    /// The block of header fields, in as many parts as have come.
    block: Vec<u8>,
    paths: PathScan,
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            preface: PREFACE.len(),
            header: [0; HEADER],
            length: 0,
            payload: 0,
            count: 0,
            head: None,
            part: Vec::new(),
            block: Vec::new(),
            paths: PathScan::default(),
        }
    }
}

impl Frames {
    /// Takes in what has arrived.
    ///
    /// # Errors
    /// [`Fragment`] if the `:path` of a request has one.
    pub fn advance(&mut self, mut bytes: &[u8]) -> Result<(), Fragment> {
        let skipped = self.preface.min(bytes.len());
        self.preface -= skipped;
        bytes = &bytes[skipped..];
        while !bytes.is_empty() {
            if self.length < HEADER {
                let count = bytes.len().min(HEADER - self.length);
                self.header[self.length..self.length + count].copy_from_slice(&bytes[..count]);
                self.length += count;
                bytes = &bytes[count..];
                if self.length == HEADER {
                    self.begin_frame()?;
                }
            } else {
                let count = bytes.len().min(self.payload);
                self.payload -= count;
                if self.is_of_head() && self.block.len() + self.part.len() < MAX_BLOCK {
                    self.part.extend_from_slice(&bytes[..count]);
                }
                bytes = &bytes[count..];
                self.end_frame()?;
            }
        }
        Ok(())
    }

    /// The number of the head, or of the beginning of a frame, that has come in part.
    pub fn head_in_progress(&self) -> Option<u64> {
        let is_begun = (1..HEADER).contains(&self.length);
        self.head.or(is_begun.then_some(self.count + 1))
    }

    fn is_of_head(&self) -> bool {
        matches!(self.header[3], HEADERS | CONTINUATION)
    }

    fn begin_frame(&mut self) -> Result<(), Fragment> {
        let [high, middle, low, kind, ..] = self.header;
        self.payload = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        self.count += 1;
        if kind == HEADERS {
            self.head = Some(self.count);
            self.block.clear();
        }
        self.end_frame()
    }

    /// Ends the frame if its payload has come.
    fn end_frame(&mut self) -> Result<(), Fragment> {
        if self.payload > 0 {
            return Ok(());
        }
        self.length = 0;
        if !self.is_of_head() {
            return Ok(());
        }
        let [_, _, _, kind, flags, ..] = self.header;
        let part = std::mem::take(&mut self.part);
        self.block.extend_from_slice(if kind == HEADERS { unwrapped(&part, flags) } else { &part });
        // The memory is used again.
        self.part = part;
        self.part.clear();
        if flags & END_HEADERS == 0 {
            return Ok(());
        }
        self.head = None;
        self.paths.scan(&self.block)
    }
}

/// The payload of a `HEADERS` frame without padding and priority (RFC 9113 §6.2). Empty if it is malformed.
fn unwrapped(payload: &[u8], flags: u8) -> &[u8] {
    let (padding, rest) = match payload {
        [padding, rest @ ..] if flags & PADDED != 0 => (usize::from(*padding), rest),
        _ => (0, payload),
    };
    let start = if flags & WITH_PRIORITY != 0 { 5 } else { 0 };
    rest.len().checked_sub(padding).and_then(|end| rest.get(start..end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let mut frame = vec![0, 0, u8::try_from(payload).expect("a short payload"), kind, flags, 0, 0, 0, 1];
        frame.resize(HEADER + payload, 0);
        frame
    }

    /// Whether a head is on its way behind these bytes, which come after the preface and in every way.
    fn is_in_head(bytes: &[u8]) -> bool {
        let all = [PREFACE, bytes].concat();
        let by = |size: usize| {
            let mut frames = Frames::default();
            all.chunks(size).for_each(|part| frames.advance(part).expect("no path"));
            frames.head_in_progress().is_some()
        };
        let whole = by(all.len());
        assert!((1..16).all(|size| by(size) == whole));
        whole
    }

    #[test]
    fn a_head_is_on_its_way_from_its_first_byte_to_the_end_of_its_last_frame() {
        let settings = frame(4, 0, 6);
        let whole = frame(HEADERS, END_HEADERS, 20);
        let (open, more, last) =
            (frame(HEADERS, 1, 20), frame(CONTINUATION, 0, 5), frame(CONTINUATION, 4, 0));
        assert!(!is_in_head(&settings));
        assert!(!is_in_head(&[&settings[..], &whole].concat()));
        for end in 1..whole.len() {
            assert!(is_in_head(&whole[..end]), "{end}");
        }
        assert!(is_in_head(&open));
        assert!(is_in_head(&[&open[..], &more].concat()));
        assert!(!is_in_head(&[&open[..], &more, &last].concat()));
        assert!(
            !is_in_head(&[&open[..], &more, &last, &frame(0, 0, 100)[..50]].concat()),
            "data may be slow"
        );
        let mut frames = Frames::default();
        frames.advance(&[PREFACE, &settings, &open].concat()).expect("no path");
        assert_eq!(frames.head_in_progress(), Some(2));
        frames.advance(&more).expect("no path");
        assert_eq!(frames.head_in_progress(), Some(2), "the same head");
        frames.advance(&[&last[..], &open].concat()).expect("no path");
        assert_eq!(frames.head_in_progress(), Some(5), "another head");
    }

    #[test]
    fn a_path_is_found_behind_padding_and_priority_and_across_frames() {
        let field = b"\x04\x04/a#b";
        let frame = |kind: u8, flags: u8, payload: &[u8]| {
            let length = u8::try_from(payload.len()).expect("short");
            [&[0, 0, length, kind, flags, 0, 0, 0, 1], payload].concat()
        };
        for frames in [
            frame(HEADERS, END_HEADERS, field),
            frame(HEADERS, END_HEADERS | PADDED, &[b"\x02", &field[..], b"\0\0"].concat()),
            frame(
                HEADERS,
                END_HEADERS | PADDED | WITH_PRIORITY,
                &[b"\x01\0\0\0\0\x09", &field[..], b"\0"].concat(),
            ),
            [frame(HEADERS, 0, &field[..3]), frame(CONTINUATION, END_HEADERS, &field[3..])].concat(),
        ] {
            for size in [1, 2, 3, 100] {
                let all = [PREFACE, &frames].concat();
                let mut followed = Frames::default();
                let found = all.chunks(size).try_for_each(|part| followed.advance(part));
                assert_eq!(found, Err(Fragment), "{frames:?}");
            }
        }
    }
}
