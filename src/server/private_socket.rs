//! Unix sockets that only one user may use.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::lchown;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;

use rustix::fs::{Mode, fchmod};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};
use rustix::process::Uid;

use super::listener::BACKLOG;

/// A listener at `path` with mode 0600, which belongs to `owner` if there is one.
///
/// # Errors
/// If the socket cannot be bound, or if the owner cannot be set.
pub fn listen_privately(path: &Path, owner: Option<Uid>) -> io::Result<UnixListener> {
    let socket = bind_privately(path, owner, SocketType::STREAM)?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// A socket for messages at `path` with mode 0600, which belongs to `owner` if there is one.
///
/// # Errors
/// If the socket cannot be bound, or if the owner cannot be set.
pub fn receive_privately(path: &Path, owner: Option<Uid>) -> io::Result<UnixDatagram> {
    Ok(bind_privately(path, owner, SocketType::DGRAM)?.into())
}

/// Binds a socket at `path`. The mode is set before the bind, and the file takes it, so no other user can open the
/// file at any moment.
///
/// The folder may belong to a user with fewer rights than this process, who may put a symbolic link in the
/// socket's place. So nothing here follows a link.
fn bind_privately(path: &Path, owner: Option<Uid>, kind: SocketType) -> io::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
    fchmod(&socket, Mode::from_raw_mode(0o600))?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    if let Some(owner) = owner {
        lchown(path, Some(owner.as_raw()), None)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_the_owner_may_use_the_socket() {
        let folder = std::env::temp_dir().join(format!("approov-private-{}", std::process::id()));
        fs::create_dir(&folder).expect("a folder");
        let (stream, datagram) = (folder.join("stream"), folder.join("datagram"));
        let sockets = (listen_privately(&stream, None), receive_privately(&datagram, None));
        for path in [&stream, &datagram] {
            let mode = fs::metadata(path).expect("a socket").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", path.display());
        }
        drop(sockets);
        fs::remove_dir_all(&folder).expect("a folder");
    }
}
