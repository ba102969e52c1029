//! `approov-gateway token`: mint an example token offline, as `approov token -genExample` does
//! online.

use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::CommandFailure;
use super::key_source::KeySource;
use crate::approov::{Secret, binding_hash};
use crate::clock;
use crate::config::{self, Environment, NamedSecret, Problems};

/// Mint an example token offline, as `approov token -genExample` does online.
///
/// Prints the token alone. The secret is that of the configuration, of the environment, or of
/// --secret-base64-file.
#[derive(Clone, Debug, clap::Args)]
pub struct TokenArgs {
    /// Which token to mint
    #[arg(long = "type", value_name = "TYPE", value_enum, default_value_t)]
    kind: TokenKind,
    /// Bind the token to the value of a header; several in the order of the configured headers
    #[arg(long, value_name = "VALUE")]
    bind: Vec<String>,
    /// How long the token is valid; with --type expired, how long ago it expired
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_ttl)]
    ttl: Duration,
    /// Set a claim; the value is JSON, or else text
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = parse_claim)]
    claims: Vec<(String, Value)>,
    /// Name the signing key in the token's header
    #[arg(long, value_name = "ID")]
    kid: Option<String>,
    #[command(flatten)]
    keys: KeySource,
}

/// The kinds of tokens that are minted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum TokenKind {
    /// The gateway accepts the token.
    #[default]
    Valid,
    /// Signed with another key, as the token of an app that failed attestation.
    Invalid,
    /// The `exp` of the token has passed.
    Expired,
}

/// The content of a token to mint.
#[derive(Clone, Debug)]
pub struct MintRequest {
    /// Which kind of token is minted.
    pub kind: TokenKind,
    /// Values of the bound headers, in their configured order; none leaves the token unbound.
    pub bind: Vec<String>,
    /// The claim that takes the binding hash.
    pub binding_claim: String,
    /// How long the token is valid, or how long ago it expired.
    pub ttl: Duration,
    /// Further claims. They replace usual claims of the same name.
    pub claims: Vec<(String, Value)>,
    /// The `kid` of its header.
    pub kid: Option<String>,
}

impl Default for MintRequest {
    fn default() -> Self {
        Self {
            kind: TokenKind::Valid,
            bind: Vec::new(),
            binding_claim: "pay".into(),
            ttl: Duration::from_secs(3600),
            claims: Vec::new(),
            kid: None,
        }
    }
}

/// Runs the command: prints the token alone.
///
/// # Errors
/// [`CommandFailure`] when there is no usable secret or the token cannot be written.
pub fn run(arguments: TokenArgs, environment: &Environment) -> Result<(), CommandFailure> {
    let TokenArgs { kind, bind, ttl, claims, kid, keys } = arguments;
    let request = MintRequest { kind, bind, ttl, claims, kid, ..MintRequest::default() };
    let token = mint_with(&keys, environment, request)?;
    writeln!(std::io::stdout(), "{token}")
        .map_err(|error| CommandFailure::Running(format!("cannot write the token: {error}")))
}

/// Mints a token with the configured secret and binding claim.
///
/// # Errors
/// [`CommandFailure`] if there is no usable secret.
pub(super) fn mint_with(
    keys: &KeySource,
    environment: &Environment,
    request: MintRequest,
) -> Result<String, CommandFailure> {
    let (file, environment) = keys.resolve(environment);
    let problems = |problems: Problems| CommandFailure::Configuration(problems.to_string());
    let binding_claim =
        config::load_approov(file, &environment).map_err(problems)?.0.verifier.binding_claim().to_owned();
    let secrets = config::load_secrets(file, &environment).map_err(problems)?;
    let kid = request.kid.as_deref();
    let wanted = |secret: &&NamedSecret| kid.is_none() || secret.id.as_deref() == kid;
    // A key without an id serves any kid.
    let secret = secrets.iter().find(wanted).or_else(|| secrets.iter().find(|secret| secret.id.is_none()));
    let secret = secret.ok_or_else(|| {
        let wanted = kid.map_or_else(String::new, |kid| format!(" for the kid {kid:?}"));
        CommandFailure::Configuration(format!(
            "no HS256 key is configured{wanted}; tokens are minted with HS256 only"
        ))
    })?;
    mint(&secret.secret, &MintRequest { binding_claim, ..request }, clock::system_time())
        .map_err(|error| CommandFailure::Running(format!("cannot sign the token: {error}")))
}

/// Mints a token with the claims of Approov's own example tokens.
///
/// # Errors
/// The error of the signing library. With an HMAC secret it has no reason to fail.
pub fn mint(
    secret: &Secret,
    request: &MintRequest,
    now: SystemTime,
) -> Result<String, jsonwebtoken::errors::Error> {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let ttl = request.ttl.as_secs();
    let expiry = match request.kind {
        TokenKind::Valid | TokenKind::Invalid => now.saturating_add(ttl),
        TokenKind::Expired => now.saturating_sub(ttl),
    };
    let mut claims = Map::new();
    claims.insert("exp".into(), expiry.into());
    claims.insert("ip".into(), "1.2.3.4".into());
    claims.insert("did".into(), "ExampleApproovTokenDID==".into());
    if !request.bind.is_empty() {
        let hash = binding_hash(request.bind.iter().map(String::as_str));
        claims.insert(request.binding_claim.clone(), hash.into());
    }
    claims.extend(request.claims.iter().cloned());

    let header = Header { kid: request.kid.clone(), ..Header::default() };
    let key = match request.kind {
        TokenKind::Valid | TokenKind::Expired => EncodingKey::from_secret(secret.as_bytes()),
        TokenKind::Invalid => EncodingKey::from_secret(&another_key(secret)),
    };
    jsonwebtoken::encode(&header, &claims, &key)
}

/// A key that differs from the secret's for HMAC too, and from which the secret cannot be computed.
///
/// The digest of the secret alone would not do: HMAC replaces a key of more than 64 bytes by its
/// SHA-256 digest (RFC 2104 §2), so both keys would give the same signatures.
fn another_key(secret: &Secret) -> [u8; 32] {
    let digest = Sha256::new().chain_update(b"not the account secret").chain_update(secret.as_bytes());
    digest.finalize().into()
}

/// `2h`, `90s`, `1h 30m`: at least a second.
fn parse_ttl(text: &str) -> Result<Duration, String> {
    let parsed: jiff::SignedDuration =
        text.parse().map_err(|_| "write a duration such as 90s, 15m, 2h or 36h".to_owned())?;
    match Duration::try_from(parsed) {
        Ok(ttl) if ttl >= Duration::from_secs(1) => Ok(ttl),
        _ => Err("the shortest lifetime of a token is 1s".into()),
    }
}

fn parse_claim(text: &str) -> Result<(String, Value), String> {
    match text.split_once('=') {
        None | Some(("", _)) => Err("write NAME=VALUE".into()),
        Some((name, value)) => {
            let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
            Ok((name.into(), value))
        }
    }
}
