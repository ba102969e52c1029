//! The configuration: read from a file and the environment, checked whole, and turned into
//! immutable typed values.
//!
//! 1. `yaml` makes a tree of the file, in which every node knows its line;
//! 2. `reader` and `file` read it, key by key, into typed values with their places;
//! 3. `env` reads the variables that stand above the file;
//! 4. `resolve`, with `user`, `listeners`, `origins`, `routes`, `limits`, `keys` and `access_log`, puts
//!    both together, fills in defaults and checks what takes several values.
//!
//! Each step adds its problems to one report and goes on, so that a run tells all of them.

mod access_log;
mod certificate_condition;
mod domain;
mod env;
mod error;
mod file;
mod files;
mod identity;
mod keys;
mod limits;
mod listeners;
mod named_file;
mod origins;
mod quantity;
mod reader;
mod resolve;
mod routes;
mod text;
mod user;
mod yaml;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

use crate::approov::{Algorithm, ApproovSettings, Secret};
use crate::downstream::ListenerSettings;
use crate::limits::LimitSettings;
use crate::origins::Origin;
use crate::policy::RouteTable;

pub use env::{Environment, VARIABLES};
pub use error::{Place, Problem, Problems};
pub use files::SourceFile;
pub use quantity::{show_rate, show_size};
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
    let (settings, warnings, files) = report.finish(settings)?;
    Ok(Settings { warnings, files, ..settings })
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
    let (settings, warnings, files) = report.finish(settings)?;
    Ok(Settings { warnings, files, ..settings })
}

/// Like [`load`], for commands that look at tokens and need no origin.
///
/// # Errors
/// Every problem of the file's and the environment's values.
pub fn load_approov(file: Option<&Path>, environment: &Environment) -> Result<ApproovSettings, Problems> {
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
    let (keys, ..) = report.finish(keys)?;
    let secret = |key: LoadedKey| match key.material {
        LoadedMaterial::Secret(secret, prepared) if prepared.algorithm() == Algorithm::Hs256 => {
            Some(NamedSecret { id: key.id, secret })
        }
        LoadedMaterial::Secret(..) | LoadedMaterial::Public(_) => None,
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

/// Larger than any genuine configuration: ten thousand routes of 400 bytes each.
const MAX_FILE: u64 = 4 * 1024 * 1024;

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
    report.reads(path);
    let mut bytes = files::read_regular(path, MAX_FILE + 1).map_err(|error| {
        let message = format!("the configuration file cannot be read: {error}");
        report.problem(whole, message, "check the path (-c, GATEWAY_CONFIG) and who may read the file")
    })?;
    if bytes.len() as u64 > MAX_FILE {
        let message = "the configuration file is larger than 4 MiB";
        return Err(report.problem(whole, message, "check that it is the right file"));
    }
    String::from_utf8(std::mem::take(&mut *bytes)).map_err(|error| {
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
    pub server: ServerSettings,
    /// Where clients connect; at least one.
    pub listeners: Vec<ListenerSettings>,
    /// Where operators connect.
    pub admin: Admin,
    /// What is verified, and how.
    pub approov: ApproovSettings,
    /// The answer to refused requests.
    pub rejection: RejectionAnswer,
    /// The protected APIs; at least one. Routes name them by position.
    pub origins: Vec<Origin>,
    /// Which policy a request meets.
    pub routes: RouteTable,
    /// How much is admitted.
    pub limits: LimitSettings,
    /// The access log.
    pub log: Log,
    /// What is legal but suspicious: to be shown, and no reason to stop.
    pub warnings: Vec<Problem>,
    /// The files that all this was read from.
    pub files: Vec<SourceFile>,
}

/// The process: `server` in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    /// Worker threads.
    pub threads: usize,
    /// How long requests in flight may take to finish after SIGTERM.
    pub grace_period: Duration,
    /// Where the process id is written.
    pub pid_file: Option<PathBuf>,
    /// The socket over which a successor takes the listening sockets.
    pub upgrade_sock: Option<PathBuf>,
    /// The user that the process becomes once it listens; `None` if it keeps its user.
    pub user: Option<User>,
    /// Whether changed files are loaded again by themselves.
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

/// The admin listener: `admin` in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Address and port; port 0 takes any free one.
    pub address: SocketAddr,
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

/// `log` in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The access log.
    pub access: AccessLog,
    /// The file it is appended to; none for standard output.
    pub file: Option<PathBuf>,
}

/// Whether and how requests are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// One JSON object a line.
    Json,
    /// Not at all.
    Off,
}
