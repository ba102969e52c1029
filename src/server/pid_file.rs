//! The pid file: which process serves.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

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

impl PidFile {
    /// Leaves the file to a successor, which is about to put its own in place.
    pub fn leave(mut self) {
        self.0 = PathBuf::new();
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

/// Makes the folder of `path`, for `user` only, if it is missing; refuses one in which others
/// could put files of theirs in place of ours, and one in which `user` cannot.
///
/// # Errors
/// When the folder cannot be made, or others may write to it, or `user` may not.
pub(super) fn prepare_folder(path: &Path, user: u32) -> io::Result<()> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else { return Ok(()) };
    let missing: Vec<&Path> = folder.ancestors().take_while(|folder| is_missing(folder)).collect();
    for folder in missing.into_iter().rev() {
        match DirBuilder::new().mode(0o700).create(folder) {
            // Somebody else was faster; what it made is looked at below.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => {
                made?;
                if user != geteuid().as_raw() {
                    chown(folder, Some(user), None)?;
                }
            }
        }
    }
    let denied = |message: String| Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    let metadata = fs::metadata(folder)?;
    if let Some(owner) = stranger(metadata.uid(), user) {
        return denied(format!("{} belongs to user {owner}; use a folder of your own", folder.display()));
    }
    if metadata.mode() & 0o022 != 0 {
        let folder = folder.display();
        return denied(format!("others may write to {folder}; use a folder of mode 0700 or 0755"));
    }
    // Only root's own rights would let it write there.
    if user != geteuid().as_raw() && metadata.uid() != user {
        let folder = folder.display();
        return denied(format!(
            "{folder} is root's, and user {user} cannot write there; chown it to that user"
        ));
    }
    Ok(())
}

fn is_missing(folder: &Path) -> bool {
    !folder.as_os_str().is_empty()
        && fs::metadata(folder).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
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
        let user = geteuid().as_raw();
        prepare_folder(&path, user).expect("a folder");
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
        assert!(prepare_folder(&path, user).is_err());
        fs::remove_dir_all(folder).expect("ours");
    }
}
