//! Verification of Approov tokens: is this request from a genuine app?
//!
//! Pure: no network, no environment, no log, no clock. A [`Verifier`] is built once from keys and
//! rules; [`Verifier::verify`] takes what the request presented and the time, and answers with a
//! [`Verdict`]. The cheap checks come first, and the payload of a token is not even decoded
//! before its signature has been verified:
//!
//! 1. presence, size, status words;
//! 2. the three segments and the JOSE header (`token`);
//! 3. the key by `kid` and pinned algorithm, the signature (`keys`);
//! 4. expiry and the other claims (`claims`);
//! 5. the binding to other headers (`binding`).

mod binding;
mod claims;
mod json;
mod keys;
mod rejection;
mod secret;
mod settings;
mod token;

use std::time::Duration;

pub use binding::{BindingRules, MissingClaim, binding_hash};
pub use claims::{ClaimRules, RESERVED_CLAIMS};
pub use keys::{Algorithm, Key, KeyError};
pub use rejection::{Rejection, Rejections};
pub use secret::{MIN_SECRET_BYTES, Secret, SecretError};
pub use settings::ApproovSettings;

use claims::Claims;
use token::{Header, MAX_SIGNATURE, Segments};

/// The longest token accepted unless configured otherwise, in bytes. Tokens with every optional
/// claim have some 700.
pub const DEFAULT_MAX_TOKEN_LENGTH: usize = 8 * 1024;

/// What is asked of a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// Signature, expiry and the other claims.
    #[default]
    Token,
    /// The same, and that the token is bound to the configured headers.
    TokenBinding,
}

/// How often a request carried a header, and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presented<'r> {
    /// Not at all.
    Missing,
    /// Once, with this value.
    Once(&'r [u8]),
    /// More than once.
    Repeated,
}

impl<'r> Presented<'r> {
    /// Counts the values of one header.
    pub fn from_values(values: impl IntoIterator<Item = &'r [u8]>) -> Self {
        let mut values = values.into_iter();
        match (values.next(), values.next()) {
            (None, _) => Presented::Missing,
            (Some(value), None) => Presented::Once(value),
            (Some(_), Some(_)) => Presented::Repeated,
        }
    }
}

/// Seconds since 1970-01-01T00:00:00Z, as NumericDate in RFC 7519 §2: fractions allowed.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct UnixTime(f64);

impl UnixTime {
    /// From the time since the epoch.
    pub fn since_epoch(elapsed: Duration) -> Self {
        Self(elapsed.as_secs_f64())
    }

    fn as_secs(self) -> f64 {
        self.0
    }
}

/// The outcome for one request.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict<'r> {
    /// Why the request is not accepted, if it is not.
    pub rejection: Option<Rejection>,
    /// Of an accepted token, the part that its signature covers: the token itself, whatever the
    /// spelling of the signature.
    pub signed: Option<&'r [u8]>,
    /// Who signed for the request; known once the signature has been verified, also when a later
    /// check rejects.
    pub device: Device,
}

/// What an authentic token tells about its sender. For logs and limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// The claim `did`, when it is text.
    pub id: Option<Box<str>>,
    /// The claim `arc`, the attestation response code, when it is text.
    pub response_code: Option<Box<str>>,
}

/// Verifies tokens against a set of keys and rules.
#[derive(Debug)]
pub struct Verifier {
    keys: Vec<Key>,
    prefix: Box<[u8]>,
    max_token_length: usize,
    claims: ClaimRules,
    binding: BindingRules,
}

impl Verifier {
    /// A verifier that accepts a token of any of `keys`, with default rules.
    pub fn new(keys: Vec<Key>) -> Self {
        Self {
            keys,
            prefix: Box::default(),
            max_token_length: DEFAULT_MAX_TOKEN_LENGTH,
            claims: ClaimRules::default(),
            binding: BindingRules::default(),
        }
    }

    /// With a scheme word such as `Bearer` that may precede the token, in any case; a token
    /// without it is taken as well.
    pub fn with_prefix(mut self, prefix: &str) -> Self {
        self.prefix = prefix.trim().as_bytes().into();
        self
    }

    /// With another limit for the length of a token, in bytes.
    pub fn with_max_token_length(mut self, bytes: usize) -> Self {
        self.max_token_length = bytes;
        self
    }

    /// With other demands on the claims.
    pub fn with_claim_rules(mut self, rules: ClaimRules) -> Self {
        self.claims = rules;
        self
    }

    /// With other rules for token binding.
    pub fn with_binding_rules(mut self, rules: BindingRules) -> Self {
        self.binding = rules;
        self
    }

