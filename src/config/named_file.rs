//! Files that the configuration names.

use std::iter;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::approov::Secret;

use super::error::{Located, Location, MAX_QUOTED, Report, Reported};
use super::files::read_regular;
use super::reader::Value;

/// A file name; a relative one begins at the folder of the configuration file.
pub(super) fn path(value: &Value<'_>, folder: &Path) -> Result<PathBuf, Reported> {
    let path = value.text()?;
    if path.is_empty() || path.contains('\0') {
        return Err(value.problem(
            "this is not a file name",
            "write a path; a relative one begins at this file's folder",
        ));
    }
    Ok(folder.join(path))
}

/// The same, with the place where it is named.
pub(super) fn located_path(value: &Value<'_>, folder: &Path) -> Result<Located<PathBuf>, Reported> {
    Ok(Located { value: path(value, folder)?, at: value.at().clone() })
}

/// The first `limit` bytes of a file.
pub(super) fn read(
    path: &Path,
    limit: u64,
    at: &Location,
    report: &Report,
) -> Result<Zeroizing<Vec<u8>>, Reported> {
    report.reads(path);
    read_regular(path, limit).map_err(|error| {
        let message = format!("{} cannot be read: {error}", shown(path));
        report.problem(at, message, "check the path and who may read the file")
    })
}

/// The name of a file that cannot be used, as messages show it; hidden where it might be the secret
/// itself, written in place of a file's name.
pub(super) fn shown(path: &Path) -> String {
    let text = path.to_string_lossy();
    let folders = text.match_indices('/').map(|(slash, _)| slash + 1);
    let is_secret = iter::once(0).chain(folders).any(|from| Secret::from_base64(&text[from..]).is_ok());
    if is_secret || text.split('/').any(|name| name.chars().count() > MAX_QUOTED) {
        "a file whose name might be a secret".to_owned()
    } else {
        text.escape_debug().to_string()
    }
}

/// A secret that every account of the machine can read is none.
#[cfg(unix)]
pub(super) fn warn_if_world_readable(path: &Path, at: &Location, report: &Report) {
    use std::os::unix::fs::PermissionsExt;
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0) {
        let message = format!("everyone on this machine can read the secret in {}", path.display());
        report.warning(at, message, "take the right away: chmod o-rwx");
    }
}

#[cfg(not(unix))]
pub(super) fn warn_if_world_readable(_: &Path, _: &Location, _: &Report) {}
