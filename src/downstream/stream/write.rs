//! Writing to the client, with small writes gathered.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::AsyncWrite;

use super::ClientStream;

/// Small writes are gathered up to this size until they are flushed, so that a head and a short body
/// go out in one segment.
const GATHERED: usize = 1460;

impl ClientStream {
    /// Writes the gathered bytes, and `more` with them as far as the kernel takes it. Returns how many
    /// bytes of `more` were written, which may be 0.
    fn poll_gathered(&mut self, context: &mut Context<'_>, more: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let waiting = self.gathered.len() - self.written;
        let mut slices = [IoSlice::new(&[]); 8];
        let more = &more[..more.len().min(slices.len() - 1)];
        slices[0] = IoSlice::new(&self.gathered[self.written..]);
        slices[1..=more.len()].copy_from_slice(more);
        let slices = if waiting > 0 { &slices[..=more.len()] } else { &slices[1..=more.len()] };
        let transport = Pin::new(&mut self.transport);
        let written = match slices {
            // send(2) costs the kernel less than writev(2).
            [bytes] => transport.poll_write(context, bytes),
            slices => transport.poll_write_vectored(context, slices),
        };
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

    /// Writes `bytes` without gathering them, as far as the kernel takes them. Nothing may be gathered.
    ///
    /// # Errors
    /// If the connection is broken, or the client has not read for too long.
    pub(crate) fn poll_send(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match ready!(self.poll_gathered(context, &[IoSlice::new(bytes)]))? {
            0 if self.gathered.is_empty() => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            count => Poll::Ready(Ok(count)),
        }
    }

    fn longest_wait(&self) -> Duration {
        self.connection.tunnel_idle().unwrap_or(self.write_limit)
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

    /// The `h2` library flushes after each frame whose data is not copied. It copies up to 255 bytes of data if
    /// writes are vectored, else up to 1 023, so that short answers of many streams go out at once.
    fn is_write_vectored(&self) -> bool {
        self.heads.is_none()
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
