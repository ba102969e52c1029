//! The request on its way to the origin.

use crate::http::{BodyPipe, in_one_chunk};

/// The most bytes of a body, as it is sent, that are kept, so that the request can be sent again.
const MAX_KEPT: usize = 64 * 1024 + MAX_FRAMING;

/// The most bytes around the data of a body in one chunk.
const MAX_FRAMING: usize = 32;

/// A request on its way to the origin. It outlives an attempt, because a request may be sent again.
pub struct Upload {
    /// The body, up to the byte that has arrived.
    pub body: BodyPipe,
    /// Head and body in the form for the origin. While the request can be repeated, all of the body that has
    /// arrived. A head without a body behind it is dropped once the connection has taken it. Each attempt writes
    /// a new head.
    bytes: Vec<u8>,
    /// The length of the head in `bytes`.
    head: usize,
    /// How many of `bytes` the current connection has taken.
    sent: usize,
    /// Whether every byte of the body so far is kept.
    is_repeatable: bool,
}

impl Upload {
    /// A request with this body.
    pub fn new(body: BodyPipe) -> Self {
        Self { body, bytes: Vec::new(), head: 0, sent: 0, is_repeatable: true }
    }

    /// Starts again on another connection: first this head, then the part of the body that has arrived.
    pub fn begin(&mut self, head: Vec<u8>) {
        self.sent = 0;
        let old = std::mem::replace(&mut self.head, head.len());
        if self.bytes.len() == old {
            self.bytes = head;
        } else {
            // A held body has exactly the room that it needs.
            self.bytes.reserve_exact(head.len().saturating_sub(old));
            self.bytes.splice(0..old, head);
        }
    }

    /// Takes the data of a whole body that was held back. A chunked body becomes one chunk.
    pub fn put_held(&mut self, data: Vec<u8>, is_chunked: bool) {
        self.bytes = if is_chunked { in_one_chunk(&data) } else { data };
    }

    /// Whether everything that has arrived is kept.
    pub fn is_repeatable(&self) -> bool {
        self.is_repeatable && self.bytes.len() <= self.head + MAX_KEPT
    }

    /// The request will not be sent again, so what the connection has taken is not needed any more.
    pub fn forget(&mut self) {
        self.is_repeatable = false;
        if self.unsent().is_empty() {
            (self.bytes, self.sent) = (Vec::new(), 0);
        }
    }

    /// The bytes that are to be sent now.
    pub fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// The connection has taken this many bytes.
    pub fn sent(&mut self, count: usize) {
        self.sent += count;
        if self.sent == self.bytes.len() && self.sent == self.head {
            (self.bytes, self.sent, self.head) = (Vec::new(), 0, 0);
        }
    }

    /// Whether the connection has taken the whole request.
    pub fn is_sent(&self) -> bool {
        self.body.is_done() && self.unsent().is_empty()
    }

    /// The place for the next part of the body, after everything so far was sent.
    pub fn room(&mut self) -> (&mut BodyPipe, &mut Vec<u8>) {
        self.is_repeatable = self.is_repeatable();
        if !self.is_repeatable {
            self.bytes.clear();
            self.sent = 0;
        }
        (&mut self.body, &mut self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Body;

    fn upload(body: Body) -> Upload {
        Upload::new(BodyPipe::of_request(body))
    }

    fn part(upload: &mut Upload, bytes: &[u8]) {
        let count = upload.unsent().len();
        upload.sent(count);
        let (body, out) = upload.room();
        body.pass(bytes, out).expect("a body");
    }

    #[test]
    fn a_small_request_is_sent_again_from_its_start() {
        let mut upload = upload(Body::Length(10));
        upload.begin(b"head ".to_vec());
        assert_eq!(upload.unsent(), b"head ");
        upload.sent(5);
        assert_eq!(upload.bytes.capacity(), 0, "the head takes no memory while the body is awaited");
        part(&mut upload, b"01234");
        assert_eq!(upload.unsent(), b"01234");
        part(&mut upload, b"56789");
        assert!(upload.is_repeatable() && !upload.is_sent());
        upload.begin(b"HEAD ".to_vec());
        assert_eq!(upload.unsent(), b"HEAD 0123456789");
        upload.sent(15);
        assert!(upload.is_sent());
    }

    #[test]
    fn a_body_that_has_arrived_before_the_head_follows_it() {
        let mut upload = upload(Body::Length(5));
        let (body, out) = upload.room();
        body.pass(b"01234", out).expect("a body");
        upload.begin(b"head ".to_vec());
        assert_eq!(upload.unsent(), b"head 01234");
    }

    #[test]
    fn a_held_body_is_one_chunk_and_can_be_sent_again() {
        let mut upload = upload(Body::Chunked);
        upload.body.pass(b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n", &mut Vec::new()).expect("a body");
        upload.put_held(b"ab".to_vec(), true);
        upload.begin(b"head ".to_vec());
        assert_eq!(upload.unsent(), b"head 2\r\nab\r\n0\r\n\r\n");
        upload.put_held(vec![b'x'; 64 * 1024], true);
        assert!(upload.is_repeatable());
    }

    #[test]
    fn a_large_body_is_not_kept() {
        let mut upload = upload(Body::Length(1 << 20));
        upload.begin(b"head ".to_vec());
        let bytes = vec![b'x'; 16 * 1024];
        for _ in 0..4 {
            part(&mut upload, &bytes);
        }
        assert!(upload.is_repeatable());
        for _ in 0..2 {
            part(&mut upload, &bytes);
        }
        assert!(!upload.is_repeatable());
        assert_eq!(upload.unsent().len(), bytes.len());
    }
}
