//! The configuration: read from a file and the environment, checked whole, and turned into
//! immutable typed values.
//!
//! 1. `yaml` makes a tree of the file, in which every node knows its line;
//! 2. `reader` and `file` read it, key by key, into typed values with their places;
//! 3. `env` reads the variables that stand above the file;
//! 4. `resolve`, with `listeners`, `origins`, `routes` and `keys`, puts both together, fills in defaults and checks what takes
//!    several values.
//!
//! Each step adds its problems to one report and goes on, so that a run tells all of them.

mod domain;
mod env;
mod error;
mod file;
mod keys;
mod listeners;
mod origins;
mod reader;
mod resolve;
mod routes;
mod text;
mod yaml;

use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

use crate::approov::{Secret, Verifier};
use crate::policy::RouteTable;

pub use env::{Environment, VARIABLES};
pub use error::{Place, Problem, Problems};
pub use text::{show_duration, strategy_name};

use env::Overrides;
use error::{Location, Report, Reported};
use keys::{LoadedKey, LoadedMaterial};
use resolve::Sources;

/// Reads, checks and resolves everything: the file (`file`, or else `GATEWAY_CONFIG`, or else
/// none) and the environment, which overrides it.
///
/// # Errors
/// Every problem of both.
pub fn load(file: Option<&Path>, environment: &Environment) -> Result<Settings, Problems> {
    let report = Report::default();
    let settings = sources(file, environment, &report).and_then(|read| resolve::settings(read, &report));
    let (settings, warnings) = report.finish(settings)?;
    Ok(Settings { warnings, ..settings })
}

/// Like [`load`], for the text of a configuration file that need not exist. Relative paths in it
/// begin at the folder of `name`.
///
/// # Errors
/// Every problem of the text's and the environment's values.
pub fn load_text(text: &str, name: &Path, environment: &Environment) -> Result<Settings, Problems> {
    let report = Report::default();
    let overrides = environment.overrides(&report);
    let settings =
        text_sources(text, name, overrides, &report).and_then(|read| resolve::settings(read, &report));
    let (settings, warnings) = report.finish(settings)?;
    Ok(Settings { warnings, ..settings })
}

/// Like [`load`], for commands that look at tokens and need no origin.
///
/// # Errors
/// Every problem of the file's and the environment's values.
pub fn load_approov(file: Option<&Path>, environment: &Environment) -> Result<Approov, Problems> {
    let report = Report::default();
    let approov = sources(file, environment, &report).and_then(|read| resolve::approov_only(read, &report));
    Ok(report.finish(approov)?.0)
}

/// Like [`load_approov`], for commands that sign: the secrets of the HS256 keys, in order.
///
/// # Errors
/// Every problem of the file's and the environment's values.
pub fn load_secrets(file: Option<&Path>, environment: &Environment) -> Result<Vec<NamedSecret>, Problems> {
    let report = Report::default();
    let keys = sources(file, environment, &report).and_then(|read| resolve::keys_only(read, &report));
    let (keys, _) = report.finish(keys)?;
    let secret = |key: LoadedKey| match key.material {
        LoadedMaterial::Secret(secret) => Some(NamedSecret { id: key.id, secret }),
        LoadedMaterial::Public(_) => None,
    };
    Ok(keys.into_iter().filter_map(secret).collect())
}

/// The secret of an HS256 key.
#[derive(Clone, Debug)]
pub struct NamedSecret {
    /// The key's `kid`, if it has one.
    pub id: Option<Box<str>>,
    /// Its secret.
    pub secret: Secret,
}

/// Larger than any genuine configuration.
const MAX_FILE: u64 = 1024 * 1024;

fn sources(file: Option<&Path>, environment: &Environment, report: &Report) -> Result<Sources, Reported> {
    let overrides = environment.overrides(report);
    let path = match file {
        Some(path) => Some(path.to_owned()),
        None => environment.file(report).transpose()?,
    };
    let Some(path) = path else {
        return Ok(Sources {
            path: None,
            whole: Location::nowhere(),
            file: file::File::default(),
            overrides,
        });
    };
    let text = read_text(&path, &Location::file(path.as_path().into(), None), report)?;
    text_sources(&text, &path, overrides, report)
}

fn text_sources(text: &str, path: &Path, overrides: Overrides, report: &Report) -> Result<Sources, Reported> {
    let name: Arc<Path> = path.into();
    let whole = Location::file(Arc::clone(&name), None);
    let tree = yaml::parse(text, &name, report)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let file = file::read(&reader::Value::root(&tree, whole.clone(), report), folder);
    Ok(Sources { path: Some(path.to_owned()), whole, file, overrides })
}

fn read_text(path: &Path, whole: &Location, report: &Report) -> Result<String, Reported> {
    let mut bytes = Vec::new();
    if let Err(error) = fs::File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
    {
        let message = format!("the configuration file cannot be read: {error}");
        return Err(report.problem(
            whole,
            message,
            "check the path (-c, GATEWAY_CONFIG) and who may read the file",
        ));
    }
    if bytes.len() as u64 > MAX_FILE {
        let message = "the configuration file is larger than 1 MiB";
        return Err(report.problem(whole, message, "check that it is the right file"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let at = Location::file(path.into(), Some(line));
        report.problem(&at, "this line is not UTF-8", "save the file as UTF-8")
    })
}

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
    /// What is legal but suspicious: to be shown, and no reason to stop.
    pub warnings: Vec<Problem>,
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
