//! A certificate chain and the private key that belongs to it.

use std::fmt;
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls::{Error, InconsistentKeys};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroize;

use super::Certificate;

/// A certificate chain: the server's own certificate first, then the issuer of each. The root may be
/// missing.
#[derive(Clone, Debug)]
pub struct CertificateChain {
    der: Vec<CertificateDer<'static>>,
    /// The certificates of `der`, parsed. Never empty.
    certificates: Vec<Certificate>,
}

/// Why a text cannot be used as a certificate chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainError {
    /// A part of the text is not PEM.
    Pem(String),
    /// The text has no certificate.
    Empty,
    /// The certificate with this number, counted from 1, cannot be read.
    Malformed(usize),
    /// The certificate with this number, counted from 1, was not issued by the next one.
    Unlinked(usize),
}

impl fmt::Display for ChainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChainError::Pem(error) => write!(f, "it is not PEM: {error}"),
            ChainError::Empty => f.write_str("it has no certificate"),
            ChainError::Malformed(number) => write!(f, "its certificate {number} cannot be read"),
            ChainError::Unlinked(number) => {
                write!(f, "its certificate {number} was not issued by its certificate {}", number + 1)
            }
        }
    }
}

impl std::error::Error for ChainError {}

impl CertificateChain {
    /// Reads the certificates of a PEM text. Other parts of the text are ignored.
    ///
    /// # Errors
    /// [`ChainError`] if there is no certificate, or if a certificate is not followed by its issuer.
    pub fn from_pem(pem: &[u8]) -> Result<Self, ChainError> {
        let der: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        Self::from_der(der.map_err(|error| ChainError::Pem(error.to_string()))?)
    }

    fn from_der(der: Vec<CertificateDer<'static>>) -> Result<Self, ChainError> {
        let read = |(index, der): (usize, &CertificateDer<'_>)| {
            Certificate::from_der(der).map_err(|_| ChainError::Malformed(index + 1))
        };
        let certificates: Vec<_> = der.iter().enumerate().map(read).collect::<Result<_, _>>()?;
        if certificates.is_empty() {
            return Err(ChainError::Empty);
        }
        let unlinked = certificates.windows(2).position(|pair| !pair[0].is_issued_by(&pair[1]));
        match unlinked {
            Some(index) => Err(ChainError::Unlinked(index + 1)),
            None => Ok(Self { der, certificates }),
        }
    }

    /// The certificates in DER, the server's own first.
    pub fn der(&self) -> &[CertificateDer<'static>] {
        &self.der
    }

    /// The certificates, the server's own first. Never empty.
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// Whether an intermediate certificate seems to be missing: the chain has one certificate, which
    /// contains the address of its issuer's. Some clients, Android among them, do not fetch it.
    pub fn lacks_issuer(&self) -> bool {
        matches!(&self.certificates[..], [own] if own.names_its_issuer && !own.is_self_issued())
    }
}

/// A private key that signs. `Debug` does not print it.
#[derive(Clone)]
pub struct PrivateKey(Arc<dyn SigningKey>);

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(not shown)")
    }
}

/// Why a text cannot be used as a private key. The error repeats nothing of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrivateKeyError {
    /// The text is not PEM.
    Pem,
    /// The text has no private key.
    Missing,
    /// The text has several private keys.
    Several,
    /// The key is encrypted with a passphrase.
    Encrypted,
    /// The key is damaged, or its kind or size is not supported.
    Unusable,
}

impl fmt::Display for PrivateKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PrivateKeyError::Pem => "it is not PEM",
            PrivateKeyError::Missing => "it has no private key",
            PrivateKeyError::Several => "it has several private keys",
            PrivateKeyError::Encrypted => "its private key is encrypted with a pass phrase",
            PrivateKeyError::Unusable => "its private key is damaged, or of an unsupported kind or size",
        })
    }
}

impl std::error::Error for PrivateKeyError {}

