//! `log`: the access log and the diagnostics.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ::log::LevelFilter;
use rustix::fs::{Access, access};

use super::route_options::{share, show_share};
use crate::config::document::{Located, NO_WAIT, Report, Written, always, default, section, text, words};
use crate::config::settings::{AccessLog, Log};
use crate::config::values::{file, read_file, shown, warn_if_world_readable};
use crate::policy::Share;
use crate::telemetry::{
    AddressPrivacy, DevicePrivacy, DiagnosticsFormat, PathPrivacy, PrivacyKey, PrivacySettings,
};

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
        /// The form of diagnostics: `text`, or `json` with one object a line.
        format: DiagnosticsFormat = default(words([("text", DiagnosticsFormat::Text), ("json", DiagnosticsFormat::Json)]), DiagnosticsFormat::Text),
        /// The access log: `json` writes one object a line, `off` writes nothing.
        access: AccessLog = default(words([("json", AccessLog::Json), ("off", AccessLog::Off)]), AccessLog::Json),
        /// The share of the ordinary requests that are logged. Refused, observed, failed, repeated and slow
        /// requests (a second or more) and answers with 5xx are always logged. A line of a sample has the
        /// share as `sample_rate`.
        sample: Share = default(text("percentage", share).shown(show_share), Share::ALL),
        /// The file that the access log is appended to. SIGUSR1 opens the file again after it has
        /// been moved away. Default: standard output. Diagnostics go to standard error.
        access_file: Written<PathBuf> = file(),
        /// How personal data is logged, and exported with spans.
        privacy: PrivacySection = always::<PrivacySection>(),
    }
}

section! {
    /// Personal data in the access log and in spans.
    struct PrivacySection {
        /// Client addresses: `full`, `truncate` to the network (the first 24 bits of IPv4, the first 48
        /// bits of IPv6), or `omit`.
        client_address: AddressPrivacy = default(words(AddressPrivacy::ALL.map(|how| (how.label(), how))), AddressPrivacy::Full),
        /// Device ids: `full`, `hmac` for a keyed hash that keeps the lines of a device together, or `omit`.
        device: DevicePrivacy = default(words(DevicePrivacy::ALL.map(|how| (how.label(), how))), DevicePrivacy::Full),
        /// Paths: `full`, `route` for the path of the route, or `omit`.
        path: PathPrivacy = default(words(PathPrivacy::ALL.map(|how| (how.label(), how))), PathPrivacy::Full),
        /// A file with the key for `device: hmac`, at least 16 bytes. With the same key all nodes write the
        /// same hashes, also after a restart. Default: a random key of each process.
        key_file: Written<PathBuf> = file(),
    }
}

/// The sizes of a key in bytes.
const MIN_KEY: usize = 16;
const MAX_KEY: u64 = 4096;

impl PrivacySection {
    fn resolve(self, report: &Report) -> PrivacySettings {
        let key = self.key_file.located().and_then(|file| {
            if self.device != DevicePrivacy::Hmac {
                let message = "the key is for `device: hmac` only, so nothing uses it";
                report.warning(&file.at, message, "write device: hmac, or remove the key");
            }
            let bytes = read_file(&file, MAX_KEY, report).ok()?;
            let key = bytes.trim_ascii();
            if key.len() < MIN_KEY {
                let message =
                    format!("the key has {} bytes, and less than {MIN_KEY} can be guessed", key.len());
                report.problem(&file.at, message, "make one: head -c 32 /dev/urandom | base64");
            }
            warn_if_world_readable(&file.value, &file.at, report);
            Some(PrivacyKey::new(key))
        });
        let Self { client_address, device, path, .. } = self;
        PrivacySettings { client_address, device, path, key }
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
            format: self.format,
            access: self.access,
            privacy: self.privacy.resolve(report),
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
