//! The pid file: which process serves.
//!
//! The process holds a lock (`flock(2)`) on its pid file for its whole life. The kernel drops the
//! lock when the process ends, however it ends. A pid file without a lock is stale, and the number in
//! it may be that of any other process by now.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::process::geteuid;

/// Longer than any process id.
const MAX_CONTENT: u64 = 32;

/// The pid file of this process. Removed when dropped, unless another file is in its place.
#[derive(Debug)]
pub(super) struct PidFile {
    path: PathBuf,
    /// The open file, which holds the lock.
    file: File,
    is_left: bool,
}

impl PidFile {
    /// Writes the file in one step, so that a reader never sees half a number.
    ///
    /// # Errors
    /// When the folder cannot be written, or its file system has no locks.
    pub fn write(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: put_in_place(path)?, is_left: false })
    }

    /// Writes the file again, after a successor that failed has put its own in place.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn restore(&mut self) -> io::Result<()> {
        self.file = put_in_place(&self.path)?;
        Ok(())
    }

    /// Leaves the path to a successor, which is about to put its own file there. The lock on this
    /// one stays until the process ends.
    pub fn leave(&mut self) {
        self.is_left = true;
    }

    fn is_in_place(&self) -> bool {
        let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let (ours, present) = (self.file.metadata().map(identity), fs::metadata(&self.path).map(identity));
        matches!((ours, present), (Ok(ours), Ok(present)) if ours == present)
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if !self.is_left && self.is_in_place() {
            // A file that stays behind has no lock, so it is recognised as stale.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Puts a new file with a lock in place in one step.
fn put_in_place(path: &Path) -> io::Result<File> {
    // Always the same name: a process that is killed here leaves a file that the next one uses.
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    // Mode 0644 whatever the umask: write access decides which process an operator signals.
    let mut file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o644).open(&new)?;
    file.try_lock()?;
    file.set_len(0)?;
    file.write_all(format!("{}\n", std::process::id()).as_bytes())?;
    fs::rename(&new, path)?;
    Ok(file)
}

/// A pid file of any process, opened to be read.
#[derive(Debug)]
pub struct OpenPidFile {
    file: File,
    pid: u32,
}

impl OpenPidFile {
    /// Opens the file and reads the process id.
    ///
    /// # Errors
    /// When there is no regular file, or no number in it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let no_wait = OFlags::NONBLOCK.bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(no_wait).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"));
        }
        let mut text = String::new();
        (&file).take(MAX_CONTENT).read_to_string(&mut text)?;
        match text.trim().parse() {
            Ok(pid) => Ok(Self { file, pid }),
            Err(_) => Err(io::Error::new(ErrorKind::InvalidData, "it holds no process id")),
        }
    }

    /// The process id in the file. It may be stale: see [`Self::is_held`].
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether the process of that id runs and holds the lock on the file.
    ///
    /// # Errors
    /// When the file system has no locks.
    pub fn is_held(&self) -> io::Result<bool> {
        match self.file.try_lock_shared() {
            Ok(()) => {
                // Closing the file drops the lock as well.
                let _ = self.file.unlock();
                Ok(false)
            }
            Err(TryLockError::WouldBlock) => Ok(holds_a_lock(self.pid)),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// Whether this process holds a lock of the kind that [`PidFile`] takes. The kernel names the holders
/// that are visible here: a process in another container has another id there.
fn holds_a_lock(pid: u32) -> bool {
    if !is_proc_ours() {
        return true;
    }
    let pid = pid.to_string();
    let is_named = || {
        let Ok(locks) = fs::read_to_string("/proc/locks") else { return true };
        locks.lines().any(|line| {
            let mut words = line.split_ascii_whitespace().skip(1);
            words.next() == Some("FLOCK") && words.nth(1) == Some("WRITE") && words.next() == Some(&pid)
        })
    };
    // The kernel gives the list in parts, and a lock that ends between two of them hides another one.
    (0..3).any(|_| is_named())
}

/// Whether `/proc` shows the process ids that this process sees: one that was moved into the container
/// of another may still have its old `/proc`.
pub fn is_proc_ours() -> bool {
    fs::read_link("/proc/self").is_ok_and(|link| link.as_os_str() == &*std::process::id().to_string())
}

/// Checks that no running process holds the pid file at `path`.
///
/// # Errors
/// `AddrInUse` if one does.
pub(super) fn refuse_running(path: &Path) -> io::Result<()> {
    let Ok(open) = OpenPidFile::open(path) else { return Ok(()) };
    if !open.is_held()? || open.pid == std::process::id() {
        return Ok(());
    }
    let message =
        format!("process {} runs with this pid file; stop it, or use `approov-gateway upgrade`", open.pid);
    Err(io::Error::new(ErrorKind::AddrInUse, message))
}

/// Makes the folder of `path`, for `user` only, if it is missing. Refuses a folder in which another
/// user could replace our files, and one in which `user` cannot write.
///
/// # Errors
/// When the folder cannot be made, or others may write to it, or `user` may not.
pub(super) fn prepare_folder(path: &Path, user: u32) -> io::Result<()> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else { return Ok(()) };
    let missing: Vec<&Path> = folder.ancestors().take_while(|folder| is_missing(folder)).collect();
    for folder in missing.into_iter().rev() {
        match DirBuilder::new().mode(0o700).create(folder) {
            // Another process was faster. The folder is checked below.
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
    // Only root could write there.
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

/// The owner of a folder, if it is neither this user nor root. An owner can change any mode.
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

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("approov-gateway-pid-{name}-{}", std::process::id());
            let folder = Self(std::env::temp_dir().join(name));
            prepare_folder(&folder.file(), geteuid().as_raw()).expect("a folder");
            folder
        }

        fn file(&self) -> PathBuf {
            self.0.join("run").join("gateway.pid")
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn pid_in(path: &Path) -> u32 {
        OpenPidFile::open(path).expect("a number").pid()
    }

    #[test]
    fn is_removed_only_while_it_is_in_place() {
        let folder = Folder::new("removed");
        let path = folder.file();
        let mode = fs::metadata(folder.0.join("run")).expect("made").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let mut ours = PidFile::write(&path).expect("written");
        assert_eq!(pid_in(&path), std::process::id());
        assert_eq!(fs::metadata(&path).expect("written").permissions().mode() & 0o022, 0);
        fs::remove_file(&path).expect("there");
        fs::write(&path, "1\n").expect("a successor's");
        ours.restore().expect("written");
        assert_eq!(pid_in(&path), std::process::id());
        drop(ours);
        assert!(!path.exists());
        let ours = PidFile::write(&path).expect("written");
        fs::remove_file(&path).expect("there");
        fs::write(&path, "1\n").expect("a successor's");
        drop(ours);
        assert_eq!(pid_in(&path), 1);
        let mut ours = PidFile::write(&path).expect("written");
        ours.leave();
        drop(ours);
        assert!(path.exists());
        fs::set_permissions(folder.0.join("run"), fs::Permissions::from_mode(0o777)).expect("ours");
        assert!(prepare_folder(&path, geteuid().as_raw()).is_err());
    }

    #[test]
    fn is_held_only_by_the_process_that_is_named_in_it() {
        let folder = Folder::new("held");
        let path = folder.file();
        let is_held = || OpenPidFile::open(&path).expect("a number").is_held().expect("locks");
        let ours = PidFile::write(&path).expect("written");
        assert!(is_held());
        drop(ours);
        fs::write(&path, format!("{}\n", std::process::id())).expect("written");
        assert!(!is_held());
        // Another process holds the lock.
        fs::write(&path, "2147483647\n").expect("written");
        let locked = File::open(&path).expect("there");
        locked.try_lock().expect("a lock");
        assert!(!is_held());
        fs::write(&path, "x\n").expect("written");
        assert!(OpenPidFile::open(&path).is_err());
    }
}
