//! Giving up root's rights for those of a plain user.

use std::ffi::CString;
use std::io::{self, ErrorKind};

use nix::unistd::{Gid, Uid, geteuid, initgroups, setgid, setgroups, setuid};

use crate::config::User;

/// Makes this process, with all its threads, one of that user and its groups, for good. Nothing is
/// to be done where it is one already.
///
/// # Errors
/// `PermissionDenied` where the process is neither root's nor that user's.
pub fn become_user(user: &User) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    if geteuid() == uid {
        return Ok(());
    }
    if !geteuid().is_root() {
        return Err(io::Error::new(
            ErrorKind::PermissionDenied,
            "only a process that is started as root can change its user; start it as root or as that user",
        ));
    }
    // In this order: each step needs the rights that the last one gives up.
    match &user.name {
        Some(name) => initgroups(&CString::new(name.as_bytes())?, gid)?,
        None => setgroups(&[gid])?,
    }
    setgid(gid)?;
    setuid(uid)?;
    if setuid(Uid::from_raw(0)).is_ok() {
        return Err(io::Error::other("root's rights could be had back"));
    }
    Ok(())
}
