//! What a configuration becomes: settings for every room of the gateway, resolved and checked.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use log::LevelFilter;

use super::document::{Problem, SourceFile};
use crate::admin::AdminSettings;
use crate::approov::ApproovSettings;
use crate::downstream::ListenerSettings;
use crate::limits::LimitSettings;
use crate::origins::Origin;
use crate::policy::{RouteTable, Share};

/// Everything that `run` needs.
#[derive(Debug)]
pub struct Settings {
    /// The configuration file; `None` if there is none.
    pub file: Option<PathBuf>,
    /// The first 16 digits of the file's SHA-256; empty if there is no file.
    pub hash: String,
    /// The process.
    pub server: ServerSettings,
    /// The public listeners. Never empty.
    pub listeners: Vec<ListenerSettings>,
    /// The admin listener.
    pub admin: AdminSettings,
    /// Verification of tokens.
    pub approov: ApproovSettings,
    /// The answer to refused requests.
    pub rejection: RejectionAnswer,
    /// The protected APIs. Never empty. Routes name them by position.
    pub origins: Vec<Origin>,
    /// Which policy a request meets.
    pub routes: RouteTable,
    /// Identity headers and method overrides that reach the origin.
    pub forward_headers: Vec<HeaderName>,
    /// Limits of connections and requests.
    pub limits: LimitSettings,
    /// The access log.
    pub log: Log,
    /// Legal but suspicious settings.
    pub warnings: Vec<Problem>,
    /// The files that the settings were read from.
    pub files: Vec<SourceFile>,
}

/// Where the running gateway is found: what `reload`, `upgrade` and `health` need.
#[derive(Clone, Debug)]
pub struct ProcessSettings {
    /// Its process.
    pub server: ServerSettings,
    /// Its admin listener.
    pub admin: AdminSettings,
}

/// The process: `server` in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    /// Worker threads.
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
}

/// The user that the process becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user's name; `None` if the system has no name for the number.
    pub name: Option<String>,
    /// The user's number; never root's.
    pub uid: u32,
    /// The group's number.
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

/// The answer to refused requests: `rejection` in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectionAnswer {
    /// The status. Failures of the origin and requests without a route have their own.
    pub status: StatusCode,
    /// The media type of the body.
    pub content_type: HeaderValue,
    /// The body.
    pub body: Bytes,
    /// What the answer tells the app about a refused token.
    pub details: Vec<RejectionDetail>,
}

/// A detail that the answer to a refused request may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectionDetail {
    /// The attestation response code, in the field `Approov-ARC`.
    ResponseCode,
}

impl Default for RejectionAnswer {
    fn default() -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            content_type: HeaderValue::from_static("application/json"),
            body: Bytes::from_static(b"{}"),
            details: Vec::new(),
        }
    }
}

/// The logs: `log` in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The level of diagnostics.
    pub level: LevelFilter,
    /// The format.
    pub access: AccessLog,
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
    /// Nothing is logged.
    Off,
}
