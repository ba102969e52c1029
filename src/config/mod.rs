//! The configuration: read from a file and the environment, checked as a whole, and turned into
//! immutable settings.
//!
//! 1. `document` reads the file into a tree whose nodes have their lines, and declares sections;
//! 2. `sections` has one file for each topic: its keys, and how they become settings;
//! 3. `values` has the kinds of values that sections share;
//! 4. `environment` reads the variables that override the file, into `overrides`;
//! 5. `memory` finds how much memory the process may use, for a default.
//!
//! Each step adds its problems to one report and goes on, so one run reports all problems.
//! `document` says how to add a key.

mod document;
mod environment;
mod memory;
mod overrides;
mod protection;
mod sections;
mod settings;
mod values;

use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::approov::{Algorithm, ApproovSettings, Secret};
use crate::key_sets::KeySetSettings;

pub use document::{Place, Problem, Problems, SourceFile};
pub use environment::{Environment, VARIABLES, Variable};
pub use protection::{Protection, weaker_routes};
pub use sections::strategy_name;
pub use settings::{
    AccessLog, Http1Exchange, Log, ProcessSettings, RejectionAnswer, RejectionDetail, ServerSettings,
    Settings, User,
};
pub use values::{show_duration, show_rate, show_size};

use document::{Kind, Location, Report, Reported, Section, Value, read_regular};
use overrides::Overrides;
use sections::{File, LoadedKey, LoadedMaterial, Sources};

/// Reads, checks and resolves the file (`file`, or else `GATEWAY_CONFIG`, or else none) and the
/// environment, which overrides it.
///
/// # Errors
/// Every problem of file and environment.
pub fn load(file: Option<&Path>, environment: &Environment) -> Result<Settings, Problems> {
    let report = Report::default();
    environment.check_names(&report);
    let settings = sources(file, environment, &report).and_then(|read| sections::settings(read, &report));
    let (settings, warnings, files) = report.finish(settings)?;
    Ok(Settings { warnings, files, ..settings })
}

/// Like [`load`], for the text of a configuration file that need not exist. Relative paths in the
/// text begin at the folder of `name`.
///
/// # Errors
/// Every problem of the text's and the environment's values.
pub fn load_text(text: &str, name: &Path, environment: &Environment) -> Result<Settings, Problems> {
    let report = Report::default();
    environment.check_names(&report);
    let overrides = environment.overrides(&report);
    let settings =
        text_sources(text, name, overrides, &report).and_then(|read| sections::settings(read, &report));
    let (settings, warnings, files) = report.finish(settings)?;
    Ok(Settings { warnings, files, ..settings })
}

/// Like [`load`], for commands that verify tokens and need no origin. The keys of key sets are not
/// fetched.
///
/// # Errors
/// Every problem of the file's and the environment's values.
pub fn load_approov(
    file: Option<&Path>,
    environment: &Environment,
) -> Result<(ApproovSettings, Vec<KeySetSettings>), Problems> {
    let report = Report::default();
    let approov = sources(file, environment, &report).and_then(|read| sections::approov_only(read, &report));
    Ok(report.finish(approov)?.0)
}

/// Like [`load`], for commands that look for the running gateway. Reads no key, certificate or list:
/// a service manager may show the secret to the gateway alone.
///
/// # Errors
/// Every problem of the file's and the environment's values.
pub fn load_process(file: Option<&Path>, environment: &Environment) -> Result<ProcessSettings, Problems> {
    let report = Report::default();
    let environment = environment.clone().without_secrets();
    let process = sources(file, &environment, &report).and_then(|read| sections::process_only(read, &report));
    Ok(report.finish(process)?.0)
}

/// Like [`load_approov`], for commands that sign: the secrets of the HS256 keys, in order.
///
/// # Errors
/// Every problem of the file's and the environment's values.
pub fn load_secrets(file: Option<&Path>, environment: &Environment) -> Result<Vec<NamedSecret>, Problems> {
    let report = Report::default();
    let keys = sources(file, environment, &report).and_then(|read| sections::keys_only(read, &report));
    let (keys, ..) = report.finish(keys)?;
    let secret = |key: LoadedKey| match key.material {
        LoadedMaterial::Secret(secret, prepared) if prepared.algorithm() == Algorithm::Hs256 => {
            Some(NamedSecret { id: key.id, secret })
        }
        LoadedMaterial::Secret(..) | LoadedMaterial::Public(_) => None,
    };
    Ok(keys.into_iter().filter_map(secret).collect())
}

/// The JSON Schema (draft 2020-12) of the configuration file.
pub fn schema() -> serde_json::Value {
    document::schema("Configuration of approov-gateway", &File::specs())
}

/// The reference of all keys, in Markdown.
pub fn reference() -> String {
    document::reference(&File::specs())
}

/// The reference of all environment variables, in Markdown.
pub fn environment_reference() -> String {
    environment::reference()
}

/// The secret of an HS256 key.
#[derive(Clone, Debug)]
pub struct NamedSecret {
    /// The key's `kid`; `None` if the key has none.
    pub id: Option<Box<str>>,
    /// The secret that signs tokens.
    pub secret: Secret,
}

/// Limit of a configuration file: ten thousand routes of 400 bytes each.
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
            hash: String::new(),
            whole: Location::nowhere(),
            file: File::empty(report)?,
            overrides,
        });
    };
    let text = read_text(&path, &Location::file(path.as_path().into(), None), report)?;
    text_sources(&text, &path, overrides, report)
}

fn text_sources(text: &str, path: &Path, overrides: Overrides, report: &Report) -> Result<Sources, Reported> {
    let name: Arc<Path> = path.into();
    let whole = Location::file(Arc::clone(&name), None);
    let tree = document::parse(text, &name, report)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let file = document::nested::<File>().read(&Value::root(&tree, folder, whole.clone(), report))?;
    Ok(Sources { path: Some(path.to_owned()), hash: hash_of(text), whole, file, overrides })
}

/// The first 16 digits of the text's SHA-256.
fn hash_of(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn read_text(path: &Path, whole: &Location, report: &Report) -> Result<String, Reported> {
    report.reads(path);
    let mut bytes = read_regular(path, MAX_FILE + 1).map_err(|error| {
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
