//! The response on its way to the client.

use bytes::Bytes;
use http::StatusCode;
use pingora_core::Result;

use super::head::ResponseView;
use crate::http::{AnswerHead, AnswerReader, BadAnswer, BodyPipe, HeadIndex, MAX_INTERIM};

/// Room for the fields that the gateway adds to the head of a response.
const ADDED: usize = 256;

/// A response on its way to the client. Its bytes are judged here.
pub struct Download {
    is_head: bool,
    /// Whether the client gets data without chunks around it.
    is_bare: bool,
    state: DownloadState,
    /// Interim responses so far.
    interim: usize,
    is_malformed: bool,
    /// Bytes for the client that have not been written.
    bytes: Vec<u8>,
    written: usize,
    /// The status of the final response, once it is passed on.
    pub status: Option<StatusCode>,
    /// Whether a head, perhaps an interim one, was passed on.
    pub is_begun: bool,
    /// Whether the origin closes the connection after the response.
    is_last: bool,
}

enum DownloadState {
    /// A head is expected. `seen` holds the bytes of a head that arrives in parts.
    Head {
        reader: AnswerReader,
        seen: Vec<u8>,
    },
    Body(BodyPipe),
}

impl Download {
    /// A download before any byte of a response. `is_head`: the method is `HEAD`, so the response has no
    /// body. `is_bare`: the client gets data without chunks around it.
    pub fn new(is_head: bool, is_bare: bool) -> Self {
        Self {
            is_head,
            is_bare,
            state: DownloadState::head(is_head),
            interim: 0,
            is_malformed: false,
            bytes: Vec::new(),
            written: 0,
            status: None,
            is_begun: false,
            is_last: false,
        }
    }

    /// The bytes that are to be written now.
    pub fn unwritten(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// The client's connection has taken this many bytes.
    pub fn written(&mut self, count: usize) {
        self.written += count;
        if self.written == self.bytes.len() {
            self.bytes.clear();
            self.written = 0;
        }
    }

    /// Takes up to `most` of the unwritten bytes out, which count as written.
    pub fn take_unwritten(&mut self, most: usize) -> Bytes {
        if self.written == 0 && self.bytes.len() <= most {
            return std::mem::take(&mut self.bytes).into();
        }
        let count = most.min(self.unwritten().len());
        let bytes = Bytes::copy_from_slice(&self.unwritten()[..count]);
        self.written(count);
        bytes
    }

    /// Whether the whole response has arrived.
    pub fn is_complete(&self) -> bool {
        matches!(&self.state, DownloadState::Body(body) if body.is_done())
    }

    /// Bytes of the body that the client has got.
    pub fn body_bytes(&self) -> u64 {
        match &self.state {
            DownloadState::Head { .. } => 0,
            DownloadState::Body(body) => body.bytes().saturating_sub(self.unwritten().len() as u64),
        }
    }

    /// Whether a head is expected, and no byte of it has come.
    pub fn expects_head(&self) -> bool {
        matches!(&self.state, DownloadState::Head { seen, .. } if seen.is_empty())
    }

    /// Whether bytes have followed the end of the response. The client does not get them.
    pub fn has_more(&self) -> bool {
        matches!(&self.state, DownloadState::Body(body) if body.has_more())
    }

    /// Whether the origin may get another request on its connection.
    pub fn may_keep_origin(&self) -> bool {
        self.is_complete() && !self.is_last && !self.has_more()
    }

    /// Whether the origin's next bytes are malformed. The bytes before them are still delivered.
    pub fn is_malformed(&self) -> bool {
        self.is_malformed
    }

    /// Takes bytes of the origin, up to the first malformed one. `on_head` passes a head on to the client, perhaps
    /// by appending its bytes, and returns whether the client gets it.
    ///
    /// # Errors
    /// Errors of `on_head`.
    pub fn take(
        &mut self,
        bytes: &[u8],
        mut on_head: impl FnMut(&ResponseView<'_>, AnswerHead, bool, &mut Vec<u8>) -> Result<bool>,
    ) -> Result<()> {
        let mut bytes = bytes;
        let joined;
        if let DownloadState::Head { seen, .. } = &mut self.state
            && !seen.is_empty()
        {
            seen.extend_from_slice(bytes);
            joined = std::mem::take(seen);
            bytes = &joined;
        }
        loop {
            match &mut self.state {
                DownloadState::Head { reader, seen } => {
                    let head = match reader.advance(bytes) {
                        Ok(Some(head)) if !head.is_interim() || self.interim < MAX_INTERIM => head,
                        Ok(None) => {
                            seen.extend_from_slice(bytes);
                            return Ok(());
                        }
                        Ok(Some(_)) | Err(BadAnswer) => {
                            self.is_malformed = true;
                            return Ok(());
                        }
                    };
                    let (head_bytes, rest) = bytes.split_at(head.length);
                    let index = HeadIndex::of(head_bytes);
                    // The reader lets 100 to 999 pass.
                    let status = StatusCode::from_u16(head.status).unwrap_or(StatusCode::BAD_GATEWAY);
                    let view = ResponseView { view: index.view(head_bytes), status };
                    self.bytes.reserve(bytes.len() + ADDED);
                    self.is_begun |= on_head(&view, head, self.is_begun, &mut self.bytes)?;
                    if head.is_interim() {
                        self.interim += 1;
                        self.state = DownloadState::head(self.is_head);
                    } else {
                        self.status = Some(status);
                        self.is_last = head.is_last;
                        let body = BodyPipe::of_answer(head.body);
                        let body = if self.is_bare { body.without_chunks() } else { body };
                        self.state = DownloadState::Body(body);
                    }
                    bytes = rest;
                }
                DownloadState::Body(body) => {
                    self.bytes.reserve(bytes.len());
                    self.is_malformed = body.pass(bytes, &mut self.bytes).is_err();
                    return Ok(());
                }
            }
        }
    }

    /// The origin has closed the connection. Returns whether the response is complete.
    pub fn close(&mut self) -> bool {
        match &mut self.state {
            DownloadState::Head { .. } => false,
            DownloadState::Body(body) => body.close(&mut self.bytes),
        }
    }
}

impl DownloadState {
    fn head(is_head: bool) -> Self {
        DownloadState::Head { reader: AnswerReader::new(is_head), seen: Vec::new() }
    }
}
