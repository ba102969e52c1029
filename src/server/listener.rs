//! Listening sockets: bound by us before anything is served, and lent to Pingora's services.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::sync::Arc;

use parking_lot::Mutex;
use pingora_core::server::{Fds, ListenFds};
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait to be accepted; the kernel cuts it down to `net.core.somaxconn`.
const BACKLOG: i32 = 65_535;

/// A socket that listens.
#[derive(Debug)]
pub(super) struct BoundListener {
    socket: TcpListener,
    address: SocketAddr,
}

impl BoundListener {
    /// Binds and listens. Port 0 takes a free port.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // A restart must not wait for old connections in TIME_WAIT.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        let socket = TcpListener::from(socket);
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    /// The address, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Duplicates the sockets for one service of Pingora's and names each to it through `add`. A
/// service closes what it was given; two must never share a descriptor.
pub(super) fn hand_over(listeners: &[BoundListener], mut add: impl FnMut(&str)) -> io::Result<ListenFds> {
    let mut fds = Fds::new();
    for listener in listeners {
        let name = listener.address.to_string();
        fds.add(name.clone(), listener.socket.try_clone()?.into_raw_fd());
        add(&name);
    }
    Ok(Arc::new(Mutex::new(fds)))
}
