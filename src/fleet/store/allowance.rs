//! A limit for what the store sends, so that an answer without an end takes little memory.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most bytes of all answers of one exchange. The longest honest exchange has 10 000 buckets and two parts of logs,
/// of 1 MiB each (`log.lua`).
const MOST_BYTES: usize = 3 << 20;

/// The most line ends of all answers of one exchange. Each value of an answer has a line at least, and takes about
/// 60 bytes of memory.
const MOST_LINES: usize = 1 << 16;

/// What the servers of the store may still send.
#[derive(Clone, Default)]
pub(super) struct Allowance(Arc<Mutex<Left>>);

struct Left {
    bytes: usize,
    lines: usize,
}

impl Default for Left {
    fn default() -> Self {
        Self { bytes: MOST_BYTES, lines: MOST_LINES }
    }
}

impl Allowance {
    /// Allows a whole exchange again.
    pub fn renew(&self) {
        *self.0.lock() = Left::default();
    }

    /// Whether nothing more may come.
    pub fn is_spent(&self) -> bool {
        let left = self.0.lock();
        left.bytes == 0 || left.lines == 0
    }

    fn spend(&self, bytes: &[u8]) {
        let lines = memchr::memchr_iter(b'\n', bytes).count();
        let mut left = self.0.lock();
        left.bytes = left.bytes.saturating_sub(bytes.len());
        left.lines = left.lines.saturating_sub(lines);
    }
}

/// The commands of a connection that have no answer yet.
#[derive(Clone, Default)]
pub(super) struct Unanswered(Arc<AtomicUsize>);

/// Counts a command as unanswered for as long as it lives.
pub(super) struct Asking(Unanswered);

impl Unanswered {
    pub fn begin(&self) -> Asking {
        self.0.fetch_add(1, Ordering::Relaxed);
        Asking(self.clone())
    }

    fn is_none(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection that breaks when the allowance is spent, or when the server sends something without a command. Each
/// exchange renews the allowance, and a connection may have no command for many of them.
pub(super) struct LimitedStream<S> {
    stream: S,
    allowance: Allowance,
    unanswered: Unanswered,
}

impl<S> LimitedStream<S> {
    pub fn new(stream: S, allowance: Allowance, unanswered: Unanswered) -> Self {
        Self { stream, allowance, unanswered }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for LimitedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let read = &buffer.filled()[before..];
        self.allowance.spend(read);
        if self.allowance.is_spent() || !read.is_empty() && self.unanswered.is_none() {
            return Poll::Ready(Err(io::ErrorKind::QuotaExceeded.into()));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for LimitedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    /// How many of these bytes without an end are read before the connection breaks, up to `most`.
    async fn read(byte: u8, allowance: &Allowance, most: usize) -> usize {
        let unanswered = Unanswered::default();
        let _asking = unanswered.begin();
        let mut stream = LimitedStream::new(tokio::io::repeat(byte), allowance.clone(), unanswered);
        let mut buffer = vec![0; 4096];
        let mut count = 0;
        while count < most
            && let Ok(read) = stream.read(&mut buffer).await
        {
            count += read;
        }
        count
    }

    #[tokio::test]
    async fn what_no_command_asked_for_breaks_the_connection() {
        let unanswered = Unanswered::default();
        let asking = unanswered.begin();
        let mut stream = LimitedStream::new(tokio::io::repeat(b'x'), Allowance::default(), unanswered);
        assert_eq!(stream.read(&mut [0]).await.expect("an answer"), 1);
        drop(asking);
        assert_eq!(stream.read(&mut [0]).await.expect_err("no command").kind(), io::ErrorKind::QuotaExceeded);
    }

    #[tokio::test]
    async fn bytes_and_lines_are_limited_for_an_exchange() {
        for (byte, most) in [(b'x', MOST_BYTES), (b'\n', MOST_LINES)] {
            let allowance = Allowance::default();
            let count = read(byte, &allowance, usize::MAX).await;
            assert!((most - 4096..most).contains(&count), "{count}");
            assert!(allowance.is_spent());
            assert_eq!(read(byte, &allowance, usize::MAX).await, 0, "another connection of the same store");
            allowance.renew();
            assert!(!allowance.is_spent());
            assert!(read(byte, &allowance, 10_000).await >= 10_000);
        }
    }
}
