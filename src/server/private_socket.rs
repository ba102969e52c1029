//! Unix sockets that only one user may use.

use std::io;
use std::os::unix::fs::lchown;
use std::path::Path;

use rustix::fs::Mode;
use rustix::process::{Uid, umask};

/// Binds a unix socket at `path` with mode 0600, and gives it to `owner` if there is one.
///
/// The folder may belong to a user with fewer rights than this process, who may put a symbolic link in the
/// socket's place. So nothing here follows a link.
///
/// # Errors
/// If `bind` fails, or if the owner cannot be set.
pub fn bind_private<T>(
    path: &Path,
    owner: Option<Uid>,
    bind: impl FnOnce(&Path) -> io::Result<T>,
) -> io::Result<T> {
    // The umask is per process: a file that another thread creates at this moment is stricter, too.
    let before = umask(Mode::from_raw_mode(0o177));
    let bound = bind(path);
    umask(before);
    let socket = bound?;
    if let Some(owner) = owner {
        lchown(path, Some(owner.as_raw()), None)?;
    }
    Ok(socket)
}
