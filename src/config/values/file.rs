//! Files that the configuration names.

use std::fs;
use std::iter;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::size::show_size;
use crate::approov::Secret;
use crate::config::document::{
    Kind, Located, Location, MAX_QUOTED, Report, Reported, Shape, Value, read_regular,
};

/// More than any secret or public key takes.
const MAX_TEXT: u64 = 64 * 1024;

/// The kind of a file name.
pub struct FileName;

/// A file name. A relative name begins at the folder of the configuration file.
pub fn file() -> FileName {
    FileName
}

impl Kind for FileName {
    type Value = PathBuf;

    fn read(&self, value: &Value<'_>) -> Result<PathBuf, Reported> {
        let path = value.text()?;
        if path.is_empty() || path.contains('\0') {
            return Err(value.problem(
                "this is not a file name",
                "write a path; a relative one begins at this file's folder",
            ));
        }
        Ok(value.folder().join(path))
    }

    fn shape(&self) -> Shape {
        Shape::text("file name")
    }
}

/// The bytes of a named file that has at most `limit` of them.
pub fn read_file(
    file: &Located<PathBuf>,
    limit: u64,
    report: &Report,
) -> Result<Zeroizing<Vec<u8>>, Reported> {
    let Located { value: path, at } = file;
    report.reads(path);
    let bytes = read_regular(path, limit + 1).map_err(|error| {
        let message = format!("{} cannot be read: {error}", shown(path));
        report.problem(at, message, "check the path and who may read the file")
    })?;
    if bytes.len() as u64 > limit {
        let message = format!("{} is larger than {}", path.display(), show_size(limit));
        return Err(report.problem(at, message, "check that it is the right file"));
    }
    Ok(bytes)
}

/// A short text, which may be a secret.
pub fn read_small_file(file: &Located<PathBuf>, report: &Report) -> Result<Zeroizing<String>, Reported> {
    let bytes = read_file(file, MAX_TEXT, report)?;
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => {
            let message = format!("{} holds something other than a short text", file.value.display());
            Err(report.problem(&file.at, message, "store the base64 or PEM text in it, not raw bytes"))
        }
    }
}

/// The name of a file that cannot be used, as messages show it. The name is hidden if it may be a
/// secret that was written in place of a file name.
pub fn shown(path: &Path) -> String {
    let text = path.to_string_lossy();
    let folders = text.match_indices('/').map(|(slash, _)| slash + 1);
    let is_secret = iter::once(0).chain(folders).any(|from| Secret::from_base64(&text[from..]).is_ok());
    if is_secret || text.split('/').any(|name| name.chars().count() > MAX_QUOTED) {
        "a file whose name might be a secret".to_owned()
    } else {
        text.escape_debug().to_string()
    }
}

/// Warns if every account of the machine can read a secret.
pub fn warn_if_world_readable(path: &Path, at: &Location, report: &Report) {
    if fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0) {
        let message = format!("everyone on this machine can read the secret in {}", path.display());
        report.warning(at, message, "take the right away: chmod o-rwx");
    }
}
