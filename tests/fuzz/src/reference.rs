//! A simple verifier of tokens: `jsonwebtoken` verifies the signature and `serde_json` reads the rest.

use std::sync::Arc;
use std::time::Duration;

use approov_gateway::approov::{self, BindingRules, ClaimRules, Key, Secret, Strategy, UnixTime, Verifier};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// The current time of the verifiers, in seconds since 1970.
pub const NOW: u32 = 1_700_000_000;

pub fn now() -> UnixTime {
    UnixTime::since_epoch(Duration::from_secs(NOW.into()))
}

/// A key, for the reference and for the gateway.
pub struct JudgedKey {
    pub id: Option<&'static str>,
    pub algorithm: Algorithm,
    pub judge: DecodingKey,
}

impl JudgedKey {
    pub fn hs256(id: Option<&'static str>, secret: &[u8]) -> (Self, Key) {
        let ours = Secret::from_base64(&STANDARD.encode(secret)).expect("a usable secret");
        let judge = DecodingKey::from_secret(secret);
        Self::pair(id, Algorithm::HS256, judge, Key::hs256(&ours))
    }

    pub fn rs256(id: Option<&'static str>, pem: &str) -> (Self, Key) {
        let judge = DecodingKey::from_rsa_pem(pem.as_bytes()).expect("a public key");
        Self::pair(
            id,
            Algorithm::RS256,
            judge,
            Key::from_pem(approov::Algorithm::Rs256, pem).expect("a public key"),
        )
    }

    pub fn es256(id: Option<&'static str>, pem: &str) -> (Self, Key) {
        let judge = DecodingKey::from_ec_pem(pem.as_bytes()).expect("a public key");
        Self::pair(
            id,
            Algorithm::ES256,
            judge,
            Key::from_pem(approov::Algorithm::Es256, pem).expect("a public key"),
        )
    }

    fn pair(id: Option<&'static str>, algorithm: Algorithm, judge: DecodingKey, ours: Key) -> (Self, Key) {
        let ours = match id {
            Some(id) => ours.with_id(id),
            None => ours,
        };
        (Self { id, algorithm, judge }, ours)
    }
}

/// The rules for tokens.
#[derive(Clone, Default)]
pub struct Demands {
    pub prefix: &'static str,
    pub strategy: Strategy,
    pub leeway: u32,
    pub issuers: Vec<String>,
    pub audiences: Vec<String>,
}

/// The same rules, for the reference and for the gateway.
pub struct Setup {
    pub verifier: Verifier,
    pub demands: Demands,
    keys: Vec<JudgedKey>,
}

impl Setup {
    pub fn new(keys: impl IntoIterator<Item = (JudgedKey, Key)>, demands: Demands) -> Self {
        let (judges, ours): (Vec<_>, Vec<_>) = keys.into_iter().unzip();
        let claims = ClaimRules {
            leeway: demands.leeway.into(),
            issuers: demands.issuers.clone(),
            audiences: demands.audiences.clone(),
        };
        let verifier = Verifier::new(ours)
            .with_verified_signatures(Arc::default())
            .with_prefix(demands.prefix)
            .with_claim_rules(claims)
            .with_binding_rules(BindingRules::default());
        Self { verifier, demands, keys: judges }
    }

    /// Whether a request with this token and these values of the bound header is good.
    pub fn is_good(&self, value: &[u8], bound: &[&[u8]]) -> bool {
        self.good_claims(value).is_some_and(|claims| match self.demands.strategy {
            Strategy::Token => true,
            Strategy::TokenBinding => is_bound(&claims, bound),
        })
    }

    /// The claims of a token that is good apart from its binding.
    fn good_claims(&self, value: &[u8]) -> Option<Map<String, Value>> {
        let token = self.without_prefix(std::str::from_utf8(value).ok()?);
        let [header, payload, signature] = token.split('.').collect::<Vec<_>>().try_into().ok()?;
        let header_claims = object(header)?;
        let claims = object(payload)?;
        let signed = format!("{header}.{payload}");
        let is_signed = self.keys_for(&header_claims).any(|key| {
            crypto::verify(signature, signed.as_bytes(), &key.judge, key.algorithm).unwrap_or(false)
        });
        let is_good = is_signed && !header_claims.contains_key("crit") && self.are_good(&claims);
        is_good.then_some(claims)
    }

    fn without_prefix<'v>(&self, value: &'v str) -> &'v str {
        const BLANKS: [char; 2] = [' ', '\t'];
        let value = value.trim_matches(BLANKS);
        match value.split_once(BLANKS) {
            Some((word, rest)) if word.eq_ignore_ascii_case(self.demands.prefix) => rest.trim_matches(BLANKS),
            _ => value,
        }
    }

    /// The keys that a token with this header may be signed with.
    fn keys_for<'s>(&'s self, header: &'s Map<String, Value>) -> impl Iterator<Item = &'s JudgedKey> {
        let is_named = |id: &Value| self.keys.iter().any(|key| key.id.is_some() && key.id == id.as_str());
        self.keys.iter().filter(move |key| {
            let answers = match header.get("kid") {
                None => true,
                Some(id) if is_named(id) => key.id == id.as_str(),
                Some(id) => id.is_string() && key.id.is_none(),
            };
            answers && header.get("alg") == Some(&Value::from(format!("{:?}", key.algorithm)))
        })
    }

    /// Whether the claims are good, apart from the binding.
    pub fn are_good(&self, claims: &Map<String, Value>) -> bool {
        let Demands { leeway, issuers, audiences, .. } = &self.demands;
        let (now, leeway) = (f64::from(NOW), f64::from(*leeway));
        let number = |name: &str| claims.get(name).map(Value::as_f64);
        let is_fresh = number("exp").flatten().is_some_and(|expiry| expiry > now - leeway);
        let has_begun = match number("nbf") {
            None => true,
            Some(begin) => begin.is_some_and(|begin| begin <= now + leeway),
        };
        let is_in = |list: &[String], value: &Value| list.iter().any(|entry| *value == **entry);
        let is_from = issuers.is_empty() || claims.get("iss").is_some_and(|issuer| is_in(issuers, issuer));
        let is_for = audiences.is_empty()
            || match claims.get("aud") {
                Some(Value::Array(names)) => {
                    names.iter().all(Value::is_string) && names.iter().any(|name| is_in(audiences, name))
                }
                Some(name) => is_in(audiences, name),
                None => false,
            };
        is_fresh && has_begun && is_from && is_for
    }
}

/// Whether the bound header occurs once, is not empty, and has the hash in the claim.
pub fn is_bound(claims: &Map<String, Value>, bound: &[&[u8]]) -> bool {
    let [value] = bound else { return false };
    let start = value.iter().position(|byte| !matches!(byte, b' ' | b'\t'));
    let end = value.iter().rposition(|byte| !matches!(byte, b' ' | b'\t'));
    let (Some(start), Some(end)) = (start, end) else { return false };
    claims.get("pay") == Some(&Value::from(STANDARD.encode(Sha256::digest(&value[start..=end]))))
}

fn object(segment: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(segment).ok()?).ok()
}
