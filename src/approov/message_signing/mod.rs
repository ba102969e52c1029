//! Message signatures (RFC 9421) as Approov's SDKs make them: was this request sent by the app that
//! the token was issued to?
//!
//! A token that is stolen can be sent by anyone until it expires. A signature ties each request to a
//! key that only the installation or the account has. [`Rules::verify`] judges the signature of one
//! request; the cheap checks come first, so that an unsigned or stale request costs no cryptography:
//!
//! 1. which key the token names (`keys`);
//! 2. the two signature fields (`input`) and what they cover;
//! 3. the times;
//! 4. the signature over the base (`base`), in at most four ways (`deviations`).

mod base;
mod component;
mod deviations;
mod input;
mod keys;
mod message;
mod query_param;
mod replay;
mod settings;
mod signature;

use sha2::{Digest, Sha256};

use super::content_digest::ContentDigest;
use super::payload::SigningClaims;
use super::{Rejection, UnixTime};
use crate::closed_set::closed_set;

pub use base::{BaseLine, ShownBase, base_to_sign, shown_base};
pub use keys::AccountKey;
pub use message::{Fields, Message};
pub use replay::{ReplayStore, Seen, SignatureId, WhenFull};
pub use settings::{MessageSigningSettings, ReplayMode, ReplaySettings};

use component::Component;
use input::Input;
use keys::InstallKey;

closed_set! {
    /// What a route does with message signatures.
    #[derive(Default)]
    pub enum Mode {
        /// It does not look at them.
        #[default]
        Off => "off",
        /// It verifies and counts them, and refuses nothing.
        Observe => "observe",
        /// It refuses a request whose token names a key, unless that key signed the request.
        WhenKeyed => "when_keyed",
        /// It refuses a request that is not signed.
        Required => "required",
    }
}

closed_set! {
    /// Who signed: the name of the signature in its dictionary, in metrics and in logs.
    pub enum Label {
        /// The installation, with the key of the claim `ipk`.
        Install => "install",
        /// The account, with the key that the claim `mskid` names.
        Account => "account",
    }
}

impl Label {
    fn algorithm(self) -> &'static str {
        match self {
            Label::Install => "ecdsa-p256-sha256",
            Label::Account => "hmac-sha256",
        }
    }
}

closed_set! {
    /// How the verification of one request ended: a label of metrics and logs.
    pub enum SignatureResult {
        /// The signature is good.
        Valid => "valid",
        /// The signature is good for a client that deviates from the RFC in a known way.
        Compat => "compat",
        /// The token names no key.
        NoKey => "no_key",
        /// The token names a key and the request is not signed.
        Missing => "missing",
        /// The signature is not good.
        Invalid => "invalid",
        /// The signature was accepted before.
        Replayed => "replayed",
    }
}

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
    /// How long a signature is good after its creation, in seconds.
    pub max_age: u32,
    /// How far the clock of a device may be off, in seconds.
    pub skew: u32,
    /// Whether a body must have a digest.
    pub requires_digest: bool,
}

/// The outcome for one request.
#[derive(Debug)]
pub struct SignatureJudgement {
    /// How the verification ended.
    pub result: SignatureResult,
    /// Who had to sign, if the token names a key.
    pub label: Option<Label>,
    /// Why the signature is not accepted. Set for [`SignatureResult::NoKey`] too: only
    /// [`Mode::Required`] refuses that.
    pub rejection: Option<Rejection>,
    /// The hashes that the body must have, of a good signature.
    pub digest: Option<ContentDigest>,
    /// What a replay store remembers of a good signature.
    pub mark: Option<Mark>,
}

/// What a replay store remembers of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Identifies the signature, whichever of its two spellings was sent.
    pub id: SignatureId,
    /// The second at which the signature can no longer be good.
    pub until: u64,
    /// Whether two honest requests can have the same id: equal requests with an HMAC and no nonce.
    pub is_ambiguous: bool,
}

impl SignatureJudgement {
    fn no_key(rejection: Rejection) -> Self {
        let result = SignatureResult::NoKey;
        Self { result, label: None, rejection: Some(rejection), digest: None, mark: None }
    }

    fn refused(label: Label, rejection: Rejection) -> Self {
        let result = match rejection {
            Rejection::MissingMessageSignature => SignatureResult::Missing,
            _ => SignatureResult::Invalid,
        };
        Self { result, label: Some(label), rejection: Some(rejection), digest: None, mark: None }
    }

    /// The reason to refuse the request in this mode.
    pub fn refusal(&self, mode: Mode) -> Option<Rejection> {
        match (mode, self.result) {
            (Mode::Off | Mode::Observe, _) | (Mode::WhenKeyed, SignatureResult::NoKey) => None,
            (Mode::WhenKeyed | Mode::Required, _) => self.rejection,
        }
    }
}

/// The key that a token names, and who signs with it.
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

    /// The method, the whole target and the token must be signed.
    fn check_coverage(&self, input: &Input<'_>) -> Result<(), Rejection> {
        let target = [Component::Authority, Component::Path, Component::Query];
        let covers_target =
            input.covers(Component::TargetUri) || target.into_iter().all(|part| input.covers(part));
        let covers_rest =
            input.covers(Component::Method) && input.covers(Component::Field(&self.token_header));
        if covers_target && covers_rest { Ok(()) } else { Err(Rejection::InsufficientCoverage) }
    }

    /// The digest of the body, which must be signed if there is one.
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

    /// The second at which the signature can no longer be good.
    fn check_times(&self, input: &Input<'_>, now: UnixTime) -> Result<u64, Rejection> {
        // All numbers have at most 15 digits, which f64 and i64 hold exactly.
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

/// Verifies over the base of the RFC, and then over those of clients that deviate from it.
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
