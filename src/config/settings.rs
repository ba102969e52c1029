//! What a configuration becomes: settings for every room of the gateway, resolved and checked.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use log::LevelFilter;

use super::document::{Problem, SourceFile};
use crate::admin::{AdminEndpoint, AdminSettings};
use crate::approov::{ApproovSettings, KeyType, Verifier};
use crate::closed_set::closed_set;
use crate::downstream::ListenerSettings;
use crate::fleet::FleetSettings;
use crate::key_sets::KeySetSettings;
use crate::limits::LimitSettings;
use crate::origins::Origin;
use crate::otlp::OtlpSettings;
use crate::policy::{RouteTable, Share};
use crate::proxy::{CorrelationSettings, SnapshotSettings};
use crate::telemetry::{DiagnosticsFormat, PrivacySettings};

pub use crate::proxy::{RejectionAnswer, RejectionDetail};

/// The settings of a gateway, complete and checked.
#[derive(Debug)]
pub struct Settings {
    /// The configuration file; `None` if there is none.
    pub file: Option<PathBuf>,
    /// The first 16 digits of the file's SHA-256; empty if there is no file.
    pub hash: String,
    /// The settings of the process: threads, files, times of the end.
    pub server: ServerSettings,
    /// The public listeners. Never empty.
    pub listeners: Vec<ListenerSettings>,
    /// The settings of the admin listener.
    pub admin: AdminSettings,
    /// How tokens are verified.
    pub approov: ApproovSettings,
    /// The key sets that are fetched. The verifiers of `approov` read their keys.
    pub key_sets: Vec<KeySetSettings>,
    /// The answer to refused requests.
    pub rejection: RejectionAnswer,
    /// The protected APIs. Never empty. Routes name them by position.
    pub origins: Vec<Origin>,
    /// Which policy a request meets.
    pub routes: RouteTable,
    /// Identity headers and method overrides that reach the origin.
    pub forward_headers: Vec<HeaderName>,
    /// Which ids requests get.
    pub correlation: CorrelationSettings,
    /// Limits of connections and requests.
    pub limits: LimitSettings,
    /// The nodes that serve the same clients.
    pub fleet: FleetSettings,
    /// Where spans are sent; `None` if they are not. A reload does not change it.
    pub otlp: Option<OtlpSettings>,
    /// The settings of diagnostics and the access log.
    pub log: Log,
    /// Settings that are legal but probably a mistake.
    pub warnings: Vec<Problem>,
    /// The files that the settings were read from.
    pub files: Vec<SourceFile>,
}

impl Settings {
    /// What would make the configuration better. Unlike a warning, a hint never means a mistake.
    pub fn hints(&self) -> Vec<&'static str> {
        let mut keys = self.approov.verifiers().flat_map(Verifier::keys);
        let has_secret = keys.any(|key| key.algorithm().key_type() == KeyType::Secret);
        let hint = "the secret of an HS key also makes tokens; with ES256 the gateway has only a public key";
        has_secret.then_some(hint).into_iter().collect()
    }

    /// The part of the settings that requests run under.
    pub fn into_snapshot_settings(self) -> SnapshotSettings {
        SnapshotSettings {
            approov: self.approov,
            rejection: self.rejection,
            origins: self.origins,
            routes: self.routes,
            forward_headers: self.forward_headers,
            correlation: self.correlation,
            limits: self.limits,
            listeners: self.listeners.len(),
            is_logged: self.log.access == AccessLog::Json,
            privacy: self.log.privacy,
            sample: self.log.sample,
        }
    }
}

/// Where the running gateway is found: what `reload`, `upgrade` and `health` need.
#[derive(Clone, Debug)]
pub struct ProcessSettings {
    /// The settings of the process.
    pub server: ServerSettings,
    /// The settings of the admin listener.
    pub admin: AdminEndpoint,
}

/// The process: `server` in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    /// The number of worker threads.
    pub threads: usize,
    /// How long requests in flight may take to finish after SIGTERM.
    pub grace_period: Duration,
    /// How long connections are accepted after SIGTERM, while probes are told not to send more.
    pub drain_delay: Duration,
    /// The file with the process id; `None` if none is written.
    pub pid_file: Option<PathBuf>,
    /// The socket over which a successor takes the listening sockets.
    pub upgrade_sock: Option<PathBuf>,
    /// The user that the process becomes once it listens; `None` if it keeps its user.
    pub user: Option<User>,
    /// Whether changed files are loaded without a signal.
    pub watch: bool,
    /// Unused connections to origins that each worker keeps.
    pub upstream_keepalive_pool_size: usize,
    /// What serves plain requests to origins with HTTP/1.
    pub http1_exchange: Http1Exchange,
}

closed_set! {
    /// What serves plain requests to origins with HTTP/1.
    pub enum Http1Exchange {
        /// The direct exchange, if the request is a plain one.
        Direct => "direct",
        /// Pingora's proxy, which serves all other requests, too.
        Pingora => "pingora",
    }
}

/// The user that the process becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user's name; `None` if the system has no name for the number.
    pub name: Option<String>,
    /// The user's number; never root's.
    pub uid: u32,
    /// The numeric id of the group.
    pub gid: u32,
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} ({}:{})", self.uid, self.gid),
            None => write!(f, "{}:{}", self.uid, self.gid),
        }
    }
}

/// The logs: `log` in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The lowest level of diagnostics that is logged.
    pub level: LevelFilter,
    /// The form of diagnostics.
    pub format: DiagnosticsFormat,
    /// The format of the access log.
    pub access: AccessLog,
    /// How personal data is logged.
    pub privacy: PrivacySettings,
    /// The share of the accepted requests that are logged.
    pub sample: Share,
    /// The file that the log is appended to; `None` for standard output.
    pub file: Option<PathBuf>,
}

/// The format of the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// One JSON object a line.
    Json,
    /// There is no access log.
    Off,
}
