//! The verification of one message signature: the checks and their order.

use sha2::{Digest, Sha256};

use super::component::Component;
use super::input::Input;
use super::judgement::{Mark, SignatureJudgement};
use super::keys::{AccountKey, InstallKey};
use super::labels::{Label, SignatureResult};
use super::message::Message;
use super::replay::SignatureId;
use super::{base, deviations, signature};
use crate::approov::{ContentDigest, Rejection, SigningClaims, UnixTime};

/// What a signature must satisfy.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The field with the token, in lower case. A signature must cover it.
    pub token_header: Box<str>,
    /// The account's keys. Several are in force while one replaces another.
    pub account_keys: Vec<AccountKey>,
    /// The origins that apps call, as `https://api.example.com`; empty accepts any. A signature for
    /// another origin is refused.
    pub public_origins: Vec<Box<str>>,
    /// The longest time from creation to verification, in seconds.
    pub max_age: u32,
    /// The tolerated difference of the clocks of device and gateway, in seconds.
    pub skew: u32,
    /// Whether a body must have a digest.
    pub requires_digest: bool,
}

/// The key that a token names.
enum Signer<'k> {
    Install(InstallKey),
    Account(&'k AccountKey),
}

impl Rules {
    /// Judges the signature of one request whose token has been verified and has these claims.
    pub fn verify(&self, message: &Message<'_>, claims: &SigningClaims, now: UnixTime) -> SignatureJudgement {
        let input = message.field("signature-input");
        let signature = message.field("signature");
        let Some(label) = claims.label() else {
            let is_signed = input.is_some() || signature.is_some();
            return SignatureJudgement::no_key(if is_signed {
                Rejection::UnknownMessageSigningKey
            } else {
                Rejection::MissingMessageSignature
            });
        };
        let judged = match (&input, &signature) {
            (Some(input), Some(signature)) => Input::read(label, input, signature)
                .and_then(|input| self.judge(label, &input, message, claims, now)),
            (None, None) => Err(Rejection::MissingMessageSignature),
            _ => Err(Rejection::MalformedMessageSignature),
        };
        judged.unwrap_or_else(|rejection| SignatureJudgement::refused(label, rejection))
    }

    fn judge(
        &self,
        label: Label,
        input: &Input<'_>,
        message: &Message<'_>,
        claims: &SigningClaims,
        now: UnixTime,
    ) -> Result<SignatureJudgement, Rejection> {
        let encoded = signature::decode(input.signature).ok_or(Rejection::MalformedMessageSignature)?;
        self.check_coverage(input)?;
        let digest = self.digest(input, message)?;
        let until = self.check_times(input, now)?;
        self.check_origin(message)?;
        let signer = self.signer(label, claims)?;

        let (verified, identity) = match signer {
            Signer::Install(key) => {
                let (fixed, is_der) =
                    signature::ecdsa(&encoded).ok_or(Rejection::MalformedMessageSignature)?;
                let prepared = key.prepare().ok_or(Rejection::UnknownMessageSigningKey)?;
                let verified = verify_in_each_way(message, input, |base| prepared.verifies(base, &fixed))?;
                let result = if is_der { SignatureResult::Compat } else { verified };
                (result, identity(label, key.bytes(), input.nonce, &signature::with_low_s(fixed)))
            }
            Signer::Account(key) => {
                let verified = verify_in_each_way(message, input, |base| key.verifies(base, &encoded))?;
                let owner = [key.id(), claims.device().unwrap_or_default()].join("\0");
                (verified, identity(label, owner.as_bytes(), input.nonce, &encoded))
            }
        };
        let is_ambiguous = label == Label::Account && input.nonce.is_none();
        let mark = Some(Mark { id: identity, until, is_ambiguous });
        Ok(SignatureJudgement { result: verified, label: Some(label), rejection: None, digest, mark })
    }

