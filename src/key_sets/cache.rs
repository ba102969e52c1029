//! The cache file of a key set: the last set, for a start without the server. It holds public keys only,
//! but a user who can write to the file decides which tokens are accepted.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use crate::approov::MAX_KEY_SET;

/// Reads the file. A file that is too long is cut off, and then is no key set.
///
/// # Errors
/// If there is no regular file that this process may read, or if another user may write to it.
pub(super) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let no_wait = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(no_wait).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let is_own = [0, rustix::process::geteuid().as_raw()].contains(&metadata.uid());
    if !is_own || metadata.mode() & 0o022 != 0 {
        return Err(io::Error::new(
            ErrorKind::PermissionDenied,
            "another user may write to it; chmod go-w, or delete it",
        ));
    }
    let mut text = Vec::new();
    file.take(MAX_KEY_SET as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
}

/// Replaces the file in one step, so that a reader sees the old set or the new one. Only this user may
/// read and write it.
///
/// # Errors
/// If the folder cannot be written.
pub(super) fn replace_file(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".{}", std::process::id()));
    let written = write_new(Path::new(&new), text).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        // There may be no such file, and the first error is the one that helps.
        let _ = fs::remove_file(&new);
    }
    written
}

fn write_new(path: &Path, text: &[u8]) -> io::Result<()> {
    // A process of the same id may have been killed here.
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_that_others_can_write_is_not_read() {
        let path = std::env::temp_dir().join(format!("approov-key-set-{}", std::process::id()));
        replace_file(&path, b"{}").expect("a file");
        assert_eq!(read_file(&path).expect("a safe file"), b"{}");
        for mode in [0o620, 0o602, 0o666] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("permissions");
            let error = read_file(&path).expect_err("an unsafe file");
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{mode:o}");
        }
        fs::remove_file(&path).expect("the file");
    }
}
