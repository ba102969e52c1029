//! Random ids. Each thread draws random bytes for many ids at once, and their texts share memory.

use std::cell::RefCell;

use aws_lc_rs::rand;
use bytes::BytesMut;
use http::HeaderValue;

use crate::http::hex;

/// Bytes that are drawn at once: those of 64 request ids.
const DRAWN: usize = 1024;

/// Bytes of text that are allocated at once. A value keeps all of them in memory for as long as it lives.
const TEXTS: usize = 512;

/// The id of a request or a trace.
pub(super) type Id = [u8; 16];

struct Ids {
    random: [u8; DRAWN],
    used: usize,
    texts: BytesMut,
}

thread_local! {
    static IDS: RefCell<Ids> =
        RefCell::new(Ids { random: [0; DRAWN], used: DRAWN, texts: BytesMut::new() });
}

/// Unpredictable bytes; `None` if the system has none.
pub(super) fn random<const N: usize>() -> Option<[u8; N]> {
    IDS.with_borrow_mut(Ids::draw)
}

/// Bytes as the value of a short-lived field; `None` if they cannot be one.
pub(super) fn value(bytes: &[u8]) -> Option<HeaderValue> {
    IDS.with_borrow_mut(|ids| ids.value(bytes))
}

/// An id as the value of a field: 32 hex digits.
pub(super) fn text(id: Id) -> Option<HeaderValue> {
    IDS.with_borrow_mut(|ids| ids.text(id))
}

impl Ids {
    fn draw<const N: usize>(&mut self) -> Option<[u8; N]> {
        if self.used + N > DRAWN {
            rand::fill(&mut self.random).ok()?;
            self.used = 0;
        }
        let drawn = self.random[self.used..].first_chunk().copied();
        self.used += N;
        drawn
    }

    fn text(&mut self, id: Id) -> Option<HeaderValue> {
        self.value(hex(id).as_flattened())
    }

    fn value(&mut self, bytes: &[u8]) -> Option<HeaderValue> {
        if self.texts.capacity() < bytes.len() {
            self.texts = BytesMut::with_capacity(TEXTS);
        }
        self.texts.extend_from_slice(bytes);
        HeaderValue::from_maybe_shared(self.texts.split().freeze()).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_differ_and_are_hex() {
        let ids: Vec<HeaderValue> = (0..1000).filter_map(|_| text(random()?)).collect();
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 1000);
        for id in &ids {
            let text = id.to_str().expect("ASCII");
            assert!(text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit()), "{text}");
        }
        let spans: HashSet<[u8; 8]> = (0..1000).filter_map(|_| random()).collect();
        assert_eq!(spans.len(), 1000);
    }
}
