//! A temporary folder for the files of one test.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// A temporary folder, removed with the value.
///
/// It is in the system's folder for temporary files, because the path of a unix socket is limited to
/// about 100 bytes. Only the user of the test can read it and its files, unless
/// [`Folder::share`] is called.
pub struct Folder {
    path: PathBuf,
    file_mode: AtomicU32,
}

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("approov-it-{}-{number}", std::process::id()));
        fs::DirBuilder::new().mode(0o700).create(&path).unwrap();
        Self { path, file_mode: AtomicU32::new(0o600) }
    }

    /// Lets every user read this folder and the files that are written from now on.
    pub fn share(&self, folder_mode: u32) {
        fs::set_permissions(&self.path, fs::Permissions::from_mode(folder_mode)).unwrap();
        self.file_mode.store(0o644, Ordering::Relaxed);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file, or replaces its content.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        self.set_mode(name, self.file_mode.load(Ordering::Relaxed));
        path
    }

    pub fn set_mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Replaces this folder's path in a message, because it differs in each run.
    pub fn without_path(&self, message: &str) -> String {
        message.replace(&format!("{}/", self.path.display()), "")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl AsRef<Path> for Folder {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}
