//! Verification of Approov tokens: is this request from a genuine app?
//!
//! This room is pure: no network, no environment, no log, no clock. A [`Verifier`] is built once from
//! keys and rules. [`Verifier::verify`] takes the headers of a request and the time, and returns a
//! [`TokenJudgement`]. The cheap checks come first. The payload of a token decides nothing before
//! its signature has been verified:
//!
//! 1. presence, size, status words;
//! 2. the three segments and the JOSE header (`token`);
//! 3. the key by `kid` and its algorithm, the signature (`keys`, `key_set`);
//! 4. expiry and the other claims (`claims`);
//! 5. the binding to other headers (`binding`).
//!
//! Of a refused token, [`Unverified`] reads two claims for the log.
//!
//! A route can ask for more: conditions on claims ([`Payload::check`]) and a signature over the
//! request itself ([`message_signing`]).

mod algorithm;
mod binding;
mod claims;
mod content_digest;
mod json;
mod key_set;
mod keys;
pub mod message_signing;
mod payload;
mod rejection;
mod secret;
mod settings;
mod shared_key_set;
mod status;
mod token;
mod unverified;

use std::sync::Arc;
use std::time::Duration;

pub use algorithm::{Algorithm, KeyType};
pub use binding::{BindingRules, MissingClaim, binding_hash};
pub use claims::{ClaimRules, RESERVED_CLAIMS};
pub use content_digest::{BodyVerifier, ContentDigest, MalformedDigest};
pub use key_set::{KeySet, KeySetError, KeySetSource, MAX_KEY_SET, MAX_KEYS, SkipReason, SkippedKey};
pub use keys::{Key, KeyError, Role};
pub use payload::{ClaimCondition, Demand, Payload, SigningClaims};
pub use rejection::{Rejection, Rejections};
pub use secret::{MIN_SECRET_BYTES, Secret, SecretError};
pub use settings::ApproovSettings;
pub use shared_key_set::SharedKeySet;
pub use status::AppStatus;
pub use unverified::Unverified;

use claims::Claims;
use token::{JoseHeader, MAX_SIGNATURE, Segments};

/// The default limit for the length of a token, in bytes. Tokens with every optional claim have about
/// 700.
pub const DEFAULT_MAX_TOKEN_LENGTH: usize = 8 * 1024;

/// What a route asks of a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// Signature, expiry and the other claims.
    #[default]
    Token,
    /// All that `Token` asks, and that the token is bound to the configured headers.
    TokenBinding,
}

/// One header of a request: how often it was sent, and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presented<'r> {
    /// The request does not have the header.
    Missing,
    /// The request has the header once, with this value.
    Once(&'r [u8]),
    /// The request has the header more than once.
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
    /// Converts the time since the epoch.
    pub fn since_epoch(elapsed: Duration) -> Self {
        Self(elapsed.as_secs_f64())
    }

    /// The whole seconds, without the fraction.
    pub fn whole_seconds(self) -> u64 {
        // The cast saturates; a time before 1970 is 0.
        self.0 as u64
    }

    fn as_secs(self) -> f64 {
        self.0
    }
}

/// The outcome for one request.
#[derive(Debug, PartialEq, Eq)]
pub struct TokenJudgement<'r> {
    /// Why the request is not accepted, if it is not.
    pub rejection: Option<Rejection>,
    /// The accepted token, if there is one.
    pub accepted: Option<Accepted<'r>>,
    /// Who sent the request. Known as soon as a key verified the signature, also if a later check
    /// rejects the token.
    pub device: Device,
}

/// An accepted token.
#[derive(Debug, PartialEq, Eq)]
pub struct Accepted<'r> {
    /// The part of the token that its signature covers. It is the same for every spelling of the
    /// signature.
    pub signed: &'r [u8],
    /// The claims.
    pub payload: Payload,
    /// Whether the token has neither a binding hash nor an installation key, as those of Approov's
    /// failover service, and that is accepted.
    pub is_failover: bool,
}

/// What an authentic token tells about its sender. For logs and limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// The claim `did`, if it is text.
    pub id: Option<Box<str>>,
    /// The claim `arc`, the attestation response code, if it is text.
    pub response_code: Option<Box<str>>,
}

/// Verifies tokens with keys and rules.
#[derive(Debug)]
pub struct Verifier {
    /// Keys for tokens of failed attestations are at the end.
    keys: Vec<Key>,
    key_sets: Vec<Arc<SharedKeySet>>,
    accepts_failover: bool,
    prefix: Box<[u8]>,
    max_token_length: usize,
    claims: ClaimRules,
    binding: BindingRules,
}

impl Verifier {
    /// A verifier that accepts a token of any of `keys`, with default rules.
    pub fn new(mut keys: Vec<Key>) -> Self {
        keys.sort_by_key(Key::role);
        Self {
            keys,
            key_sets: Vec::new(),
            accepts_failover: false,
            prefix: Box::default(),
            max_token_length: DEFAULT_MAX_TOKEN_LENGTH,
            claims: ClaimRules::default(),
            binding: BindingRules::default(),
        }
    }

    /// Adds key sets, which may be loaded and replaced later.
    pub fn with_key_sets(mut self, key_sets: Vec<Arc<SharedKeySet>>) -> Self {
        self.key_sets = key_sets;
        self
    }

    /// Accepts the tokens of Approov's failover service, which have no binding hash and no
    /// installation key.
    pub fn with_failover(mut self) -> Self {
        self.accepts_failover = true;
        self
    }

