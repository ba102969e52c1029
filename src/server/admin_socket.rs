//! The socket of the admin listener: TCP, or a unix socket.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use rustix::process::Uid;
use tokio::net::TcpListener;

use super::listener::BoundListener;
use super::private_socket::listen_privately;
use crate::admin::{AdminAddress, AdminListener};

/// A listening socket of the admin listener.
pub(super) enum AdminSocket {
    Tcp(BoundListener),
    Unix(UnixSocket),
}

impl AdminSocket {
    /// The address of the socket, with the port that the system chose.
    pub fn address(&self) -> AdminAddress {
        match self {
            Self::Tcp(listener) => AdminAddress::Tcp(listener.address()),
            Self::Unix(socket) => AdminAddress::Unix(socket.path.clone()),
        }
    }

    /// The TCP socket, which a successor takes over. A successor binds a unix socket itself.
    pub fn tcp(&self) -> Option<&BoundListener> {
        match self {
            Self::Tcp(listener) => Some(listener),
            Self::Unix(_) => None,
        }
    }

    /// Another handle of the socket for the current event loop.
    ///
    /// # Errors
    /// If the process cannot open another descriptor.
    pub fn listen(&self) -> io::Result<AdminListener> {
        match self {
            Self::Tcp(listener) => listen(listener),
            Self::Unix(socket) => {
                let socket = socket.socket.try_clone()?;
                Ok(AdminListener::Unix(tokio::net::UnixListener::from_std(socket)?))
            }
        }
    }

    /// Makes a unix socket visible at its path.
    ///
    /// # Errors
    /// If the socket cannot be renamed to its path.
    pub fn publish(&self) -> io::Result<()> {
        match self {
            Self::Tcp(_) => Ok(()),
            Self::Unix(socket) => socket.publish(),
        }
    }
}

/// Another handle of a TCP socket for the current event loop.
///
/// # Errors
/// If the process cannot open another descriptor.
pub(super) fn listen(listener: &BoundListener) -> io::Result<AdminListener> {
    Ok(AdminListener::Tcp(TcpListener::from_std(listener.try_clone()?)?))
}

/// A unix socket. It is bound next to its path and renamed, so that the socket of a running process stays in
/// place until this process serves. The file is removed when the value is dropped, unless another socket has
/// replaced it.
pub(super) struct UnixSocket {
    socket: UnixListener,
    path: PathBuf,
    /// The current path: a temporary one until the socket is renamed to `path`.
    present: Mutex<PathBuf>,
    inode: u64,
}

impl UnixSocket {
    /// Binds the socket for this user, or for `user` if the process is about to become that user.
    ///
    /// # Errors
    /// `AddrInUse` if another process listens there, unless this process is its successor.
    pub fn bind(path: &Path, user: Option<u32>, is_successor: bool) -> io::Result<Self> {
        if !is_successor && UnixStream::connect(path).is_ok() {
            return Err(ErrorKind::AddrInUse.into());
        }
        let mut present = path.as_os_str().to_owned();
        present.push(format!(".{}", std::process::id()));
        let present = PathBuf::from(present);
        match fs::remove_file(&present) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = listen_privately(&present, user.map(Uid::from_raw))?;
        socket.set_nonblocking(true)?;
        let inode = fs::metadata(&present)?.ino();
        Ok(Self { socket, path: path.to_owned(), present: Mutex::new(present), inode })
    }

    fn publish(&self) -> io::Result<()> {
        let mut present = self.present.lock();
        fs::rename(&*present, &self.path)?;
        present.clone_from(&self.path);
        Ok(())
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        let present = self.present.lock();
        if fs::metadata(&*present).is_ok_and(|file| file.ino() == self.inode) {
            // If the file cannot be removed, the next process recognises it as stale.
            let _ = fs::remove_file(&*present);
        }
    }
}
