//! The settings of one key set.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::approov::SharedKeySet;
use crate::origins::Origin;

/// A key set with a URL: one entry `jwks_uri` of `approov.keys` in the configuration file.
#[derive(Clone, Debug)]
pub struct KeySetSettings {
    /// The URL without its query. It names the set in logs and metrics.
    pub name: Box<str>,
    /// The server of the URL, which only the gateway itself asks.
    pub server: Origin,
    /// Path and query of the URL, as they are sent.
    pub target: Box<str>,
    /// Time from a fetch to the next, give or take a tenth.
    pub refresh: Duration,
    /// The file that keeps the last set for a start without the server.
    pub cache_file: Option<PathBuf>,
    /// The keys in force, which verifiers read.
    pub keys: Arc<SharedKeySet>,
}

impl KeySetSettings {
    /// Time from a fetch to the next, unless configured.
    pub const REFRESH: Duration = Duration::from_secs(600);

    /// The values that can be configured.
    pub const REFRESH_RANGE: RangeInclusive<Duration> =
        Duration::from_secs(1)..=Duration::from_secs(24 * 3600);

    /// SHA-256 of the whole URL in hexadecimal. A query may be a secret, so the URL itself is not handed on.
    pub fn source(&self) -> String {
        let digest = Sha256::digest(format!("{}\n{}", self.name, self.target));
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether both fetch the same document.
    pub fn is_same_source(&self, other: &Self) -> bool {
        (&self.server, &self.target) == (&other.server, &other.target)
    }
}
