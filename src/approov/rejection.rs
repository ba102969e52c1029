//! Why a request is not from a genuine app.

/// Why verification failed. The set is closed: metrics and logs use [`Rejection::label`], and
/// nothing of it is ever told to the client.
///
/// The order is that in which the checks run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rejection {
    /// No token header.
    MissingToken,
    /// A token header without a value.
    EmptyToken,
    /// A status word of the client SDK (`NO_NETWORK`, `MITM_DETECTED`, …) in place of a token.
    ClientStatus,
    /// More than one token header, or several tokens in one.
    RepeatedToken,
    /// Longer than the configured maximum.
    OversizedToken,
    /// Not a JWS in compact serialisation (RFC 7515 §7.1) with a JSON object as payload.
    MalformedToken,
    /// The `alg` is absent, unknown, or not that of the key.
    UnsupportedAlgorithm,
    /// A `kid` that no configured key answers to.
    UnknownKey,
    /// No key verifies the signature: what an app that failed attestation sends.
    BadSignature,
    /// `exp` is absent or not a number.
    MissingExpiry,
    /// `exp` has been reached.
    Expired,
    /// `nbf` lies ahead, or is not a number.
    NotYetValid,
    /// `iss` is not in the configured list.
    WrongIssuer,
    /// `aud` has no member in the configured list.
    WrongAudience,
    /// Binding is required and the token has no binding claim.
    MissingBindingClaim,
    /// A bound header is absent or empty.
    MissingBindingHeader,
    /// A bound header was sent more than once.
    RepeatedBindingHeader,
    /// The binding claim is not the hash of the bound headers.
    BindingMismatch,
}

impl Rejection {
    /// Every rejection, in declaration order.
    pub const ALL: [Rejection; 18] = [
        Rejection::MissingToken,
        Rejection::EmptyToken,
        Rejection::ClientStatus,
        Rejection::RepeatedToken,
        Rejection::OversizedToken,
        Rejection::MalformedToken,
        Rejection::UnsupportedAlgorithm,
        Rejection::UnknownKey,
        Rejection::BadSignature,
        Rejection::MissingExpiry,
        Rejection::Expired,
        Rejection::NotYetValid,
        Rejection::WrongIssuer,
        Rejection::WrongAudience,
        Rejection::MissingBindingClaim,
        Rejection::MissingBindingHeader,
        Rejection::RepeatedBindingHeader,
        Rejection::BindingMismatch,
    ];

    /// The stable name used by metrics and logs.
    pub fn label(self) -> &'static str {
        match self {
            Rejection::MissingToken => "missing_token",
            Rejection::EmptyToken => "empty_token",
            Rejection::ClientStatus => "client_status",
            Rejection::RepeatedToken => "repeated_token",
            Rejection::OversizedToken => "oversized_token",
            Rejection::MalformedToken => "malformed_token",
            Rejection::UnsupportedAlgorithm => "unsupported_algorithm",
            Rejection::UnknownKey => "unknown_key",
            Rejection::BadSignature => "bad_signature",
            Rejection::MissingExpiry => "missing_expiry",
            Rejection::Expired => "expired",
            Rejection::NotYetValid => "not_yet_valid",
            Rejection::WrongIssuer => "wrong_issuer",
            Rejection::WrongAudience => "wrong_audience",
            Rejection::MissingBindingClaim => "missing_binding_claim",
            Rejection::MissingBindingHeader => "missing_binding_header",
            Rejection::RepeatedBindingHeader => "repeated_binding_header",
            Rejection::BindingMismatch => "binding_mismatch",
        }
    }

    /// One sentence for an operator: what is wrong with the request.
    pub fn explanation(self) -> &'static str {
        match self {
            Rejection::MissingToken => "the request has no token header",
            Rejection::EmptyToken => "the token header is empty",
            Rejection::ClientStatus => "the app sent a status word because it could not get a token",
            Rejection::RepeatedToken => "there is more than one token",
            Rejection::OversizedToken => "the token is longer than max_token_length",
            Rejection::MalformedToken => "this is not a well-formed JWT",
            Rejection::UnsupportedAlgorithm => "the token's alg is not that of a configured key",
            Rejection::UnknownKey => "no configured key has the token's kid",
            Rejection::BadSignature => {
                "no configured key made this signature: the app failed attestation, or the account secret differs"
            }
            Rejection::MissingExpiry => "the token has no usable exp claim",
            Rejection::Expired => "the token's exp has passed",
            Rejection::NotYetValid => "the token's nbf lies in the future or is not a number",
            Rejection::WrongIssuer => "the token's iss is not in the configured list",
            Rejection::WrongAudience => "the token's aud is not in the configured list",
            Rejection::MissingBindingClaim => "the token is not bound to a header, and binding is required",
            Rejection::MissingBindingHeader => "a header that the token must be bound to is absent or empty",
            Rejection::RepeatedBindingHeader => "a header that the token must be bound to was sent twice",
            Rejection::BindingMismatch => "the token is bound to another value of the bound header",
        }
    }
}

/// Some of the reasons.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rejections(u32);

impl Rejections {
    /// Whether this is one of them.
    pub fn contain(self, rejection: Rejection) -> bool {
        self.0 & bit(rejection) != 0
    }
}

impl FromIterator<Rejection> for Rejections {
    fn from_iter<I: IntoIterator<Item = Rejection>>(rejections: I) -> Self {
        Self(rejections.into_iter().map(bit).fold(0, |all, one| all | one))
    }
}

fn bit(rejection: Rejection) -> u32 {
    1 << rejection as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lists_each_rejection_once_and_in_order() {
        assert!(Rejection::ALL.is_sorted());
        for (index, rejection) in Rejection::ALL.into_iter().enumerate() {
            assert_eq!(rejection as usize, index);
        }
    }

    #[test]
    fn a_set_has_what_was_put_in_and_nothing_else() {
        let some = [Rejection::MissingToken, Rejection::BadSignature, Rejection::BindingMismatch];
        let set: Rejections = some.into_iter().collect();
        for rejection in Rejection::ALL {
            assert_eq!(set.contain(rejection), some.contains(&rejection), "{rejection:?}");
        }
    }
}
