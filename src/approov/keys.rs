//! Keys that verify signatures, each pinned to one algorithm.

use std::fmt;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use hmac::{Hmac, KeyInit, Mac};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;
use sha2::Sha256;

use super::Secret;

/// A JWS signature algorithm (RFC 7518 §3.1) that Approov uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256 and the account secret: Approov's default.
    Hs256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Algorithm; 3] = [Algorithm::Hs256, Algorithm::Rs256, Algorithm::Es256];

    /// The name in a JOSE header and in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Hs256 => "HS256",
            Algorithm::Rs256 => "RS256",
            Algorithm::Es256 => "ES256",
        }
    }

    /// The algorithm of that exact name (RFC 7515 §4.1.1: names are case-sensitive).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// A key prepared once, for many verifications.
pub struct Key {
    id: Option<Box<str>>,
    material: Material,
}

enum Material {
    /// The HMAC state after the inner and outer pads, so that a token costs only its own blocks.
    Hs256(Hmac<Sha256>),
    Rs256(ParsedPublicKey),
    Es256(ParsedPublicKey),
}

impl Key {
    /// An HS256 key from the account secret.
    pub fn hs256(secret: &Secret) -> Self {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length (RFC 2104 §2)")]
        let state = Hmac::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
        Self { id: None, material: Material::Hs256(state) }
    }

    /// An RS256 key from a PEM `PUBLIC KEY` (SubjectPublicKeyInfo) of 2048 to 8192 bits.
    ///
    /// # Errors
    /// [`KeyError`] when the text is not such a key.
    pub fn rs256_from_pem(pem: &str) -> Result<Self, KeyError> {
        let der = public_key_der(pem)?;
        let key = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &der)
            .map_err(|_| KeyError::WrongType(Algorithm::Rs256))?;
        Ok(Self { id: None, material: Material::Rs256(key) })
    }

    /// An ES256 key from a PEM `PUBLIC KEY` (SubjectPublicKeyInfo) on the curve P-256.
    ///
    /// # Errors
    /// [`KeyError`] when the text is not such a key.
    pub fn es256_from_pem(pem: &str) -> Result<Self, KeyError> {
        let der = public_key_der(pem)?;
        let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &der)
            .map_err(|_| KeyError::WrongType(Algorithm::Es256))?;
        Ok(Self { id: None, material: Material::Es256(key) })
    }

    /// The same key, answering to tokens with this `kid` (and to tokens without one).
    pub fn with_id(mut self, id: impl Into<Box<str>>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The `kid` this key answers to; a key without one answers to any.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The one algorithm this key is used with, whatever a token says.
    pub fn algorithm(&self) -> Algorithm {
        match self.material {
            Material::Hs256(_) => Algorithm::Hs256,
            Material::Rs256(_) => Algorithm::Rs256,
            Material::Es256(_) => Algorithm::Es256,
        }
    }

    /// Whether `signature` over `message` is this key's; HMACs are compared in constant time.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Hs256(state) => {
                let mut mac = state.clone();
                mac.update(message);
                mac.verify_slice(signature).is_ok()
            }
            Material::Rs256(key) | Material::Es256(key) => key.verify_sig(message, signature).is_ok(),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm())
            .finish_non_exhaustive()
    }
}

fn public_key_der(pem: &str) -> Result<Vec<u8>, KeyError> {
    if pem.contains("PRIVATE KEY-----") {
        return Err(KeyError::Private);
    }
    SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes())
        .map(|der| der.to_vec())
        .map_err(|_| KeyError::NotPem)
}

/// Why a text is not a usable public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// No `-----BEGIN PUBLIC KEY-----` block.
    NotPem,
    /// A private key, which has no business on a gateway.
    Private,
    /// A public key, but not one for this algorithm.
    WrongType(Algorithm),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyError::NotPem => f.write_str("there is no PEM block \"BEGIN PUBLIC KEY\""),
            KeyError::Private => {
                f.write_str("this is a private key; the gateway verifies and needs the public key only")
            }
            KeyError::WrongType(Algorithm::Hs256) => f.write_str("HS256 takes a secret, not a public key"),
            KeyError::WrongType(Algorithm::Rs256) => {
                f.write_str("this is not an RSA public key of 2048 to 8192 bits, which RS256 needs")
            }
            KeyError::WrongType(Algorithm::Es256) => {
                f.write_str("this is not a public key on the curve P-256, which ES256 needs")
            }
        }
    }
}

impl std::error::Error for KeyError {}
