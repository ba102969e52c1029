//! The pid file: which process serves.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A pid file of this process; removed when dropped, unless a successor has put its own in place.
#[derive(Debug)]
pub(super) struct PidFile(PathBuf);

impl PidFile {
    /// Writes the file in one step, so that a reader never sees half a number.
    ///
    /// # Errors
    /// When the folder cannot be made or written.
    pub fn write(path: &Path) -> io::Result<Self> {
        let file = Self(path.to_owned());
        file.restore()?;
        Ok(file)
    }

    /// Writes it again, where another process has put its own in place and then failed.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn restore(&self) -> io::Result<()> {
        let temporary = self.0.with_extension(format!("{}.tmp", std::process::id()));
        // Whatever the umask: who can write it chooses whom the operator signals.
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&temporary)?;
        file.write_all(format!("{}\n", std::process::id()).as_bytes())?;
        fs::rename(&temporary, &self.0)
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if read(&self.0).is_ok_and(|pid| pid == std::process::id()) {
            // Whatever remains is recognised as stale.
            let _ = fs::remove_file(&self.0);
        }
    }
}

/// The process id in a pid file.
///
/// # Errors
/// When there is no file, or no number in it.
pub fn read(path: &Path) -> io::Result<u32> {
    let text = fs::read_to_string(path)?;
    text.trim().parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it holds no process id"))
}

/// Makes the folder of `path`, for this user only, if it is missing; refuses one in which others
/// could put files of theirs in place of ours.
///
/// # Errors
/// When the folder cannot be made, or others may write to it.
pub(super) fn prepare_folder(path: &Path) -> io::Result<()> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else { return Ok(()) };
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let metadata = fs::metadata(folder)?;
    if let Some(owner) = stranger(metadata.uid(), rustix::process::geteuid().as_raw()) {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{} belongs to user {owner}; use a folder of your own", folder.display()),
        ));
    }
    let writable_by_others = metadata.mode() & 0o022 != 0;
    if writable_by_others {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("others may write to {}; use a folder of mode 0700 or 0755", folder.display()),
        ));
    }
    Ok(())
}

/// The owner of a folder, if that is neither this user nor root: whatever its mode, it is the
/// owner's to change.
fn stranger(owner: u32, user: u32) -> Option<u32> {
    (owner != user && owner != 0).then_some(owner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_folder_is_ours_or_roots() {
        assert_eq!((stranger(1000, 1000), stranger(0, 1000), stranger(0, 0)), (None, None, None));
        assert_eq!((stranger(1000, 0), stranger(1001, 1000)), (Some(1000), Some(1001)));
    }

    #[test]
    fn is_removed_only_while_it_is_ours() {
        let folder = std::env::temp_dir().join(format!("approov-gateway-pid-{}", std::process::id()));
        let path = folder.join("run").join("gateway.pid");
        prepare_folder(&path).expect("a folder");
        let mode = fs::metadata(folder.join("run")).expect("made").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let ours = PidFile::write(&path).expect("written");
        assert_eq!(read(&path).expect("a number"), std::process::id());
        assert_eq!(fs::metadata(&path).expect("written").permissions().mode() & 0o022, 0);
        drop(ours);
        assert!(!path.exists());
        let ours = PidFile::write(&path).expect("written");
        fs::write(&path, "1\n").expect("a successor's");
        drop(ours);
        assert_eq!(read(&path).expect("a number"), 1);
        let ours = PidFile(path.clone());
        ours.restore().expect("written");
        assert_eq!(read(&path).expect("a number"), std::process::id());
        fs::set_permissions(folder.join("run"), fs::Permissions::from_mode(0o777)).expect("ours");
        assert!(prepare_folder(&path).is_err());
        fs::remove_dir_all(folder).expect("ours");
    }
}
