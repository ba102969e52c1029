//! The socket of a connection to an origin, perhaps with TLS over it.

use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

/// What has happened on a connection on which nothing was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Quiet,
    /// The origin has closed the connection.
    Closed,
    /// The origin has sent something.
    Unsolicited,
}

/// A socket, perhaps with TLS over it.
pub(super) trait OriginTransport: AsyncRead + AsyncWrite + Unpin + Send + Sync {
    /// Whether anything has arrived. After anything but [`Standing::Quiet`] the connection must be closed.
    fn standing(&mut self, context: &mut Context<'_>) -> Standing;
}

impl OriginTransport for TcpStream {
    fn standing(&mut self, _context: &mut Context<'_>) -> Standing {
        peek(self)
    }
}

impl OriginTransport for UnixStream {
    fn standing(&mut self, _context: &mut Context<'_>) -> Standing {
        peek(self)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + Sync> OriginTransport for TlsStream<S> {
    /// Reads through TLS, because a new session ticket does not count as data.
    fn standing(&mut self, context: &mut Context<'_>) -> Standing {
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        match Pin::new(self).poll_read(context, &mut buffer) {
            Poll::Pending => Standing::Quiet,
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => Standing::Unsolicited,
            Poll::Ready(Ok(()) | Err(_)) => Standing::Closed,
        }
    }
}

/// Asks the kernel, because tokio may not know yet of the last bytes.
fn peek(socket: &impl AsFd) -> Standing {
    let mut byte = [0_u8];
    match recv(socket, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((_, 0)) => Standing::Closed,
        Ok(_) => Standing::Unsolicited,
        Err(Errno::AGAIN | Errno::INTR) => Standing::Quiet,
        Err(_) => Standing::Closed,
    }
}

/// Why a request was not sent over a kept connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSent {
    /// The origin has closed the connection.
    Closed,
    /// The origin has sent something that no request asked for.
    Unsolicited,
}

impl std::fmt::Display for NotSent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            NotSent::Closed => "the origin had closed the connection before the request was sent",
            NotSent::Unsolicited => "the origin had sent something before the request was sent",
        })
    }
}

impl std::error::Error for NotSent {}

impl From<NotSent> for io::Error {
    fn from(why: NotSent) -> Self {
        io::Error::new(io::ErrorKind::ConnectionReset, why)
    }
}
