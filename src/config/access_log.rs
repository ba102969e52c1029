//! Where the access log goes.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::error::{Located, Report};
use super::files::NO_WAIT;
use super::named_file;
use super::{AccessLog, Log};

/// The log's settings, and whether its file could be written; none is made.
pub(super) fn log(access: Option<AccessLog>, file: Option<Located<PathBuf>>, report: &Report) -> Log {
    let access = access.unwrap_or(AccessLog::Json);
    if let Some(Located { value: path, at }) = &file {
        if access == AccessLog::Off {
            let message = "the access log is off, so that nothing is written there";
            report.warning(at, message, "write log.access: json, or remove the key");
        } else if let Err(error) = try_appending(path) {
            let message = format!("{} cannot be written: {error}", named_file::shown(path));
            report.problem(at, message, "make its folder, and let the gateway's user write there");
        }
    }
    Log { access, file: file.map(|file| file.value) }
}

fn try_appending(path: &Path) -> std::io::Result<()> {
    match OpenOptions::new().append(true).custom_flags(NO_WAIT).open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            Ok(access(folder.unwrap_or(Path::new(".")), Access::WRITE_OK | Access::EXEC_OK)?)
        }
        opened => opened.map(drop),
    }
}
