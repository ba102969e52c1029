//! The outcome of the verification of a message signature.

use super::labels::{Label, Mode, SignatureResult};
use super::replay::SignatureId;
use crate::approov::{ContentDigest, Rejection};

/// The outcome of the verification of one request's signature.
#[derive(Debug)]
pub struct SignatureJudgement {
    /// The result, as metrics and logs show it.
    pub result: SignatureResult,
    /// The label of the signature that the token asks for. `None` if the token names no key.
    pub label: Option<Label>,
    /// Why the signature is not accepted. Set for [`SignatureResult::NoKey`] too: only
    /// [`Mode::Required`] refuses that.
    pub rejection: Option<Rejection>,
    /// The hashes that the body must have. Set for a good signature over a digest.
    pub digest: Option<ContentDigest>,
    /// The identity of a good signature, for the replay store.
    pub mark: Option<Mark>,
}

/// What a replay store remembers of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Identifies the signature. Both encodings of an ECDSA signature have the same id.
    pub id: SignatureId,
    /// The Unix time in seconds from which the signature is too old.
    pub until: u64,
    /// Whether two honest requests can have the same id: equal requests with an HMAC and no nonce.
    pub is_ambiguous: bool,
}

impl SignatureJudgement {
    pub(super) fn no_key(rejection: Rejection) -> Self {
        let result = SignatureResult::NoKey;
        Self { result, label: None, rejection: Some(rejection), digest: None, mark: None }
    }

    pub(super) fn refused(label: Label, rejection: Rejection) -> Self {
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
