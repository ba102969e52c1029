//! `approov-gateway sign`: sign a request as an app would.

use std::io::Write;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::key_source::KeySource;
use super::request::Request;
use super::request_signer::RequestSigner;
use super::{CommandFailure, token};
use crate::approov::message_signing::Label;
use crate::approov::{Presented, Secret, SecretError};
use crate::clock;
use crate::config::{self, Environment};

/// Sign a request as an app would, for curl.
///
/// Prints header lines: the token, the digest of the body, and the two signature fields. `install`
/// makes a throw-away key and a token that names it. `account` needs the account's key.
#[derive(Clone, Debug, clap::Args)]
pub struct SignArgs {
    /// Whose key signs: `install` for an installation of the app, `account` for the Approov account
    #[arg(long, value_parser = parse_label)]
    label: Label,
    /// For account: the file with the message-signing key, in base64 or base64url
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Use the bytes of the key file as the key, without decoding them
    #[arg(long)]
    raw_key: bool,
    /// For account: the id of the key, for a token that names it in mskid
    #[arg(long, value_name = "ID")]
    key_id: Option<String>,
    /// The method of the request
    #[arg(long, default_value = "GET")]
    method: String,
    /// The URL that the app calls
    #[arg(long)]
    url: String,
    /// A header field that the request has; with the token header, no token is minted
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The file with the body
    #[arg(long, value_name = "FILE")]
    body_file: Option<PathBuf>,
    /// For how many seconds the signature is valid
    #[arg(long, value_name = "SECONDS", default_value_t = 15)]
    expires: u64,
    #[command(flatten)]
    keys: KeySource,
}

fn parse_label(text: &str) -> Result<Label, String> {
    text.parse().map_err(|_| "write install or account".into())
}

/// Runs the command: prints header lines.
///
/// # Errors
/// [`CommandFailure`] if a key is missing or unusable, or if the request cannot be signed.
pub fn run(arguments: &SignArgs, environment: &Environment) -> Result<(), CommandFailure> {
    let (file, resolved) = arguments.keys.resolve(environment);
    let problems = |problems: config::Problems| CommandFailure::Configuration(problems.to_string());
    let token_header = config::load_approov(file, &resolved).map_err(problems)?.0.token_header;
    let mut request = Request::for_url(&arguments.method, &arguments.url).map_err(CommandFailure::Usage)?;
    for line in &arguments.headers {
        request.add_field(line).map_err(CommandFailure::Usage)?;
    }
    let mut printed = Vec::new();
    if let Some(path) = &arguments.body_file {
        request.body = std::fs::read(path)
            .map_err(|error| CommandFailure::Running(format!("{}: {error}", path.display())))?;
        let digest = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(&request.body)));
        printed.push(("Content-Digest".to_owned(), digest));
    }
    let signer = signer(arguments)?;
    if request.presented(token_header.as_str()) == Presented::Missing {
        let claims = signer.claims(arguments.key_id.as_deref())?;
        let token = token::mint_with(
            &arguments.keys,
            environment,
            token::MintRequest { claims, ..Default::default() },
        )?;
        printed.insert(0, (canonical(token_header.as_str()), token));
    }
    for (name, value) in &printed {
        request.fields.push((name.clone(), value.clone().into_bytes()));
    }
    let now = clock::unix_time().as_secs();
    printed.extend(signer.sign(&request, token_header.as_str(), now, arguments.expires)?);
    let mut output = std::io::stdout();
    for (name, value) in printed {
        writeln!(output, "{name}: {value}")
            .map_err(|error| CommandFailure::Running(format!("cannot write the header lines: {error}")))?;
    }
    Ok(())
}

/// The key that the arguments name, or a new one.
fn signer(arguments: &SignArgs) -> Result<RequestSigner, CommandFailure> {
    match (arguments.label, &arguments.key_file) {
        (Label::Install, Some(_)) => {
            Err(CommandFailure::Usage("install makes its own key; --key-file goes with account".into()))
        }
        (Label::Install, None) => RequestSigner::install(),
        (Label::Account, None) => Err(CommandFailure::Usage("account needs --key-file".into())),
        (Label::Account, Some(path)) => {
            let unusable = |error: &dyn std::fmt::Display| {
                CommandFailure::Running(format!("{}: {error}", path.display()))
            };
            let bytes = std::fs::read(path).map_err(|error| unusable(&error))?;
            let secret = account_secret(&bytes, arguments.raw_key).map_err(|error| unusable(&error))?;
            Ok(RequestSigner::account(&secret))
        }
    }
}

fn account_secret(bytes: &[u8], is_raw: bool) -> Result<Secret, SecretError> {
    if is_raw {
        return Secret::from_bytes(bytes);
    }
    std::str::from_utf8(bytes).map_err(|_| SecretError::NotBase64).and_then(Secret::from_base64)
}

/// Writes `approov-token` as `Approov-Token`.
fn canonical(name: &str) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_ascii_uppercase() + rest
    };
    name.split('-').map(word).collect::<Vec<_>>().join("-")
}