    /// Checks that the signature covers the method, the whole target and the token.
    fn check_coverage(&self, input: &Input<'_>) -> Result<(), Rejection> {
        let target = [Component::Authority, Component::Path, Component::Query];
        let covers_target =
            input.covers(Component::TargetUri) || target.into_iter().all(|part| input.covers(part));
        let covers_rest =
            input.covers(Component::Method) && input.covers(Component::Field(&self.token_header));
        if covers_target && covers_rest { Ok(()) } else { Err(Rejection::InsufficientCoverage) }
    }

    /// The digest of the body. If the request has one, the signature must cover it.
    fn digest(&self, input: &Input<'_>, message: &Message<'_>) -> Result<Option<ContentDigest>, Rejection> {
        const NAME: &str = "content-digest";
        let Some(field) = message.field(NAME) else {
            let is_missing = self.requires_digest && message.has_body || input.covers(Component::Field(NAME));
            return if is_missing { Err(Rejection::MissingContentDigest) } else { Ok(None) };
        };
        if !input.covers(Component::Field(NAME)) {
            return Err(Rejection::InsufficientCoverage);
        }
        match ContentDigest::parse(&field) {
            Ok(Some(digest)) => Ok(Some(digest)),
            Ok(None) => Err(Rejection::MissingContentDigest),
            Err(_) => Err(Rejection::ContentDigestMismatch),
        }
    }

    /// Checks the times. Returns the Unix time in seconds from which the signature is too old.
    fn check_times(&self, input: &Input<'_>, now: UnixTime) -> Result<u64, Rejection> {
        // The times of a signature have at most 15 digits (RFC 9651 §3.3.1), so f64 and i64 hold them, and
        // their sums with `skew` and `max_age`, exactly.
        let (now, skew) = (now.as_secs(), i64::from(self.skew));
        if (input.created - skew) as f64 > now {
            return Err(Rejection::MessageSignatureNotYetValid);
        }
        let oldest = input.created + i64::from(self.max_age);
        let until = input.expires.map_or(oldest, |expires| expires.min(oldest)) + skew;
        if until as f64 <= now {
            return Err(Rejection::MessageSignatureExpired);
        }
        u64::try_from(until).map_err(|_| Rejection::MessageSignatureExpired)
    }

    fn check_origin(&self, message: &Message<'_>) -> Result<(), Rejection> {
        if self.public_origins.is_empty() {
            return Ok(());
        }
        let origin = [message.scheme().as_bytes(), b"://", &message.normal_authority()].concat();
        let is_ours = self.public_origins.iter().any(|public| public.as_bytes() == origin);
        if is_ours { Ok(()) } else { Err(Rejection::BadMessageSignature) }
    }

    fn signer(&self, label: Label, claims: &SigningClaims) -> Result<Signer<'_>, Rejection> {
        let signer = match label {
            Label::Install => claims.install_key().and_then(InstallKey::from_claim).map(Signer::Install),
            Label::Account => claims
                .account_key_id()
                .and_then(|id| self.account_keys.iter().find(|key| key.id() == id))
                .map(Signer::Account),
        };
        signer.ok_or(Rejection::UnknownMessageSigningKey)
    }
}

/// Verifies the signature over the base of the RFC, and then over those of clients that deviate from it.
fn verify_in_each_way(
    message: &Message<'_>,
    input: &Input<'_>,
    verifies: impl Fn(&[u8]) -> bool,
) -> Result<SignatureResult, Rejection> {
    let mut is_first = true;
    for deviations in deviations::to_try(message, &input.components) {
        // A covered field that is absent was removed on the way.
        let base = base::build(message, input, deviations).ok_or(Rejection::BadMessageSignature)?;
        if verifies(&base) {
            return Ok(if is_first { SignatureResult::Valid } else { SignatureResult::Compat });
        }
        is_first = false;
    }
    Err(Rejection::BadMessageSignature)
}

fn identity(label: Label, owner: &[u8], nonce: Option<&str>, signature: &[u8]) -> SignatureId {
    let mut hash = Sha256::new();
    let (kind, value) = nonce.map_or((b's', signature), |nonce| (b'n', nonce.as_bytes()));
    for part in [label.label().as_bytes(), owner, &[kind], value] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut id = SignatureId::default();
    id.copy_from_slice(&hash.finalize()[..16]);
    id
}
