//! The response on its way to the client.

use bytes::Bytes;
use http::StatusCode;
use pingora_core::{Error, ErrorType, Result};
use std::io;

use super::head::ResponseView;
use crate::http::{AnswerHead, AnswerReader, BadAnswer, BodyPipe, HeadIndex};

/// A response on its way to the client.
pub(super) struct Download {
    is_head: bool,
    /// Whether the client gets data without chunks around it.
    is_bare: bool,
    state: DownloadState,
    /// Bytes for the client that have not been written.
    bytes: Vec<u8>,
    written: usize,
    /// The status of the final response, once it is passed on.
    pub status: Option<StatusCode>,
    /// Whether a head, perhaps an interim one, was passed on.
    pub is_begun: bool,
    /// Whether the origin closes the connection after the response.
    pub is_last: bool,
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

    /// Takes bytes of the origin. `on_head` passes a head on to the client, perhaps by appending its bytes, and
    /// returns whether the client gets it.
    ///
    /// # Errors
    /// Errors of `on_head`. The bytes themselves have been judged before.
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
                    let Some(head) = reader.advance(bytes).map_err(|_| malformed())? else {
                        seen.extend_from_slice(bytes);
                        return Ok(());
                    };
                    let (head_bytes, rest) = bytes.split_at(head.length);
                    let index = HeadIndex::of(head_bytes);
                    let status = StatusCode::from_u16(head.status).map_err(|_| malformed())?;
                    let view = ResponseView { view: index.view(head_bytes), status };
                    self.is_begun |= on_head(&view, head, self.is_begun, &mut self.bytes)?;
                    if head.is_interim() {
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
                    body.pass(bytes, &mut self.bytes).map_err(|_| malformed())?;
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

/// The error for bytes that the stream of the origin should not have let pass.
fn malformed() -> Box<Error> {
    let cause = io::Error::new(io::ErrorKind::InvalidData, BadAnswer);
    Error::because(ErrorType::ReadError, "reading the response", cause).into_up()
}
