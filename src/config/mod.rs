//! The configuration: read from a file and the environment, checked whole, and turned into
//! immutable typed values.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

use crate::approov::Verifier;
use crate::policy::RouteTable;

/// Everything that `run` needs, resolved and checked.
#[derive(Debug)]
pub struct Settings {
    /// The file it came from, if any.
    pub file: Option<PathBuf>,
    /// The process.
    pub server: Server,
    /// Where clients connect; at least one.
    pub listeners: Vec<Listener>,
    /// Where operators connect.
    pub admin: Admin,
    /// What is verified, and how.
    pub approov: Approov,
    /// The answer to refused requests.
    pub rejection: RejectionAnswer,
    /// The protected APIs; at least one. Routes name them by position.
    pub origins: Vec<Origin>,
    /// Which policy a request meets.
    pub routes: RouteTable,
    /// The access log.
    pub log: Log,
}

/// The process: `server` in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Worker threads.
    pub threads: usize,
    /// How long requests in flight may take to finish after SIGTERM.
    pub grace_period: Duration,
    /// Where the process id is written.
    pub pid_file: Option<PathBuf>,
    /// The socket over which a successor takes the listening sockets.
    pub upgrade_sock: Option<PathBuf>,
}

/// A public listener: an entry of `listeners` in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Address and port; port 0 takes any free one.
    pub address: SocketAddr,
}

/// The admin listener: `admin` in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Address and port; port 0 takes any free one.
    pub address: SocketAddr,
}

/// `approov` in the file.
#[derive(Debug)]
pub struct Approov {
    /// Which header carries the token.
    pub token_header: HeaderName,
    /// Whether the origin gets to see the token.
    pub forward_token: bool,
    /// The headers a token may be bound to, in order; as many as the verifier's binding rules say.
    pub binding_headers: Vec<HeaderName>,
    /// Keys and rules.
    pub verifier: Verifier,
}

/// The answer to refused requests: `rejection` in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectionAnswer {
    /// Its status; failures of the origin and unknown routes keep theirs.
    pub status: StatusCode,
    /// Its media type.
    pub content_type: HeaderValue,
    /// Its body.
    pub body: Bytes,
}

/// A protected API: an entry of `origins` in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its name in the file, in metrics and in logs.
    pub name: Box<str>,
    /// Host name or IP address, without port: what is resolved, and the TLS server name.
    pub host: Box<str>,
    /// TCP port.
    pub port: u16,
    /// Whether TLS is spoken, with the certificate and name verified.
    pub tls: bool,
    /// The value of the `Host` field: host, and port unless it is the scheme's own.
    pub authority: HeaderValue,
    /// Time limits.
    pub timeouts: OriginTimeouts,
    /// How often the host name is resolved again.
    pub resolve_interval: Duration,
}

/// Time limits towards an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginTimeouts {
    /// TCP connection and TLS handshake together.
    pub connect: Duration,
    /// Between two reads, so also until the first byte of the response.
    pub read: Duration,
    /// Between two writes.
    pub write: Duration,
    /// How long an unused connection is kept for reuse.
    pub idle: Duration,
}

/// `log` in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// The access log.
    pub access: AccessLog,
}

/// Whether and how requests are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// One JSON object a line on standard output.
    Json,
    /// Not at all.
    Off,
}
