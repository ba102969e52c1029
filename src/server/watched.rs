//! Detects changes of the configuration's files.
//!
//! Reads the metadata of the files once a second, which takes some microseconds for each file. This works on
//! every file system and for every way to change a file: write into it, rename another over it, or swap a
//! symbolic link on the path as Kubernetes does. `inotify(7)` does not work on network file systems, and
//! loses a file that is renamed.

use std::time::Duration;

use crate::config::SourceFile;

/// How often the metadata is read.
pub(super) const EVERY: Duration = Duration::from_secs(1);

/// The state of the files when they were loaded, and when they were last checked.
pub(super) struct WatchedFiles {
    loaded: Vec<SourceFile>,
    seen: Vec<SourceFile>,
}

impl WatchedFiles {
    /// Watches `files`, in the state in which they were loaded.
    pub fn new(files: Vec<SourceFile>) -> Self {
        Self { seen: files.clone(), loaded: files }
    }

    /// Returns a function that reads the metadata of the files. The function can block.
    pub fn look(&self) -> impl FnOnce() -> Vec<SourceFile> + Send + 'static {
        let loaded = self.loaded.clone();
        move || loaded.iter().map(SourceFile::again).collect()
    }

    /// Whether the files differ from the loaded ones and have stopped changing: `now` is equal to the
    /// previous state.
    pub fn have_changed(&mut self, now: Vec<SourceFile>) -> bool {
        let are_settled = now == self.seen;
        self.seen = now;
        are_settled && self.seen != self.loaded
    }
}
