//! The files that a configuration was read from, and whether they are still the same.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file as it was when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    path: PathBuf,
    state: State,
}

/// What tells a file from its successor: device, inode, size, and the times of the last change of
/// its content and of its metadata, in seconds and nanoseconds. Of a symbolic link, what it leads
/// to. `None` where there is no file.
type State = Option<(u64, u64, u64, [i64; 4])>;

impl SourceFile {
    /// The file at `path` as it is now; to be called before it is read.
    pub(super) fn now(path: &Path) -> Self {
        Self { path: path.to_owned(), state: state(path) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The same file as it is now.
    pub fn again(&self) -> Self {
        Self::now(&self.path)
    }
}

fn state(path: &Path) -> State {
    let metadata = fs::metadata(path).ok()?;
    let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
    Some((metadata.dev(), metadata.ino(), metadata.size(), times))
}
