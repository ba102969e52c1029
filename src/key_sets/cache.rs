//! The cache file of a key set: the last set, for a start without the server. It holds public keys only,
//! but a user who can write to the file decides which tokens are accepted.
//!
//! The file names the source of its set, so that the keys of another URL are never taken:
//! `{"source":"…","set":"{\"keys\":[…]}"}`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use crate::approov::MAX_KEY_SET;

/// The longest file that is read. A character of the set may take six in the file.
const MAX_FILE: u64 = 6 * MAX_KEY_SET as u64 + 256;

/// The content of the file.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct CachedSet {
    /// SHA-256 of the whole URL, in hexadecimal.
    source: String,
    /// The text of the JWK set, as it was fetched.
    set: String,
}

/// Reads the set of this source from the file.
///
/// # Errors
/// If there is no regular file that this process may read, if another user may write to it, or if it does
/// not hold a set of this source.
pub(super) fn read(path: &Path, source: &str) -> io::Result<Vec<u8>> {
    let unusable = |why| io::Error::new(ErrorKind::InvalidData, why);
    let text = read_file(path)?;
    let cached: CachedSet =
        serde_json::from_slice(&text).map_err(|_| unusable("it is not a cache file of the gateway"))?;
    if cached.source != source {
        return Err(unusable("it has the set of another URL"));
    }
    Ok(cached.set.into_bytes())
}

/// Replaces the file in one step, so that a reader sees the old set or the new one. Only this user may
/// read and write it.
///
/// # Errors
/// If the folder cannot be written.
pub(super) fn replace(path: &Path, source: String, set: &[u8]) -> io::Result<()> {
    // A key set is JSON, so its text is UTF-8.
    let cached = CachedSet { source, set: String::from_utf8_lossy(set).into_owned() };
    replace_file(path, &serde_json::to_vec(&cached)?)
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
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
    file.take(MAX_FILE).read_to_end(&mut text)?;
    Ok(text)
}

fn replace_file(path: &Path, text: &[u8]) -> io::Result<()> {
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

    fn path(name: &str) -> std::path::PathBuf {
        std::env::temp_dir().join(format!("approov-key-set-{name}-{}", std::process::id()))
    }

    #[test]
    fn a_file_that_others_can_write_is_not_read() {
        let path = path("modes");
        replace(&path, "a".to_owned(), b"{}").expect("a file");
        assert_eq!(read(&path, "a").expect("a safe file"), b"{}");
        for mode in [0o620, 0o602, 0o666] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("permissions");
            let error = read(&path, "a").expect_err("an unsafe file");
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{mode:o}");
        }
        fs::remove_file(&path).expect("the file");
    }

    #[test]
    fn only_the_set_of_the_same_source_is_read() {
        let path = path("sources");
        let longest = format!("{{\"keys\":[\"{}\"]}}", "x".repeat(MAX_KEY_SET - 13));
        for set in ["{ \"keys\" : [1.50] }\n", &longest] {
            replace(&path, "a".repeat(64), set.as_bytes()).expect("a file");
            assert_eq!(read(&path, &"a".repeat(64)).expect("the same source"), set.as_bytes());
            let error = read(&path, &"b".repeat(64)).expect_err("another source");
            assert_eq!(error.to_string(), "it has the set of another URL");
        }
        for text in
            ["{\"keys\":[]}", "{\"source\":\"a\"}", "{\"set\":{}}", "", "[]", "{\"source\":\"a\",\"set\":{}"]
        {
            replace_file(&path, text.as_bytes()).expect("a file");
            let error = read(&path, "a").expect_err("no cache file");
            assert_eq!(error.to_string(), "it is not a cache file of the gateway", "{text}");
        }
        fs::remove_file(&path).expect("the file");
    }
}
