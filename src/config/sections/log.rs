//! `log`: the access log.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ::log::LevelFilter;
use rustix::fs::{Access, access};

use super::route_options::{share, show_share};
use crate::config::document::{Located, NO_WAIT, Report, Written, default, section, text, words};
use crate::config::settings::{AccessLog, Log};
use crate::config::values::{file, shown};
use crate::policy::Share;

/// The levels of diagnostics, from the fewest messages to the most.
pub const LEVELS: [(&str, LevelFilter); 5] = [
    ("error", LevelFilter::Error),
    ("warn", LevelFilter::Warn),
    ("info", LevelFilter::Info),
    ("debug", LevelFilter::Debug),
    ("trace", LevelFilter::Trace),
];

section! {
    /// The access log, and the level of diagnostics.
    pub struct LogSection {
        /// The level of diagnostics on standard error. The variable `RUST_LOG` is finer, by module, and
        /// replaces it. (`GATEWAY_LOG_LEVEL`)
        level: LevelFilter = default(words(LEVELS), LevelFilter::Info),
        /// The access log: `json` writes one object a line, `off` writes nothing.
        access: AccessLog = default(words([("json", AccessLog::Json), ("off", AccessLog::Off)]), AccessLog::Json),
        /// The share of the accepted requests that are logged. Refusals, errors and requests of a second or
        /// more are always logged. A line of a sample has the share as `sample_rate`.
        sample: Share = default(text("percentage", share).shown(show_share), Share::ALL),
        /// The file that the access log is appended to. SIGUSR1 opens the file again after it has
        /// been moved away. Default: standard output. Diagnostics go to standard error.
        access_file: Written<PathBuf> = file(),
    }
}

impl LogSection {
    /// The settings, after a test whether the file can be written. The file is not created.
    pub fn resolve(self, level: Option<LevelFilter>, report: &Report) -> Log {
        let file = self.access_file.located();
        if let Some(Located { value: path, at }) = &file {
            if self.access == AccessLog::Off {
                let message = "the access log is off, so nothing is written there";
                report.warning(at, message, "write log.access: json, or remove the key");
            } else if let Err(error) = try_appending(path) {
                let message = format!("{} cannot be written: {error}", shown(path));
                report.problem(at, message, "make its folder, and let the gateway's user write there");
            }
        }
        Log {
            level: level.unwrap_or(self.level),
            access: self.access,
            sample: self.sample,
            file: file.map(|file| file.value),
        }
    }
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