    /// The keys, in the order in which they are tried.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The claim that holds the binding hash.
    pub fn binding_claim(&self) -> &str {
        &self.binding.claim
    }

    /// Judges one request: the value of its token header, the values of its bound headers (by
    /// position in the configured list; asked for only if `strategy` wants them), the time.
    pub fn verify<'r>(
        &self,
        strategy: Strategy,
        token: Presented<'r>,
        bound: impl Fn(usize) -> Presented<'r>,
        now: UnixTime,
    ) -> Verdict<'r> {
        let mut device = Device::default();
        let judged = self.judge(strategy, token, bound, now, &mut device);
        Verdict { rejection: judged.err(), signed: judged.ok(), device }
    }

    fn judge<'r>(
        &self,
        strategy: Strategy,
        token: Presented<'r>,
        bound: impl Fn(usize) -> Presented<'r>,
        now: UnixTime,
        device: &mut Device,
    ) -> Result<&'r [u8], Rejection> {
        let token = self.bare_token(token)?;
        let segments = Segments::split(token).ok_or_else(|| {
            // Tokens never hold a comma: somebody joined two header lines into one.
            if token.contains(&b',') { Rejection::RepeatedToken } else { Rejection::MalformedToken }
        })?;
        self.check_signature(&segments)?;
        let payload = token::decode_json(segments.payload)?;
        let claims = Claims::parse(&payload, &self.binding.claim)?;
        *device = Device {
            id: claims.device_id().map(Into::into),
            response_code: claims.response_code().map(Into::into),
        };
        self.claims.check(&claims, now)?;
        if strategy == Strategy::TokenBinding {
            self.binding.check(claims.binding.as_ref(), bound)?;
        }
        Ok(segments.signed)
    }

    /// The token without white space and prefix, if the header holds something like one.
    fn bare_token<'r>(&self, token: Presented<'r>) -> Result<&'r [u8], Rejection> {
        let value = match token {
            Presented::Missing => return Err(Rejection::MissingToken),
            Presented::Repeated => return Err(Rejection::RepeatedToken),
            Presented::Once(value) => trim(value),
        };
        if value.len() > self.max_token_length {
            return Err(Rejection::OversizedToken);
        }
        let token = self.strip_prefix(value);
        if token.is_empty() {
            return Err(Rejection::EmptyToken);
        }
        if is_status_word(token) {
            return Err(Rejection::ClientStatus);
        }
        Ok(token)
    }

    fn strip_prefix<'r>(&self, value: &'r [u8]) -> &'r [u8] {
        let length = self.prefix.len();
        match value.split_at_checked(length) {
            Some((word, [])) if length > 0 && word.eq_ignore_ascii_case(&self.prefix) => &[],
            Some((word, rest @ [b' ' | b'\t', ..]))
                if length > 0 && word.eq_ignore_ascii_case(&self.prefix) =>
            {
                trim(rest)
            }
            _ => value,
        }
    }

    /// Some configured key, chosen by `kid` and pinned to its algorithm, made the signature.
    fn check_signature(&self, segments: &Segments<'_>) -> Result<(), Rejection> {
        let header = Header::parse(segments.header)?;
        let kid = header.key_id.as_deref();
        // A key without an id answers to every kid, unless another key has exactly that one.
        let named = kid.is_some_and(|kid| self.keys.iter().any(|key| key.id() == Some(kid)));
        let answers = |key: &&Key| match kid {
            None => true,
            Some(kid) if named => key.id() == Some(kid),
            Some(_) => key.id().is_none(),
        };
        if !self.keys.iter().any(|key| answers(&key)) {
            return Err(Rejection::UnknownKey);
        }
        let mut candidates =
            self.keys.iter().filter(answers).filter(|key| key.algorithm() == header.algorithm).peekable();
        if candidates.peek().is_none() {
            return Err(Rejection::UnsupportedAlgorithm);
        }
        let mut buffer = [0; MAX_SIGNATURE];
        let signature = token::decode_signature(segments.signature, &mut buffer)?;
        if candidates.any(|key| key.verifies(segments.signed, signature)) {
            Ok(())
        } else {
            Err(Rejection::BadSignature)
        }
    }
}

/// Words such as `NO_APPROOV_SERVICE`, which SDKs send when they could not get a token.
fn is_status_word(value: &[u8]) -> bool {
    value.len() <= 64 && value.iter().all(|byte| byte.is_ascii_uppercase() || *byte == b'_')
}

/// Without optional white space (RFC 9110 §5.6.3) on either side.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}
