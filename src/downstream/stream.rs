//! The client's end of a connection, as Pingora reads and writes it.

use std::any::Any;
use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use http::StatusCode;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
    UniqueID, UniqueIDType,
};
use pingora_http::ResponseHeader;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;

use super::head_watch::HeadWatch;
use super::pace::Pace;
use super::stall::Stall;
use super::transport::Transport;
use crate::admission::ProtocolLimits as Bounds;
use crate::http::{BadChunk, Body, BodyReader, ChunkedReader, Head, HeadFault, HeadLimits, HeadReader};
use crate::proxy::Connection;
use crate::upstream::TUNNEL_IDLE;

/// Read at once while a head, or what follows a request, is waited for.
const READ: usize = 8 * 1024;

/// Bytes of later requests that are taken in while one is answered.
const MAX_AHEAD: usize = 16 * 1024;

/// Small writes gather up to this size until they are flushed: a header and a short body go out in
/// one segment.
const GATHERED: usize = 1460;

/// How long and how far a client's bytes are read after an answer that ends the connection.
pub(super) const LINGER: Duration = Duration::from_secs(2);
pub(super) const LINGER_BYTES: usize = 1024 * 1024;

/// A connection that hands Pingora one request at a time.
///
/// Pingora gets the head of a request from [`ClientStream::next_head`] and reads no further than
/// the end of that request: bytes behind it belong to the next one and wait here, and while Pingora
/// looks for the client's leaving it sees silence.
pub struct ClientStream {
    transport: Transport,
    connection: Arc<Connection>,
    /// Read from the client and not handed on.
    ahead: BytesMut,
    /// Finds the end of the current request's body.
    body: BodyReader,
    /// The body is not a body: nothing more of it is handed on.
    is_malformed: bool,
    /// Set for HTTP/2.
    heads: Option<Box<HeadWatch>>,
    pace: Pace,
    stall: Stall,
    /// For which the client may take nothing of what is sent.
    write_limit: Duration,
    has_upgrade: bool,
    gathered: Vec<u8>,
    /// How much of what is gathered has been written.
    written: usize,
    digest: Arc<ProxyDigest>,
    socket: Arc<SocketDigest>,
}

impl ClientStream {
    /// The client's end of `connection`; `ahead` has been read from it already. A write may wait
    /// for as long as `write_limit`.
    ///
    /// # Errors
    /// None in practice: the digest's status is a constant.
    pub(super) fn new(
        transport: Transport,
        ahead: BytesMut,
        connection: Arc<Connection>,
        write_limit: Duration,
    ) -> pingora_core::Result<Self> {
        let socket = SocketDigest::from_raw_fd(transport.fd());
        // A fresh cell is empty.
        let _ = socket.peer_addr.set(Some(connection.peer.into()));
        let data: Box<dyn Any + Send + Sync> = Box::new(connection.clone());
        let digest = ProxyDigest::new(Box::new(ResponseHeader::build(StatusCode::OK, Some(0))?), Some(data));
        Ok(Self {
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
            digest: Arc::new(digest),
            socket: Arc::new(socket),
        })
    }

    /// Waits for the first bytes of a connection, as many as `preface` or the first that differ; says
    /// whether the connection begins with it. `None` when the client has gone before.
    pub(super) fn poll_preface(&mut self, preface: &[u8], context: &mut Context<'_>) -> Poll<Option<bool>> {
        loop {
            let known = self.ahead.len().min(preface.len());
            if self.ahead[..known] != preface[..known] {
                return Poll::Ready(Some(false));
            }
            if known == preface.len() {
                return Poll::Ready(Some(true));
            }
            match ready!(self.poll_ahead(context)) {
                Ok(0) | Err(_) => return Poll::Ready(None),
                Ok(_) => {}
            }
        }
    }

    /// From now on its bytes are frames, not requests one after another. The head of a request may take as
    /// long as `head_limit`.
    pub(super) fn becomes_http2(&mut self, head_limit: Duration) {
        self.body = BodyReader::Endless;
        self.heads = Some(Box::new(HeadWatch::new(head_limit)));
    }

