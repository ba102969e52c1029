//! Listening sockets: bound before anything is served.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd};
use std::sync::Arc;

use parking_lot::Mutex;
use pingora_core::server::{Fds, ListenFds};
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait to be accepted. One core accepts that many in a fraction of a second, so
/// with a longer queue the last clients would give up before their turn. The value is Linux's default
/// of `net.core.somaxconn`, which is an upper limit for it.
pub(super) const BACKLOG: i32 = 4096;

/// A listening socket with its address.
#[derive(Debug)]
pub(super) struct BoundListener {
    socket: TcpListener,
    address: SocketAddr,
}

impl BoundListener {
    /// Binds the address and listens. Port 0 means any free port.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // Without it, a restart would have to wait for old connections in TIME_WAIT.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        let socket = TcpListener::from(socket);
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    /// Takes over a socket that is listening already.
    pub fn inherit(address: SocketAddr, socket: TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { socket, address })
    }

    /// Another handle of the socket.
    pub fn try_clone(&self) -> io::Result<TcpListener> {
        self.socket.try_clone()
    }

    /// The address, with the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl AsFd for BoundListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Handles of the sockets in the form that a service of Pingora takes, by their addresses. A service closes
/// its descriptors, so it gets duplicates.
pub(super) fn lend(listeners: &[BoundListener]) -> io::Result<ListenFds> {
    let mut fds = Fds::new();
    for listener in listeners {
        fds.add(listener.address.to_string(), listener.socket.try_clone()?.into_raw_fd());
    }
    Ok(Arc::new(Mutex::new(fds)))
}
