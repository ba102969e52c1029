//! The verification of one token: the checks and their order.

use std::sync::Arc;
use std::time::Duration;

use super::binding::{BindingRules, MissingClaim};
use super::claims::{ClaimRules, Claims};
use super::judgement::{Accepted, Device, TokenJudgement};
use super::keys::{Key, Role};
use super::presented::{Presented, trim};
use super::shared_key_set::SharedKeySet;
use super::status::AppStatus;
use super::token::{self, JoseHeader, MAX_SIGNATURE, Segments};
use super::verified_signatures::VerifiedSignatures;
use super::{Payload, Rejection, UnixTime};

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

/// Verifies tokens with keys and rules.
#[derive(Debug)]
pub struct Verifier {
    /// Keys for tokens of failed attestations are at the end.
    keys: Vec<Key>,
    key_sets: Vec<Arc<SharedKeySet>>,
    verified: Option<Arc<VerifiedSignatures>>,
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
            verified: None,
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

    /// Remembers the signatures of public keys in `verified`, which verifiers may share.
    pub fn with_verified_signatures(mut self, verified: Arc<VerifiedSignatures>) -> Self {
        self.verified = Some(verified);
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

    /// The configured keys, without those in key sets, in the order in which they are tried.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// What the rules accept that stricter rules would refuse, a sentence each.
    pub fn concessions(&self) -> impl Iterator<Item = &'static str> {
        [
            (self.accepts_failover, "tokens of Approov's failover service are accepted"),
            (
                self.binding.missing_claim == MissingClaim::Accept,
                "a token without the binding claim is accepted for every value of the bound headers",
            ),
            (self.claims.issuers.is_empty(), "tokens of every issuer are accepted"),
            (self.claims.audiences.is_empty(), "tokens for every audience are accepted"),
        ]
        .into_iter()
        .filter_map(|(is_made, concession)| is_made.then_some(concession))
    }

    /// How long a token is accepted after it has expired.
    pub fn leeway(&self) -> Duration {
        Duration::try_from_secs_f64(self.claims.leeway).unwrap_or_default()
    }

    /// The name of the claim with the binding hash.
    pub fn binding_claim(&self) -> &str {
        &self.binding.claim
    }

    /// Verifies the token of one request. `bound` returns a bound header by its position in the configured
    /// list, and is called only for [`Strategy::TokenBinding`].
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
        // As long as a key set is not loaded, a token without a key may still be genuine.
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
        let is_known = |key: &&Key| {
            self.verified.as_ref().is_some_and(|verified| verified.has(key, segments.signed, signature))
        };
        let verifies = |key: &&Key| match &self.verified {
            Some(verified) => verified.verifies(key, segments.signed, signature),
            None => key.verifies(segments.signed, signature),
        };
        // Of several keys, one that has verified this token before is found without trying the others.
        let are_several = candidates.clone().nth(1).is_some();
        let known = are_several.then(|| candidates.clone().find(is_known)).flatten();
        known
            .or_else(|| candidates.find(verifies))
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
