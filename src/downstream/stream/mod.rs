//! The client's stream, as Pingora reads and writes it.

mod pingora;
mod read;
mod write;

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::AsyncWriteExt;

use super::Connection;
use super::head_watch::HeadWatch;
use super::pace::Pace;
use super::stall::Stall;
use super::transport::Transport;
use crate::admission::ProtocolLimits;
use crate::http::{Body, BodyReader, ChunkedReader, Head};

/// How long and how far a client's bytes are read after an answer that ends the connection.
pub(super) const LINGER: Duration = Duration::from_secs(2);
pub(super) const LINGER_BYTES: usize = 1024 * 1024;

/// A client's stream that hands out one request at a time.
///
/// `ClientStream::poll_head` yields the head of a request. Then the stream is read only up to the
/// end of that request: the bytes behind it belong to the next request and stay in `ahead`. A read
/// beyond the end, by which Pingora notices that the client has closed, waits in silence.
pub struct ClientStream {
    transport: Transport,
    connection: Arc<Connection>,
    /// Bytes that have been read from the transport and not handed out.
    ahead: BytesMut,
    /// Finds the end of the current request's body.
    body: BodyReader,
    /// Whether the body is malformed. No more bytes of it are handed out.
    is_malformed: bool,
    /// Watches the heads of HTTP/2. `None` for HTTP/1.
    heads: Option<Box<HeadWatch>>,
    pace: Pace,
    stall: Stall,
    /// How long the client may take no bytes of a response.
    write_limit: Duration,
    has_upgrade: bool,
    /// Small writes, gathered until they are flushed.
    gathered: Vec<u8>,
    /// How many of the gathered bytes have been written.
    written: usize,
}

impl ClientStream {
    /// The stream of `connection`. `ahead` has been read from the transport already.
    pub(super) fn new(
        transport: Transport,
        ahead: BytesMut,
        connection: Arc<Connection>,
        write_limit: Duration,
    ) -> Self {
        Self {
            transport,
            connection,
            ahead,
            body: BodyReader::Length(0),
            is_malformed: false,
            heads: None,
            pace: Pace::default(),
            stall: Stall::default(),
            write_limit,
            has_upgrade: false,
            gathered: Vec::new(),
            written: 0,
        }
    }

    /// From now on the bytes are HTTP/2 frames, not requests one after another. The head of a request
    /// may take as long as `head_limit`.
    pub(super) fn become_http2(&mut self, head_limit: Duration) {
        self.body = BodyReader::Endless;
        self.heads = Some(Box::new(HeadWatch::new(head_limit)));
    }

    /// Whether the next bytes may belong to another protocol: the last request asked for an upgrade,
    /// was answered in HTTP/1, and has bytes behind it.
    pub(super) fn is_ambiguous(&self) -> bool {
        self.has_upgrade && !self.ahead.is_empty()
    }

    /// Whether bytes of a next request have arrived.
    pub(super) fn has_begun(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// Takes the bytes of `head` and makes the request behind it the current one.
    fn take(&mut self, head: Head) -> BytesMut {
        let bytes = if head.length == self.ahead.len() {
            std::mem::take(&mut self.ahead)
        } else {
            // A copy, so that neither buffer keeps the other's memory alive.
            let bytes = BytesMut::from(&self.ahead[..head.length]);
            self.ahead.advance(head.length);
            bytes
        };
        self.has_upgrade = head.has_upgrade;
        self.body = match head.body {
            Body::Length(length) => BodyReader::Length(length),
            Body::Chunked => BodyReader::Chunked(ChunkedReader::of_request()),
        };
        bytes
    }

    /// Applies the limits to the current request.
    pub(super) fn begin_exchange(&mut self, limits: &ProtocolLimits) {
        self.write_limit = limits.time.write;
        if !self.body.is_done() {
            self.pace = Pace::new(limits);
        }
    }

    /// The connection that the stream belongs to.
    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// The bytes that have arrived and were not handed out.
    pub(super) fn unread(&self) -> &[u8] {
        &self.ahead
    }

    /// Closes the connection after a response: ends the stream to the client and reads at most `most`
    /// further bytes. If unread bytes were left, the kernel would reset the connection, and the client
    /// might lose the response.
    pub(crate) async fn linger(&mut self, most: usize) {
        if AsyncWriteExt::shutdown(self).await.is_err() {
            return;
        }
        let mut read = 0;
        while read < most {
            self.ahead.clear();
            match poll_fn(|context| self.poll_ahead(context)).await {
                Ok(0) | Err(_) => return,
                Ok(count) => read += count,
            }
        }
    }
}

impl fmt::Debug for ClientStream {
    /// Shows no bytes of the client.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientStream").field("peer", &self.connection.peer).finish_non_exhaustive()
    }
}
