//! The files that a configuration was read from, and whether they have changed.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

/// A file as it was when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    path: PathBuf,
    state: FileState,
}

/// Device, inode, size, and the times of the last change of content and metadata in seconds and
/// nanoseconds. For a symbolic link, those of its target. `None` if there is no file.
type FileState = Option<(u64, u64, u64, [i64; 4])>;

impl SourceFile {
    /// The present state of the file at `path`. To be called before the file is read.
    pub fn now(path: &Path) -> Self {
        Self { path: path.to_owned(), state: state(path) }
    }

    /// The path under which the file was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The present state of the file.
    pub fn again(&self) -> Self {
        Self::now(&self.path)
    }
}

fn state(path: &Path) -> FileState {
    let metadata = fs::metadata(path).ok()?;
    let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
    Some((metadata.dev(), metadata.ino(), metadata.size(), times))
}

/// `O_NONBLOCK`: without it, opening a FIFO waits for the process at its other end.
pub const NO_WAIT: i32 = OFlags::NONBLOCK.bits().cast_signed();

/// Reads the first `limit` bytes of a regular file.
///
/// # Errors
/// When the file cannot be read. Anything but a regular file is refused: opening or reading a FIFO,
/// a socket or a device can wait forever, and a reload must not.
pub fn read_regular(path: &Path, limit: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = OpenOptions::new().read(true).custom_flags(NO_WAIT).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}
