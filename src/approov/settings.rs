//! The settings of token verification.

use http::HeaderName;

use super::Verifier;
use super::message_signing::MessageSigningSettings;

/// Which header carries the token, and how tokens are verified.
#[derive(Debug)]
pub struct ApproovSettings {
    /// The header that carries the token.
    pub token_header: HeaderName,
    /// Whether the token is forwarded to the origin.
    pub forward_token: bool,
    /// The headers that a token may be bound to, in order. The binding rules of `verifier` hold their
    /// number.
    pub binding_headers: Vec<HeaderName>,
    /// Keys and rules for all origins without their own.
    pub verifier: Verifier,
    /// Keys and rules of single origins by position; `None` if the origin uses `verifier`.
    pub origin_verifiers: Vec<Option<Verifier>>,
    /// Fields that tell the origin claims of a verified token: name and claim. No client may send them.
    pub forward_claims: Vec<(HeaderName, Box<str>)>,
    /// What message signatures must satisfy.
    pub message_signing: MessageSigningSettings,
}

impl ApproovSettings {
    /// Every verifier: that of the origins without their own rules, and the others.
    pub fn verifiers(&self) -> impl Iterator<Item = &Verifier> {
        std::iter::once(&self.verifier).chain(self.origin_verifiers.iter().flatten())
    }
}
