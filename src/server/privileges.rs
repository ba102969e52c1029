//! What the process gives up: root's rights, and core dumps.

use std::ffi::CString;
use std::io::{self, ErrorKind};

use nix::unistd::{Gid, Uid, geteuid, initgroups, setgid, setgroups, setuid};

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

use crate::config::User;

/// Keeps secrets out of core dumps, and the memory of the process from other processes of its user.
///
/// The limit alone is not enough: the kernel ignores it when a program receives the dumps.
pub fn forbid_core_dumps() {
    // Lowering a limit and giving up rights cannot fail.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Changes this process, with all its threads, to that user and its groups for good. Does nothing if
/// it already belongs to the user.
///
/// # Errors
/// `PermissionDenied` if the process belongs to neither root nor that user.
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
    // In this order: the last step gives up the rights that the others need.
    match &user.name {
        Some(name) => initgroups(&CString::new(name.as_bytes())?, gid)?,
        None => setgroups(&[gid])?,
    }
    setgid(gid)?;
    setuid(uid)?;
    // The kernel resets it when the user changes.
    forbid_core_dumps();
    if setuid(Uid::from_raw(0)).is_ok() {
        return Err(io::Error::other("root's rights could be regained"));
    }
    Ok(())
}
