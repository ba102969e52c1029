//! Noticing that the files of the configuration have changed.
//!
//! Their metadata is asked for once a second, at some microseconds a file. That works on every
//! file system and for every way to change a file: writing into it, renaming another over it,
//! swapping a symbolic link on the way to it as Kubernetes does. `inotify(7)` knows nothing of
//! network file systems and loses what is renamed away.

use std::time::Duration;

use crate::config::SourceFile;

/// How often it is looked.
pub(super) const EVERY: Duration = Duration::from_secs(1);

/// The files as they were loaded, and as they were last seen.
pub(super) struct WatchedFiles {
    loaded: Vec<SourceFile>,
    seen: Vec<SourceFile>,
}

impl WatchedFiles {
    /// Watches `files`, which have been loaded as they stand here.
    pub fn new(files: Vec<SourceFile>) -> Self {
        Self { seen: files.clone(), loaded: files }
    }

    /// Reads the files' metadata, which can block.
    pub fn look(&self) -> impl FnOnce() -> Vec<SourceFile> + Send + 'static {
        let loaded = self.loaded.clone();
        move || loaded.iter().map(SourceFile::again).collect()
    }

    /// Whether the files differ from those that were loaded, and are not still changing: `now` is
    /// equal to the look before it.
    pub fn have_changed(&mut self, now: Vec<SourceFile>) -> bool {
        let are_settled = now == self.seen;
        self.seen = now;
        are_settled && self.seen != self.loaded
    }
}
