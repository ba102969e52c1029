//! Token binding: a bound token is valid only together with certain header values.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::Rejection;
use super::json::Scalar;
use super::presented::{Presented, trim};
use super::status;

/// What to do with a token that has no binding claim although binding is required.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingClaim {
    /// The token is rejected.
    #[default]
    Reject,
    /// The token is accepted: tokens of Approov's failover service may lack the claim.
    Accept,
}

/// The rules for token binding.
#[derive(Clone, Debug)]
pub struct BindingRules {
    /// The claim with the hash. The default is `pay`.
    pub claim: String,
    /// How many headers are bound: at least one.
    pub headers: usize,
    /// What happens to a token without the binding claim.
    pub missing_claim: MissingClaim,
}

impl Default for BindingRules {
    fn default() -> Self {
        Self { claim: "pay".into(), headers: 1, missing_claim: MissingClaim::Reject }
    }
}

impl BindingRules {
    /// Compares the claim with the hash of the bound headers' values, in constant time.
    pub(super) fn check<'r>(
        &self,
        claim: Option<&Scalar<'_>>,
        bound: impl Fn(usize) -> Presented<'r>,
    ) -> Result<(), Rejection> {
        let claimed = match (claim, self.missing_claim) {
            (None, MissingClaim::Accept) => return Ok(()),
            (None, MissingClaim::Reject) => return Err(Rejection::MissingBindingClaim),
            (Some(claimed), _) => claimed,
        };
        let mut hash = Sha256::new();
        for index in 0..self.headers {
            let value = bound_value(bound(index))?;
            if status::stands_for_secret(value) {
                return Err(Rejection::StatusInBoundHeader);
            }
            hash.update(value);
        }
        let expected = encode(hash);
        match claimed {
            Scalar::Text(claimed) if verify_slices_are_equal(claimed.as_bytes(), &expected).is_ok() => Ok(()),
            _ => Err(Rejection::BindingMismatch),
        }
    }
}

/// The binding hash of the given header values, as Approov writes it into the claim: standard
/// base64 with padding of SHA-256 over the trimmed values, without a separator.
pub fn binding_hash<'v>(values: impl IntoIterator<Item = &'v str>) -> String {
    let mut hash = Sha256::new();
    for value in values {
        hash.update(trim(value.as_bytes()));
    }
    String::from_utf8_lossy(&encode(hash)).into_owned()
}

fn bound_value(presented: Presented<'_>) -> Result<&[u8], Rejection> {
    match presented {
        Presented::Missing => Err(Rejection::MissingBindingHeader),
        Presented::Repeated => Err(Rejection::RepeatedBindingHeader),
        Presented::Once(value) => match trim(value) {
            [] => Err(Rejection::MissingBindingHeader),
            value => Ok(value),
        },
    }
}

/// Base64 of a SHA-256 digest always has 44 characters.
fn encode(hash: Sha256) -> [u8; 44] {
    let mut encoded = [0; 44];
    let written = STANDARD.encode_slice(hash.finalize(), &mut encoded);
    debug_assert_eq!(written, Ok(44));
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_the_published_examples() {
        assert_eq!(
            binding_hash(["Bearer ExampleAuthToken=="]),
            "/bX+nDsJ4DvAZC00keV3f8p3jG1K6GlUDRhop8W8nPs="
        );
        assert_eq!(
            binding_hash(["Bearer myauth_token", " my-device-id\t"]),
            "71tnS3rSq2lanEWrKz4MoexiOMtv7w0fspfM8BAQKNU="
        );
    }
}