    /// Whether the request in hand asked for another protocol, was answered in this one, and has
    /// bytes behind it: of which protocol, only the client knows.
    pub(super) fn is_ambiguous(&self) -> bool {
        self.has_upgrade && !self.ahead.is_empty()
    }

    /// Whether anything of a next request has come in.
    pub(super) fn has_begun(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// The bytes of a whole head, or what is wrong with it; `None` when the client has gone before.
    pub(super) fn poll_head(
        &mut self,
        reader: &mut HeadReader,
        limits: &HeadLimits,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<BytesMut, HeadFault>>> {
        loop {
            // A line end before the request line is none of it (RFC 9112 §2.2).
            while self.ahead.starts_with(b"\r\n") {
                self.ahead.advance(2);
                // It may have seen the first half already.
                *reader = HeadReader::default();
            }
            match reader.advance(&self.ahead, limits) {
                Ok(None) => {}
                Ok(Some(head)) => return Poll::Ready(Some(Ok(self.take(head)))),
                Err(fault) => return Poll::Ready(Some(Err(fault))),
            }
            match ready!(self.poll_ahead(context)) {
                Ok(0) | Err(_) => return Poll::Ready(None),
                Ok(_) => {}
            }
        }
    }

    fn take(&mut self, head: Head) -> BytesMut {
        let bytes = if head.length == self.ahead.len() {
            std::mem::take(&mut self.ahead)
        } else {
            // A copy, so that neither holds the other's memory.
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

    /// The request in hand keeps to these bounds.
    pub(super) fn begin_exchange(&mut self, bounds: &Bounds) {
        self.write_limit = bounds.time.write;
        if !self.body.is_done() {
            self.pace = Pace::new(bounds);
        }
    }

    /// Everything that has come in and was not handed on.
    pub(super) fn unread(&self) -> &[u8] {
        &self.ahead
    }

    /// Ends an answer that was not Pingora's: nothing more is sent, and what the client still sends
    /// is read for a while, lest the answer is lost to a reset.
    pub(super) async fn linger(&mut self, most: usize) {
        if self.shutdown_write().await.is_err() {
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

    async fn shutdown_write(&mut self) -> io::Result<()> {
        AsyncWriteExt::shutdown(self).await
    }

    /// Reads more into `ahead`; 0 at the end.
    fn poll_ahead(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // On the stack: a connection that waits holds no buffer.
        let mut space = [MaybeUninit::uninit(); READ];
        let mut buffer = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.transport).poll_read(context, &mut buffer))?;
        self.ahead.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Nothing of the request in hand is left to read: silence, or the client's leaving.
    fn poll_leaving(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.ahead.len() < MAX_AHEAD {
            if ready!(self.poll_ahead(context))? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
        Poll::Pending
    }

    /// Hands on what has come in already, or reads.
    fn poll_body(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.is_malformed {
            return Poll::Ready(Err(malformed()));
        }
        let is_tunnel = self.connection.is_tunnel();
        let before = buffer.filled().len();
        if self.ahead.is_empty() {
            match Pin::new(&mut self.transport).poll_read(context, buffer) {
                Poll::Ready(read) => read?,
                Poll::Pending => {
                    if !is_tunnel {
                        self.pace.waits();
                    }
                    return Poll::Pending;
                }
            }
            self.pace.reads(buffer.filled().len() - before)?;
            let count = self.count_body(is_tunnel, &buffer.filled()[before..])?;
            self.ahead.extend_from_slice(&buffer.filled()[before + count..]);
            buffer.set_filled(before + count);
        } else {
            let most = self.ahead.len().min(buffer.remaining());
            let bytes = self.ahead.split_to(most);
            let count = self.count_body(is_tunnel, &bytes)?;
            buffer.put_slice(&bytes[..count]);
            self.give_back(bytes, count);
        }
        Poll::Ready(Ok(()))
    }

    /// How many of these bytes belong to the body.
    ///
    /// # Errors
    /// One caused by [`BadChunk`] if the body is malformed from the first byte on. Good bytes before
    /// a malformed one are handed on first.
    fn count_body(&mut self, is_tunnel: bool, bytes: &[u8]) -> io::Result<usize> {
        if is_tunnel {
            return Ok(bytes.len());
        }
        let (count, judged) = self.body.count(bytes);
        self.is_malformed = judged.is_err();
        if self.is_malformed && count == 0 { Err(malformed()) } else { Ok(count) }
    }

    /// Puts bytes back of which only the first `count` were handed on.
    fn give_back(&mut self, mut bytes: BytesMut, count: usize) {
        if count < bytes.len() {
            bytes.advance(count);
            bytes.unsplit(std::mem::take(&mut self.ahead));
            self.ahead = bytes;
        }
    }

    /// Writes what is gathered, and `more` with it where the kernel takes it; returns how much of
    /// `more` was written, which may be nothing.
    fn poll_gathered(&mut self, context: &mut Context<'_>, more: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let waiting = self.gathered.len() - self.written;
        let mut slices = [IoSlice::new(&[]); 8];
        let more = &more[..more.len().min(slices.len() - 1)];
        slices[0] = IoSlice::new(&self.gathered[self.written..]);
        slices[1..=more.len()].copy_from_slice(more);
        let slices = if waiting > 0 { &slices[..=more.len()] } else { &slices[1..=more.len()] };
        let written = Pin::new(&mut self.transport).poll_write_vectored(context, slices);
        let limit = self.longest_wait();
        let count = ready!(self.stall.watch(written, limit, context))?;
        if count < waiting {
            self.written += count;
            return Poll::Ready(Ok(0));
        }
        self.gathered.clear();
        self.written = 0;
        Poll::Ready(Ok(count - waiting))
    }

    fn longest_wait(&self) -> Duration {
        if self.connection.is_tunnel() { TUNNEL_IDLE } else { self.write_limit }
    }

    fn poll_write_slices(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum::<usize>();
        if length == 0 {
            return Poll::Ready(Ok(0));
        }
        if self.written == 0 && self.gathered.len() + length <= GATHERED {
            slices.iter().for_each(|slice| self.gathered.extend_from_slice(slice));
            return Poll::Ready(Ok(length));
        }
        loop {
            match ready!(self.poll_gathered(context, slices))? {
                0 if self.gathered.is_empty() => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                0 => {}
                count => return Poll::Ready(Ok(count)),
            }
        }
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, BadChunk)
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.body.is_done() && !self.connection.is_tunnel() {
            return self.poll_leaving(context);
        }
        let start = buffer.filled().len();
        let read = self.poll_body(context, buffer);
        match (&mut self.heads, &read) {
            (Some(heads), Poll::Ready(Ok(()))) => heads.read(&buffer.filled()[start..]),
            (Some(heads), Poll::Pending) => return heads.poll_too_late(context),
            _ => {}
        }
        read
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_slices(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_slices(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.gathered.is_empty() {
            let before = self.written;
            ready!(self.poll_gathered(context, &[]))?;
            if !self.gathered.is_empty() && self.written == before {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
        }
        let flushed = Pin::new(&mut self.transport).poll_flush(context);
        let limit = self.longest_wait();
        self.stall.watch(flushed, limit, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(context))?;
        let closed = Pin::new(&mut self.transport).poll_shutdown(context);
        let limit = self.longest_wait();
        self.stall.watch(closed, limit, context)
    }
}

impl fmt::Debug for ClientStream {
    /// Nothing that the client has sent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientStream").field("peer", &self.connection.peer).finish_non_exhaustive()
    }
}

#[async_trait]
impl Shutdown for ClientStream {
    async fn shutdown(&mut self) {
        if self.is_malformed {
            // Closing over unread bytes resets the connection, and the client may lose its answer.
            let _ = timeout(LINGER, self.linger(LINGER_BYTES)).await;
            return;
        }
        // The connection may be broken already.
        let _ = self.shutdown_write().await;
    }
}

impl UniqueID for ClientStream {
    fn id(&self) -> UniqueIDType {
        self.transport.fd()
    }
}

impl Ssl for ClientStream {}

impl Peek for ClientStream {}

impl GetTimingDigest for ClientStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for ClientStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(self.digest.clone())
    }
}

impl GetSocketDigest for ClientStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(self.socket.clone())
    }
}
