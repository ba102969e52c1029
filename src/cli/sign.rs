//! `approov-gateway sign`: sign a request as an app would.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::PathBuf;

use super::key_source::KeySource;
use super::request::Request;
use super::{CommandFailure, token};
use crate::approov::message_signing::{Label, base_to_sign};
use crate::approov::{Presented, Secret, SecretError};
use crate::clock;
use crate::config::{self, Environment};

/// What SDKs sign by default after method, target and token, if the request has the field.
const DEFAULT_FIELDS: [&str; 6] = [
    "approov-traceid",
    "approov-status",
    "authorization",
    "content-length",
    "content-type",
    "content-digest",
];

/// Sign a request as an app would, for curl.
///
/// Prints header lines: the token, the digest of the body, and the two signature fields. `install`
/// makes a throw-away key and a token that names it. `account` needs the account's key.
#[derive(Clone, Debug, clap::Args)]
pub struct SignArgs {
    /// Who signs
    #[arg(long, value_parser = parse_label)]
    label: Label,
    /// For account: the file with the message-signing key, in base64 or base64url
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// The bytes of the key file are the key itself
    #[arg(long)]
    raw_key: bool,
    /// For account: the id of the key, for a token that names it in mskid
    #[arg(long, value_name = "ID")]
    key_id: Option<String>,
    /// The method
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
    /// How many seconds the signature is good for
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
    let signer = SigningKey::new(arguments)?;
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
    printed.extend(sign(&request, token_header.as_str(), &signer, now, arguments.expires)?);
    let mut output = std::io::stdout();
    for (name, value) in printed {
        writeln!(output, "{name}: {value}")
            .map_err(|error| CommandFailure::Running(format!("cannot write the header lines: {error}")))?;
    }
    Ok(())
}

/// The two signature fields of a request.
fn sign(
    request: &Request,
    token_header: &str,
    signer: &SigningKey,
    now: u64,
    expires: u64,
) -> Result<[(String, String); 2], CommandFailure> {
    let label = signer.label();
    let has = |name: &&&str| request.presented(name) != Presented::Missing;
    let mut components = vec!["@method", "@target-uri", token_header];
    components.extend(DEFAULT_FIELDS.iter().filter(has));
    let algorithm = match label {
        Label::Install => "ecdsa-p256-sha256",
        Label::Account => "hmac-sha256",
    };
    let end = now.saturating_add(expires);
    let parameters = format!(";alg=\"{algorithm}\";created={now};expires={end}");
    let (input, base) = base_to_sign(&request.message(), &components, &parameters)
        .ok_or_else(|| CommandFailure::Running("the request cannot be signed".into()))?;
    let signature = STANDARD.encode(signer.sign(&base)?);
    let label = label.label();
    Ok([
        ("Signature-Input".into(), format!("{label}={input}")),
        ("Signature".into(), format!("{label}=:{signature}:")),
    ])
}

enum SigningKey {
    Install(EcdsaKeyPair),
    Account(Box<aws_lc_rs::hmac::Key>),
}

impl SigningKey {
    fn new(arguments: &SignArgs) -> Result<Self, CommandFailure> {
        match (arguments.label, &arguments.key_file) {
            (Label::Install, Some(_)) => {
                Err(CommandFailure::Usage("install makes its own key; --key-file goes with account".into()))
            }
            (Label::Install, None) => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
                .map(SigningKey::Install)
                .map_err(|_| CommandFailure::Running("no key could be made".into())),
            (Label::Account, None) => Err(CommandFailure::Usage("account needs --key-file".into())),
            (Label::Account, Some(path)) => {
                let bytes = std::fs::read(path)
                    .map_err(|error| CommandFailure::Running(format!("{}: {error}", path.display())))?;
                let secret = account_secret(&bytes, arguments.raw_key)
                    .map_err(|error| CommandFailure::Running(format!("{}: {error}", path.display())))?;
                let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
                Ok(SigningKey::Account(Box::new(key)))
            }
        }
    }

    fn label(&self) -> Label {
        match self {
            SigningKey::Install(_) => Label::Install,
            SigningKey::Account(_) => Label::Account,
        }
    }

    /// The claims of a token that names this key.
    fn claims(&self, key_id: Option<&str>) -> Result<Vec<(String, serde_json::Value)>, CommandFailure> {
        match self {
            SigningKey::Install(pair) => {
                let der: PublicKeyX509Der<'_> = pair
                    .public_key()
                    .as_der()
                    .map_err(|_| CommandFailure::Running("the public key cannot be written".into()))?;
                Ok(vec![("ipk".into(), STANDARD.encode(der.as_ref()).into())])
            }
            SigningKey::Account(_) => {
                let id = key_id.ok_or_else(|| {
                    CommandFailure::Usage("account needs --key-id, or the token in --header".into())
                })?;
                Ok(vec![("mskid".into(), id.into())])
            }
        }
    }

    fn sign(&self, base: &[u8]) -> Result<Vec<u8>, CommandFailure> {
        match self {
            SigningKey::Install(pair) => pair
                .sign(&SystemRandom::new(), base)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| CommandFailure::Running("the signature could not be made".into())),
            SigningKey::Account(key) => Ok(aws_lc_rs::hmac::sign(key, base).as_ref().to_vec()),
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
