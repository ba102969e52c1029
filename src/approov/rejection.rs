//! Why a request is not from a genuine app.

use crate::closed_set::closed_set;

closed_set! {
    /// Why verification failed. Metrics and logs use the label. The client is never told.
    ///
    /// The order is the order of the checks.
    pub enum Rejection {
        /// There is no token header.
        MissingToken => "missing_token",
        /// The token header has no value.
        EmptyToken => "empty_token",
        /// A status word of the client SDK (`NO_NETWORK`, `MITM_DETECTED`, …) in place of a token.
        ClientStatus => "client_status",
        /// There is more than one token header, or one with several tokens.
        RepeatedToken => "repeated_token",
        /// The token is longer than the configured maximum.
        OversizedToken => "oversized_token",
        /// Five segments: a JWE (RFC 7516 §7.1), which is not supported.
        EncryptedToken => "encrypted_token",
        /// Not a JWS in compact serialisation (RFC 7515 §7.1) with a JSON object as payload.
        MalformedToken => "malformed_token",
        /// The `alg` is absent, unknown, or not that of the key.
        UnsupportedAlgorithm => "unsupported_algorithm",
        /// No configured key has the `kid` of the token.
        UnknownKey => "unknown_key",
        /// A configured key set has not been loaded yet: a failure of the gateway, not of the client.
        KeysUnavailable => "keys_unavailable",
        /// No key verifies the signature: what an app that failed attestation sends.
        BadSignature => "bad_signature",
        /// A key for the tokens of failed attestations verifies the signature.
        FailedAttestation => "failed_attestation",
        /// `exp` is absent or not a number.
        MissingExpiry => "missing_expiry",
        /// The time in `exp` has passed.
        Expired => "expired",
        /// `nbf` is in the future or is not a number.
        NotYetValid => "not_yet_valid",
        /// `iss` is not in the configured list.
        WrongIssuer => "wrong_issuer",
        /// `aud` has no member in the configured list.
        WrongAudience => "wrong_audience",
        /// Binding is required and the token has no binding claim.
        MissingBindingClaim => "missing_binding_claim",
        /// A bound header is absent or empty.
        MissingBindingHeader => "missing_binding_header",
        /// A bound header was sent more than once.
        RepeatedBindingHeader => "repeated_binding_header",
        /// A bound header holds a status word of the client SDK in place of a secret.
        StatusInBoundHeader => "status_in_bound_header",
        /// The binding claim is not the hash of the bound headers.
        BindingMismatch => "binding_mismatch",
        /// A claim does not satisfy the route's `require_claims`.
        ClaimNotAllowed => "claim_not_allowed",
        /// The request is not signed.
        MissingMessageSignature => "missing_message_signature",
        /// A signature field is malformed, repeats a part, or uses what is not implemented.
        MalformedMessageSignature => "malformed_message_signature",
        /// The signature leaves out the method, a part of the target, the token or the digest.
        InsufficientCoverage => "insufficient_coverage",
        /// The signature was made too long ago.
        MessageSignatureExpired => "message_signature_expired",
        /// The signature was made in the future.
        MessageSignatureNotYetValid => "message_signature_not_yet_valid",
        /// The token names no key for signatures, an unknown one, or one that cannot be used.
        UnknownMessageSigningKey => "unknown_message_signing_key",
        /// The key that the token names did not make the signature over this request.
        BadMessageSignature => "bad_message_signature",
        /// The body has no digest of a known algorithm, and one is required.
        MissingContentDigest => "missing_content_digest",
        /// The body does not have the hash in the digest.
        ContentDigestMismatch => "content_digest_mismatch",
        /// The signature was accepted before.
        ReplayedSignature => "replayed_signature",
    }
}

impl Rejection {
    /// One sentence for an operator: what is wrong with the request.
    pub fn explanation(self) -> &'static str {
        match self {
            Rejection::MissingToken => "the request has no token header",
            Rejection::EmptyToken => "the token header is empty",
            Rejection::ClientStatus => "the app sent a status word because it could not get a token",
            Rejection::RepeatedToken => "there is more than one token",
            Rejection::OversizedToken => "the token is longer than max_token_length",
            Rejection::EncryptedToken => {
                "this is an encrypted token (JWE), which the gateway does not support; configure the API without -jwe"
            }
            Rejection::MalformedToken => "this is not a well-formed JWT",
            Rejection::UnsupportedAlgorithm => "the token's alg is not that of a configured key",
            Rejection::UnknownKey => "no configured key has the token's kid",
            Rejection::KeysUnavailable => {
                "a key set has not been loaded yet, and no other key fits the token"
            }
            Rejection::BadSignature => {
                "no configured key made this signature: the app failed attestation, or the account secret differs"
            }
            Rejection::FailedAttestation => {
                "Approov issued this token to an app that failed attestation; its arc claim says why"
            }
            Rejection::MissingExpiry => "the token has no usable exp claim",
            Rejection::Expired => "the token's exp has passed",
            Rejection::NotYetValid => "the token's nbf lies in the future or is not a number",
            Rejection::WrongIssuer => "the token's iss is not in the configured list",
            Rejection::WrongAudience => "the token's aud is not in the configured list",
            Rejection::MissingBindingClaim => "the token is not bound to a header, and binding is required",
            Rejection::MissingBindingHeader => "a header that the token must be bound to is absent or empty",
            Rejection::RepeatedBindingHeader => "a header that the token must be bound to was sent twice",
            Rejection::StatusInBoundHeader => {
                "a bound header holds a status word because the app could not get a secure string"
            }
            Rejection::BindingMismatch => "the token is bound to another value of the bound header",
            Rejection::ClaimNotAllowed => "a claim does not satisfy the route's require_claims",
            Rejection::MissingMessageSignature => "the request is not signed",
            Rejection::MalformedMessageSignature => {
                "Signature-Input or Signature is malformed, repeats a part, or uses what is not implemented"
            }
            Rejection::InsufficientCoverage => {
                "the signature does not cover the method, the whole target, the token and the digest"
            }
            Rejection::MessageSignatureExpired => {
                "the signature is older than its expires or max_age allows; compare the clocks"
            }
            Rejection::MessageSignatureNotYetValid => {
                "the signature's created lies in the future; compare the clocks"
            }
            Rejection::UnknownMessageSigningKey => {
                "the token names no key for signatures, one that is not configured, or one that is not a P-256 key"
            }
            Rejection::BadMessageSignature => {
                "the signature does not fit this request: it was changed on the way, or signed for another address"
            }
            Rejection::MissingContentDigest => "the body has no Content-Digest with sha-256 or sha-512",
            Rejection::ContentDigestMismatch => "the body does not have the hash that Content-Digest names",
            Rejection::ReplayedSignature => "the same signature was accepted before",
        }
    }
}

/// A set of rejection reasons.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rejections(u64);

impl Rejections {
    /// Whether the set has this reason.
    pub fn contain(self, rejection: Rejection) -> bool {
        self.0 & bit(rejection) != 0
    }
}

impl FromIterator<Rejection> for Rejections {
    fn from_iter<I: IntoIterator<Item = Rejection>>(rejections: I) -> Self {
        Self(rejections.into_iter().map(bit).fold(0, |all, one| all | one))
    }
}

fn bit(rejection: Rejection) -> u64 {
    1 << rejection as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_in_and_nothing_else() {
        let some = [Rejection::MissingToken, Rejection::BadSignature, Rejection::ReplayedSignature];
        let set: Rejections = some.into_iter().collect();
        for rejection in Rejection::ALL {
            assert_eq!(set.contain(rejection), some.contains(&rejection), "{rejection:?}");
        }
    }
}
