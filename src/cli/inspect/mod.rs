//! `approov-gateway inspect`: the contents of a token, and the verdict of the gateway.

mod report;
mod signature;
mod token;

use std::io::{Read, Write as _};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::CommandFailure;
use super::key_source::KeySource;
use super::request::Request;
use crate::approov::{ApproovSettings, Presented, Strategy, UnixTime};
use crate::cli::show::printable;
use crate::clock;
use crate::config::{self, Environment};
use crate::key_sets::{self, KeySetSettings};
use crate::telemetry::Metrics;
use crate::tls;

pub use token::{NotAToken, inspect};

use report::Inspection;
use token::TokenReport;

/// More than any token or request that could be meant.
const MAX_INPUT: u64 = 1 << 20;

/// Show the contents of a token, and whether the gateway would accept it.
///
/// Prints header, claims and times, and the verdict with its reason under the configured keys. The
/// signature is never printed. Exit status: 0 accepted, 1 rejected or not judged.
#[derive(Clone, Debug, clap::Args)]
pub struct InspectArgs {
    /// The value of the token header, or the whole header line; read from standard input if absent
    token: Option<String>,
    /// A header field of the request, to judge the token's binding
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// A file with an HTTP/1 request, whose token and message signature are judged; - for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    request: Option<PathBuf>,
    /// The scheme that the client of the request used
    #[arg(long, value_name = "SCHEME", value_parser = ["https", "http"], default_value = "https")]
    scheme: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    keys: KeySource,
}

/// Runs the command: prints the report.
///
/// # Errors
/// [`CommandFailure`] if a secret is given and unusable, if the input is not a token, or if the token or the
/// message signature is not accepted.
pub fn run(arguments: InspectArgs, environment: &Environment) -> Result<(), CommandFailure> {
    let (file, environment) = arguments.keys.resolve(environment);
    let settings = if file.is_some() || environment.names_keys() {
        let (approov, key_sets) = config::load_approov(file, &environment)
            .map_err(|problems| CommandFailure::Configuration(problems.to_string()))?;
        fetch(&key_sets)?;
        Some(approov)
    } else {
        None
    };
    let now = clock::system_time();
    let report = report(&arguments, settings.as_ref(), now)?;
    let text = if arguments.json { format!("{}\n", report.to_json()) } else { report.to_text(now) };
    write!(std::io::stdout(), "{text}")
        .map_err(|error| CommandFailure::Running(format!("cannot write the report: {error}")))?;
    report.failure().map_or(Ok(()), |why| Err(CommandFailure::Running(why)))
}

fn report(
    arguments: &InspectArgs,
    settings: Option<&ApproovSettings>,
    now: SystemTime,
) -> Result<Inspection, CommandFailure> {
    let moment = UnixTime::since_epoch(now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO));
    let unusable = |error: String| CommandFailure::Running(error);
    let header = settings.map_or("approov-token", |settings| settings.token_header.as_str());
    if let Some(path) = &arguments.request {
        let bytes = if path.as_os_str() == "-" { read_input() } else { std::fs::read(path) };
        let bytes = bytes.map_err(|error| unusable(format!("{}: {error}", path.display())))?;
        let mut request = Request::parse(&bytes, arguments.scheme == "https").map_err(unusable)?;
        for line in &arguments.headers {
            request.add_field(line).map_err(CommandFailure::Usage)?;
        }
        let value = match request.presented(header) {
            Presented::Once(value) => String::from_utf8_lossy(value).into_owned(),
            Presented::Missing => return Err(unusable(format!("the request has no {header}"))),
            Presented::Repeated => return Err(unusable(format!("the request has {header} more than once"))),
        };
        let token = token_report(&value, settings, &request, moment)?;
        let signature = settings.map(|settings| signature::report(settings, &request, &token, moment));
        return Ok(Inspection { token, signature });
    }
    let text = match &arguments.token {
        Some(text) => text.clone(),
        None => read_input()
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .map_err(|error| unusable(format!("standard input: {error}")))?,
    };
    let mut request = Request::default();
    for line in &arguments.headers {
        request.add_field(line).map_err(CommandFailure::Usage)?;
    }
    let token = token_report(token::header_value(&text), settings, &request, moment)?;
    Ok(Inspection { token, signature: None })
}

/// Fetches the key sets that the verifier reads. A set that cannot be had is reported, and its tokens are
/// not judged.
fn fetch(sets: &[KeySetSettings]) -> Result<(), CommandFailure> {
    if sets.is_empty() {
        return Ok(());
    }
    let failed = |error: &dyn std::fmt::Display| CommandFailure::Running(error.to_string());
    tls::install_provider();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed(&error))?;
    let metrics = Metrics::new().map_err(|error| failed(&error))?;
    let fetched = runtime.block_on(key_sets::fetch_once(sets, &metrics));
    for (name, result) in fetched.map_err(|error| failed(&error))? {
        if let Err(why) = result {
            eprintln!("key set {name}: {}", printable(&why));
        }
    }
    runtime.shutdown_background();
    Ok(())
}

fn read_input() -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::io::stdin().take(MAX_INPUT).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The report on a token. Its binding is judged if the request has a header that tokens are bound to.
fn token_report(
    value: &str,
    settings: Option<&ApproovSettings>,
    request: &Request,
    now: UnixTime,
) -> Result<TokenReport, CommandFailure> {
    let verdict = settings.map(|settings| {
        let bound = |index: usize| request.presented(settings.binding_headers[index].as_str());
        let is_bound = (0..settings.binding_headers.len()).any(|index| bound(index) != Presented::Missing);
        let strategy = if is_bound { Strategy::TokenBinding } else { Strategy::Token };
        settings.verifier.verify(strategy, Presented::Once(value.as_bytes()), bound, now)
    });
    TokenReport::new(value, verdict).map_err(|error| CommandFailure::Running(error.to_string()))
}