    /// Allows a scheme word such as `Bearer` before the token, in any letter case.
    pub fn with_prefix(mut self, prefix: &str) -> Self {
        self.prefix = prefix.trim().as_bytes().into();
        self
    }

    /// Sets the limit for the length of a token, in bytes.
    pub fn with_max_token_length(mut self, bytes: usize) -> Self {
        self.max_token_length = bytes;
        self
    }

    /// Sets the rules for the claims.
    pub fn with_claim_rules(mut self, rules: ClaimRules) -> Self {
        self.claims = rules;
        self
    }

    /// Sets the rules for token binding.
    pub fn with_binding_rules(mut self, rules: BindingRules) -> Self {
        self.binding = rules;
        self
    }

    /// The configured keys without those of key sets, in the order in which they are tried.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The claim that holds the binding hash.
    pub fn binding_claim(&self) -> &str {
        &self.binding.claim
    }

    /// Judges one request by the value of its token header, the values of its bound headers and the
    /// time. `bound` takes the position in the configured list and is called only for
    /// [`Strategy::TokenBinding`].
    pub fn verify<'r>(
        &self,
        strategy: Strategy,
        token: Presented<'r>,
        bound: impl Fn(usize) -> Presented<'r>,
        now: UnixTime,
    ) -> TokenJudgement<'r> {
        let mut device = Device::default();
        match self.judge(strategy, token, bound, now, &mut device) {
            Ok(accepted) => TokenJudgement { rejection: None, accepted: Some(accepted), device },
            Err(rejection) => TokenJudgement { rejection: Some(rejection), accepted: None, device },
        }
    }

    fn judge<'r>(
        &self,
        strategy: Strategy,
        token: Presented<'r>,
        bound: impl Fn(usize) -> Presented<'r>,
        now: UnixTime,
        device: &mut Device,
    ) -> Result<Accepted<'r>, Rejection> {
        let token = self.bare_token(token)?;
        let segments = Segments::split(token).ok_or_else(|| explain_form(token))?;
        let role = self.check_signature(&segments)?;
        let payload = token::decode_json(segments.payload)?;
        let claims = Claims::parse(&payload, &self.binding.claim)?;
        *device = Device {
            id: claims.device_id().map(Into::into),
            response_code: claims.response_code().map(Into::into),
        };
        if role == Role::FailedAttestation {
            return Err(Rejection::FailedAttestation);
        }
        self.claims.check(&claims, now)?;
        let is_failover = self.accepts_failover && claims.binding.is_none() && !claims.has_install_key;
        if strategy == Strategy::TokenBinding && !is_failover {
            self.binding.check(claims.binding.as_ref(), bound)?;
        }
        Ok(Accepted { signed: segments.signed, payload: Payload::new(payload), is_failover })
    }

    /// The value of the header without white space and prefix, unless it cannot be a token.
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

    /// Verifies the signature with the keys that the `kid` selects and that have the `alg` of the
    /// token. Returns the role of the key that verifies it.
    fn check_signature(&self, segments: &Segments<'_>) -> Result<Role, Rejection> {
        let header = JoseHeader::parse(segments.header)?;
        let sets: Vec<_> = self.key_sets.iter().map(|set| set.load()).collect();
        let in_sets = sets.iter().flat_map(|set| set.iter().flat_map(|set| set.keys()));
        // Keys in sets come first: those of failed attestations are at the end of the others.
        let keys = in_sets.chain(&self.keys);
        // A token whose key is not loaded yet says nothing about the client.
        let is_complete = sets.iter().all(|set| set.is_some());
        let unless_incomplete = |why| if is_complete { why } else { Rejection::KeysUnavailable };

        let kid = header.key_id.as_deref();
        // A key without an id serves any kid, unless another key has exactly that id.
        let is_named = kid.is_some_and(|kid| keys.clone().any(|key| key.id() == Some(kid)));
        if kid.is_some() && !is_named && is_complete {
            self.key_sets.iter().for_each(|set| set.note_missing_key());
        }
        let serves = |key: &&Key| match kid {
            None => true,
            Some(kid) if is_named => key.id() == Some(kid),
            Some(_) => key.id().is_none(),
        };
        let mut serving = keys.filter(serves).peekable();
        if serving.peek().is_none() {
            return Err(unless_incomplete(Rejection::UnknownKey));
        }
        let mut candidates = serving.filter(|key| key.algorithm() == header.algorithm).peekable();
        if candidates.peek().is_none() {
            return Err(unless_incomplete(Rejection::UnsupportedAlgorithm));
        }
        let mut buffer = [0; MAX_SIGNATURE];
        let signature = token::decode_signature(segments.signature, &mut buffer)?;
        candidates
            .find(|key| key.verifies(segments.signed, signature))
            .map(Key::role)
            .ok_or_else(|| unless_incomplete(Rejection::BadSignature))
    }
}

/// Why a text is not three segments.
fn explain_form(token: &[u8]) -> Rejection {
    if AppStatus::of_word(token).is_some() {
        Rejection::ClientStatus
    } else if token.contains(&b',') {
        // A token has no comma: two header lines were joined into one.
        Rejection::RepeatedToken
    } else if token::is_encrypted(token) {
        Rejection::EncryptedToken
    } else {
        Rejection::MalformedToken
    }
}

/// Whether the value is a word such as `NO_APPROOV_SERVICE`, which SDKs send in place of a token.
fn is_status_word(value: &[u8]) -> bool {
    value.len() <= 64 && value.iter().all(|byte| byte.is_ascii_uppercase() || *byte == b'_')
}

/// Removes optional white space (RFC 9110 §5.6.3) on both sides.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}
