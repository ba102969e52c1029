//! The signature algorithms of tokens.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, VerificationAlgorithm,
};

use crate::closed_set::closed_set;

closed_set! {
    /// A JWS signature algorithm (RFC 7518 §3.1). The label is the name in a JOSE header, where
    /// letter case counts, and in the configuration.
    pub enum Algorithm {
        /// HMAC with SHA-256: Approov's default, with the account secret.
        Hs256 => "HS256",
        /// HMAC with SHA-384.
        Hs384 => "HS384",
        /// HMAC with SHA-512.
        Hs512 => "HS512",
        /// RSASSA-PKCS1-v1_5 with SHA-256.
        Rs256 => "RS256",
        /// RSASSA-PKCS1-v1_5 with SHA-384.
        Rs384 => "RS384",
        /// RSASSA-PKCS1-v1_5 with SHA-512.
        Rs512 => "RS512",
        /// ECDSA on P-256 with SHA-256.
        Es256 => "ES256",
        /// ECDSA on P-384 with SHA-384.
        Es384 => "ES384",
        /// ECDSA on P-521 with SHA-512.
        Es512 => "ES512",
        /// RSASSA-PSS with SHA-256.
        Ps256 => "PS256",
        /// RSASSA-PSS with SHA-384.
        Ps384 => "PS384",
        /// RSASSA-PSS with SHA-512.
        Ps512 => "PS512",
    }
}

/// The type of the key that an algorithm needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// A secret that both sides share.
    Secret,
    /// A public key for RSA.
    Rsa,
    /// A public key on an elliptic curve.
    Ec,
}

impl Algorithm {
    /// The type of key that this algorithm needs.
    pub fn key_type(self) -> KeyType {
        match self {
            Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => KeyType::Secret,
            Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512
            | Algorithm::Ps256
            | Algorithm::Ps384
            | Algorithm::Ps512 => KeyType::Rsa,
            Algorithm::Es256 | Algorithm::Es384 | Algorithm::Es512 => KeyType::Ec,
        }
    }

    /// The curve of the key: its name and the bytes of one coordinate.
    pub(super) fn curve(self) -> Option<(&'static str, usize)> {
        match self {
            Algorithm::Es256 => Some(("P-256", 32)),
            Algorithm::Es384 => Some(("P-384", 48)),
            Algorithm::Es512 => Some(("P-521", 66)),
            _ => None,
        }
    }

    /// The fewest bytes of a secret: the size of the hash (RFC 7518 §3.2).
    pub(super) fn min_secret(self) -> usize {
        match self {
            Algorithm::Hs384 => 48,
            Algorithm::Hs512 => 64,
            _ => 32,
        }
    }

    /// The verification with a public key. `None` if the algorithm takes a secret.
    pub(super) fn verification(self) -> Option<&'static dyn VerificationAlgorithm> {
        match self {
            Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => None,
            Algorithm::Rs256 => Some(&RSA_PKCS1_2048_8192_SHA256),
            Algorithm::Rs384 => Some(&RSA_PKCS1_2048_8192_SHA384),
            Algorithm::Rs512 => Some(&RSA_PKCS1_2048_8192_SHA512),
            Algorithm::Es256 => Some(&ECDSA_P256_SHA256_FIXED),
            Algorithm::Es384 => Some(&ECDSA_P384_SHA384_FIXED),
            Algorithm::Es512 => Some(&ECDSA_P521_SHA512_FIXED),
            Algorithm::Ps256 => Some(&RSA_PSS_2048_8192_SHA256),
            Algorithm::Ps384 => Some(&RSA_PSS_2048_8192_SHA384),
            Algorithm::Ps512 => Some(&RSA_PSS_2048_8192_SHA512),
        }
    }
}
