//! `approov-gateway inspect`: what a token says, and what the gateway would say to it.

use std::fmt::{self, Write as _};
use std::io::{Read, Write as _};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

use super::show::{self, printable};
use super::{Failure, KeySource};
use crate::approov::{Presented, Strategy, UnixTime, Verifier};
use crate::config::{self, Environment};

/// More than any token that could be meant.
const MAX_INPUT: u64 = 1 << 20;

/// Reads what the gateway would refuse, to show it.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Show what a token says, and what the gateway would say to it.
///
/// Prints header, claims and times, and the verdict with its reason under the configured keys.
/// The signature is never printed. Bindings are not judged: that takes the whole request.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The token, bare or as a whole header line; read from standard input if absent
    token: Option<String>,
    #[command(flatten)]
    keys: KeySource,
}

/// Runs the command: prints the report.
///
/// # Errors
/// [`Failure`] when a secret is given and unusable, or when the input is not a token.
pub fn run(arguments: Arguments, environment: &Environment) -> Result<(), Failure> {
    let (file, environment) = arguments.keys.resolve(environment);
    let verifier = if file.is_some() || environment.names_keys() {
        let approov = config::load_approov(file, &environment)
            .map_err(|problems| Failure::Configuration(problems.to_string()))?;
        Some(approov.verifier)
    } else {
        None
    };
    let text = match arguments.token {
        Some(text) => text,
        None => read_input().map_err(|error| Failure::Running(format!("standard input: {error}")))?,
    };
    let report = inspect(&text, verifier.as_ref(), SystemTime::now())
        .map_err(|error| Failure::Running(error.to_string()))?;
    write!(std::io::stdout(), "{report}")
        .map_err(|error| Failure::Running(format!("cannot write the report: {error}")))
}

fn read_input() -> std::io::Result<String> {
    let mut bytes = Vec::new();
    std::io::stdin().take(MAX_INPUT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The text is no token: not three segments with dots between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAToken;

impl fmt::Display for NotAToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this is not a token: a token has three segments with dots between them")
    }
}

impl std::error::Error for NotAToken {}

/// Describes a token: header, claims, times, and the verdict under `verifier`'s rules at the
/// moment `now`, binding aside. The text may be a whole header line. Of the signature only the
/// length is told, and nothing in the report can steer a terminal.
///
/// # Errors
/// [`NotAToken`] when there is nothing to describe.
pub fn inspect(text: &str, verifier: Option<&Verifier>, now: SystemTime) -> Result<String, NotAToken> {
    let token = bare_token(text);
    let segments: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = segments[..] else { return Err(NotAToken) };
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (header, claims) = (decode(header), decode(payload));

    let mut report = String::new();
    let mut line = |name: &str, text: &str| {
        // Writing to a string does not fail.
        let _ = writeln!(report, "{name:<10} {}", printable(text));
    };
    line("header", &pretty(&header));
    line("claims", &pretty(&claims));
    for (name, label) in [("iat", "issued"), ("nbf", "not before"), ("exp", "expires")] {
        if let Some(value) = claims.as_ref().ok().and_then(|claims| claims.get(name)) {
            line(label, &moment(value, now.as_secs_f64()));
        }
    }
    let algorithm = header.as_ref().ok().and_then(|header| header.get("alg")).and_then(Value::as_str);
    let bytes = LENIENT.decode(signature).map(|bytes| bytes.len());
    let size = bytes.map_or("not base64url".to_owned(), |bytes| format!("{bytes} bytes, not shown"));
    line("signature", &format!("{}, {size}", algorithm.unwrap_or("no algorithm")));
    line("verdict", &verdict(verifier, token, UnixTime::since_epoch(now)));
    Ok(report)
}

/// Without white space, quotes, header name and scheme.
fn bare_token(text: &str) -> &str {
    let mut token = text.trim().trim_matches(['"', '\'']).trim();
    if let Some((name, value)) = token.split_once(':')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    {
        token = value.trim();
    }
    match token.split_once([' ', '\t']) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") => rest.trim(),
        _ => token,
    }
}

fn decode(segment: &str) -> Result<Value, String> {
    let bytes = LENIENT.decode(segment).map_err(|_| "not base64url".to_owned())?;
    serde_json::from_slice(&bytes).map_err(|error| format!("not JSON: {error}"))
}

fn pretty(segment: &Result<Value, String>) -> String {
    match segment {
        // A value that was read can be written.
        Ok(value) => serde_json::to_string_pretty(value).unwrap_or_default(),
        Err(error) => format!("({error})"),
    }
}

fn verdict(verifier: Option<&Verifier>, token: &str, now: UnixTime) -> String {
    let Some(verifier) = verifier else {
        return "unknown: no key is configured, so the signature was not verified".into();
    };
    let presented = Presented::Once(token.as_bytes());
    match verifier.verify(Strategy::Token, presented, |_| Presented::Missing, now).rejection {
        None => "accepted (ok)".into(),
        Some(rejection) => format!("rejected ({}): {}", rejection.label(), rejection.explanation()),
    }
}

/// A NumericDate as UTC, and how far it is from now.
fn moment(value: &Value, now: f64) -> String {
    value.as_f64().map_or("not a number".into(), |seconds| show::moment(seconds, now))
}