impl PrivateKey {
    /// Reads the one private key of a PEM text, in PKCS#8, PKCS#1 or SEC1: ECDSA with P-256, P-384 or P-521,
    /// RSA from 2048 bits, Ed25519. Other parts of the text are ignored.
    ///
    /// # Errors
    /// [`PrivateKeyError`] if there is no such key, or more than one.
    pub fn from_pem(pem: &[u8]) -> Result<Self, PrivateKeyError> {
        let mut key = Self::der_from_pem(pem)?;
        let signing = any_supported_type(&key);
        key.zeroize();
        signing.map(Self).map_err(|_| PrivateKeyError::Unusable)
    }

    /// The one private key of a PEM text in DER, for libraries that do not take a [`PrivateKey`].
    ///
    /// # Errors
    /// [`PrivateKeyError`] if there is no key, or more than one.
    pub fn der_from_pem(pem: &[u8]) -> Result<PrivateKeyDer<'static>, PrivateKeyError> {
        // PKCS#8 and the older format both contain this word if the key is encrypted.
        let is_encrypted = pem.windows(9).any(|window| window == b"ENCRYPTED");
        let mut keys = PrivateKeyDer::pem_slice_iter(pem);
        let key = match keys.next() {
            Some(Ok(key)) => key,
            _ if is_encrypted => return Err(PrivateKeyError::Encrypted),
            Some(Err(_)) => return Err(PrivateKeyError::Pem),
            None => return Err(PrivateKeyError::Missing),
        };
        let (mut key, error) = match keys.next() {
            None => return Ok(key),
            Some(Ok(mut other)) => {
                other.zeroize();
                (key, PrivateKeyError::Several)
            }
            Some(Err(_)) => (key, PrivateKeyError::Pem),
        };
        key.zeroize();
        Err(error)
    }

    /// The SubjectPublicKeyInfo of the public key, in DER.
    pub fn public_key_info(&self) -> Option<Vec<u8>> {
        self.0.public_key().map(|info| info.to_vec())
    }
}

/// A chain and its private key, with which a server or a client proves its identity.
#[derive(Clone, Debug)]
pub struct Identity {
    chain: CertificateChain,
    key: Arc<CertifiedKey>,
}

/// Why a chain and a key do not form an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityError {
    /// The key does not belong to any of the certificates.
    KeyMismatch,
    /// The key belongs to an issuer: the certificate with this number, counted from 1.
    KeyOfIssuer(usize),
    /// rustls does not support the certificate.
    Unusable(String),
}

/// Identities are equal if their chains are equal: a public key has only one private key.
impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.chain.der == other.chain.der
    }
}

impl Eq for Identity {}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IdentityError::KeyMismatch => f.write_str("the private key does not fit the certificate"),
            IdentityError::KeyOfIssuer(number) => {
                write!(f, "the private key is that of certificate {number} of the chain")
            }
            IdentityError::Unusable(error) => write!(f, "the certificate cannot be used: {error}"),
        }
    }
}

impl std::error::Error for IdentityError {}

impl Identity {
    /// Combines a chain with its key.
    ///
    /// # Errors
    /// [`IdentityError`] if the key does not belong to the first certificate.
    pub fn new(chain: CertificateChain, key: PrivateKey) -> Result<Self, IdentityError> {
        let certified = CertifiedKey::new(chain.der.clone(), key.0.clone());
        match certified.keys_match() {
            Ok(()) => Ok(Self { chain, key: Arc::new(certified) }),
            Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch | InconsistentKeys::Unknown)) => {
                let pin = key.public_key_info().map(|info| super::Pin::of(&info));
                let fitting = chain.certificates.iter().position(|certificate| Some(certificate.pin) == pin);
                Err(fitting.map_or(IdentityError::KeyMismatch, |index| IdentityError::KeyOfIssuer(index + 1)))
            }
            Err(error) => Err(IdentityError::Unusable(error.to_string())),
        }
    }

    /// The server's own certificate, the first of the chain.
    pub fn certificate(&self) -> &Certificate {
        &self.chain.certificates[0]
    }

    /// The certificates of this identity.
    pub fn chain(&self) -> &CertificateChain {
        &self.chain
    }

    /// The identity as a client certificate, sent to every server that asks for one.
    pub fn for_clients(&self) -> Arc<dyn ResolvesClientCert> {
        Arc::new(SingleCertAndKey::from((*self.key).clone()))
    }

    pub(super) fn certified_key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }
}
