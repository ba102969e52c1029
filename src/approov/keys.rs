//! Keys that verify the signatures of tokens, each pinned to one algorithm.

use std::fmt;

use aws_lc_rs::signature::ParsedPublicKey;
use hmac::{Hmac, KeyInit, Mac};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;
use sha2::{Digest, Sha256, Sha384, Sha512};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::algorithm::{Algorithm, KeyType};
use super::secret::Secret;
use crate::closed_set::closed_set;

closed_set! {
    /// What a token that a key verifies proves.
    #[derive(Default)]
    pub enum Role {
        /// The app passed attestation.
        #[default]
        Attested => "attested",
        /// The app failed attestation: the token explains a refusal and is never accepted.
        FailedAttestation => "failed_attestation",
    }
}

/// A key prepared once, for many verifications.
pub struct Key {
    id: Option<Box<str>>,
    algorithm: Algorithm,
    role: Role,
    material: Material,
}

/// The prepared key. An HMAC state has already hashed the key, so that a token costs only its own blocks.
enum Material {
    Hs256(Hmac<Sha256>),
    Hs384(Hmac<Sha384>),
    Hs512(Hmac<Sha512>),
    Public(PreparedPublicKey),
}

struct PreparedPublicKey {
    key: ParsedPublicKey,
    /// SHA-256 of algorithm and key.
    fingerprint: [u8; 32],
}

impl Key {
    /// An HS256 key from the account secret.
    pub fn hs256(secret: &Secret) -> Self {
        Self::of(Algorithm::Hs256, Material::Hs256(hmac_state(secret)))
    }

    /// A key for one of the HMAC algorithms.
    ///
    /// # Errors
    /// [`KeyError`] if the algorithm takes a public key, or if the secret is shorter than the hash.
    pub fn from_secret(algorithm: Algorithm, secret: &Secret) -> Result<Self, KeyError> {
        let material = match algorithm {
            Algorithm::Hs256 => Material::Hs256(hmac_state(secret)),
            Algorithm::Hs384 => Material::Hs384(hmac_state(secret)),
            Algorithm::Hs512 => Material::Hs512(hmac_state(secret)),
            _ => return Err(KeyError::WrongType(algorithm)),
        };
        if secret.as_bytes().len() < algorithm.min_secret() {
            return Err(KeyError::ShortSecret(algorithm));
        }
        Ok(Self::of(algorithm, material))
    }

    /// A key from a PEM `PUBLIC KEY` (SubjectPublicKeyInfo): RSA with 2048 to 8192 bits, or on the
    /// algorithm's curve.
    ///
    /// # Errors
    /// [`KeyError`] if the text is not such a key.
    pub fn from_pem(algorithm: Algorithm, pem: &str) -> Result<Self, KeyError> {
        if pem.contains("PRIVATE KEY-----") {
            return Err(KeyError::Private);
        }
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).map_err(|_| KeyError::NotPem)?;
        // The library checks the length of an RSA key only when it verifies.
        let is_short = algorithm.key_type() == KeyType::Rsa && rsa_bits(&der).is_none_or(|bits| bits < 2048);
        if is_short {
            return Err(KeyError::WrongType(algorithm));
        }
        Self::from_public_bytes(algorithm, &der)
    }

    /// A key from a SubjectPublicKeyInfo, an RSAPublicKey (RFC 8017 §A.1.1), or an uncompressed point.
    pub(super) fn from_public_bytes(algorithm: Algorithm, bytes: &[u8]) -> Result<Self, KeyError> {
        let verification = algorithm.verification().ok_or(KeyError::WrongType(algorithm))?;
        let key = ParsedPublicKey::new(verification, bytes).map_err(|_| KeyError::WrongType(algorithm))?;
        let name = algorithm.label().as_bytes();
        let fingerprint = Sha256::new().chain_update(name).chain_update([0]).chain_update(bytes).finalize();
        Ok(Self::of(algorithm, Material::Public(PreparedPublicKey { key, fingerprint: fingerprint.into() })))
    }

    fn of(algorithm: Algorithm, material: Material) -> Self {
        Self { id: None, algorithm, role: Role::Attested, material }
    }

    /// Gives the key an id. Then it verifies tokens with this `kid`, and tokens without one.
    pub fn with_id(mut self, id: impl Into<Box<str>>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Gives the key another role.
    pub fn with_role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// The `kid` that selects this key. A key without an id serves any `kid`.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The one algorithm of this key, whatever a token says.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// What a token that this key verifies proves about its app.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether `signature` over `message` was made with this key. HMACs are compared in constant time.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Hs256(state) => verifies(state, message, signature),
            Material::Hs384(state) => verifies(state, message, signature),
            Material::Hs512(state) => verifies(state, message, signature),
            Material::Public(public) => public.key.verify_sig(message, signature).is_ok(),
        }
    }

    /// Tells public keys apart, whatever their ids are. `None` for secrets.
    pub(super) fn fingerprint(&self) -> Option<&[u8; 32]> {
        match &self.material {
            Material::Hs256(_) | Material::Hs384(_) | Material::Hs512(_) => None,
            Material::Public(public) => Some(&public.fingerprint),
        }
    }
}

fn rsa_bits(spki: &[u8]) -> Option<usize> {
    let (_, spki) = SubjectPublicKeyInfo::from_der(spki).ok()?;
    match spki.parsed().ok()? {
        PublicKey::RSA(key) => Some(key.key_size()),
        _ => None,
    }
}

fn verifies<M: Mac + Clone>(state: &M, message: &[u8], signature: &[u8]) -> bool {
    let mut mac = state.clone();
    mac.update(message);
    mac.verify_slice(signature).is_ok()
}

/// An HMAC state that has already hashed the key.
#[expect(clippy::expect_used, reason = "HMAC takes keys of any length (RFC 2104 §2)")]
pub(super) fn hmac_state<M: KeyInit>(secret: &Secret) -> M {
    M::new_from_slice(secret.as_bytes()).expect("a key of any length")
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// Why a text is not a usable key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// There is no `-----BEGIN PUBLIC KEY-----` block.
    NotPem,
    /// The text is a private key. The gateway only verifies.
    Private,
    /// The type of the key is not the one that this algorithm needs.
    WrongType(Algorithm),
    /// The secret is shorter than the hash of the algorithm.
    ShortSecret(Algorithm),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            KeyError::NotPem => f.write_str("there is no PEM block \"BEGIN PUBLIC KEY\""),
            KeyError::Private => {
                f.write_str("this is a private key; the gateway verifies and needs the public key only")
            }
            KeyError::WrongType(algorithm) => {
                let name = algorithm.label();
                match (algorithm.key_type(), algorithm.curve()) {
                    (KeyType::Secret, _) => write!(f, "{name} takes a secret, not a public key"),
                    (_, Some((curve, _))) => {
                        write!(f, "this is not a public key on the curve {curve}, which {name} needs")
                    }
                    (_, None) => {
                        write!(f, "this is not an RSA public key of 2048 to 8192 bits, which {name} needs")
                    }
                }
            }
            KeyError::ShortSecret(algorithm) => {
                let (name, least) = (algorithm.label(), algorithm.min_secret());
                write!(f, "the secret is too short for {name}, which needs at least {least} bytes")
            }
        }
    }
}

impl std::error::Error for KeyError {}
