//! The socket of the admin listener: TCP, or a unix socket.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use tokio::net::TcpListener;

use super::listener::BoundListener;
use crate::admin::{AdminAddress, AdminListener};

/// A socket of the admin listener that listens.
pub(super) enum AdminSocket {
    Tcp(BoundListener),
    Unix(UnixSocket),
}

impl AdminSocket {
    /// Where it listens, with the port that was taken.
    pub fn address(&self) -> AdminAddress {
        match self {
            Self::Tcp(listener) => AdminAddress::Tcp(listener.address()),
            Self::Unix(socket) => AdminAddress::Unix(socket.path.clone()),
        }
    }

    /// The TCP socket, which a successor takes. It binds a unix socket of its own.
    pub fn tcp(&self) -> Option<&BoundListener> {
        match self {
            Self::Tcp(listener) => Some(listener),
            Self::Unix(_) => None,
        }
    }

    /// Another handle, for the event loop that this is called in.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub fn listen(&self) -> io::Result<AdminListener> {
        match self {
            Self::Tcp(listener) => listen(listener),
            Self::Unix(socket) => {
                let socket = socket.socket.try_clone()?;
                Ok(AdminListener::Unix(tokio::net::UnixListener::from_std(socket)?))
            }
        }
    }

    /// Lets clients find it from now on.
    ///
    /// # Errors
    /// When a unix socket cannot be put in place.
    pub fn publish(&self) -> io::Result<()> {
        match self {
            Self::Tcp(_) => Ok(()),
            Self::Unix(socket) => socket.publish(),
        }
    }
}

/// Another handle of a TCP socket, for the event loop that this is called in.
///
/// # Errors
/// When there is no descriptor left.
pub(super) fn listen(listener: &BoundListener) -> io::Result<AdminListener> {
    Ok(AdminListener::Tcp(TcpListener::from_std(listener.try_clone()?)?))
}

/// A unix socket. It is bound next to its path and renamed, so that the socket of a running process
/// stays in place until this process serves. Removed when dropped, unless another is in its place.
pub(super) struct UnixSocket {
    socket: UnixListener,
    path: PathBuf,
    /// The current path: a temporary one until the socket is renamed to `path`.
    present: Mutex<PathBuf>,
    inode: u64,
}

impl UnixSocket {
    /// Binds it for this user, or for `user` if the process is about to become that user.
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
        let socket = UnixListener::bind(&present)?;
        fs::set_permissions(&present, fs::Permissions::from_mode(0o600))?;
        if let Some(user) = user {
            chown(&present, Some(user), None)?;
        }
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
            // A socket that stays behind is recognised as stale.
            let _ = fs::remove_file(&*present);
        }
    }
}
