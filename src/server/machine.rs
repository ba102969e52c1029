//! Facts about the machine and about this process.

use std::fs;
use std::os::unix::fs::MetadataExt;

/// The host name of this machine. Empty if it cannot be read.
pub(super) fn machine_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

/// Device and inode of the binary that this process runs.
pub(super) fn own_executable() -> Option<String> {
    let file = fs::metadata("/proc/self/exe").ok()?;
    Some(format!("{}:{}", file.dev(), file.ino()))
}
