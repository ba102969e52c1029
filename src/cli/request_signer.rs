//! Signs requests as apps do.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::CommandFailure;
use super::request::Request;
use crate::approov::message_signing::{Label, base_to_sign};
use crate::approov::{Presented, Secret};

/// What SDKs sign by default after method, target and token, if the request has the field.
const DEFAULT_FIELDS: [&str; 6] = [
    "approov-traceid",
    "approov-status",
    "authorization",
    "content-length",
    "content-type",
    "content-digest",
];

/// The key of an installation, or of the account.
pub(super) enum RequestSigner {
    Install(EcdsaKeyPair),
    Account(Box<hmac::Key>),
}

impl RequestSigner {
    /// A new key of an installation.
    pub fn install() -> Result<Self, CommandFailure> {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map(Self::Install)
            .map_err(|_| CommandFailure::Running("no key could be made".into()))
    }

    /// The key of the account.
    pub fn account(secret: &Secret) -> Self {
        Self::Account(Box::new(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())))
    }

    /// The claims of a token that names this key. `key_id` is the id of an account key.
    pub fn claims(&self, key_id: Option<&str>) -> Result<Vec<(String, Value)>, CommandFailure> {
        match self {
            Self::Install(pair) => {
                let der: PublicKeyX509Der<'_> = pair
                    .public_key()
                    .as_der()
                    .map_err(|_| CommandFailure::Running("the public key cannot be written".into()))?;
                Ok(vec![("ipk".into(), STANDARD.encode(der.as_ref()).into())])
            }
            Self::Account(_) => {
                let id = key_id.ok_or_else(|| {
                    CommandFailure::Usage("account needs --key-id, or the token in --header".into())
                })?;
                Ok(vec![("mskid".into(), id.into())])
            }
        }
    }

    /// The two signature fields of a request, good from `now` for so many seconds.
    pub fn sign(
        &self,
        request: &Request,
        token_header: &str,
        now: u64,
        expires: u64,
    ) -> Result<[(String, String); 2], CommandFailure> {
        let has = |name: &&&str| request.presented(name) != Presented::Missing;
        let mut components = vec!["@method", "@target-uri", token_header];
        components.extend(DEFAULT_FIELDS.iter().filter(has));
        let label = match self {
            Self::Install(_) => Label::Install,
            Self::Account(_) => Label::Account,
        };
        let (label, algorithm) = (label.label(), label.algorithm());
        let end = now.saturating_add(expires);
        let parameters = format!(";alg=\"{algorithm}\";created={now};expires={end}");
        let (input, base) = base_to_sign(&request.message(), &components, &parameters)
            .ok_or_else(|| CommandFailure::Running("the request cannot be signed".into()))?;
        let signature = STANDARD.encode(self.sign_base(&base)?);
        Ok([
            ("Signature-Input".into(), format!("{label}={input}")),
            ("Signature".into(), format!("{label}=:{signature}:")),
        ])
    }

    fn sign_base(&self, base: &[u8]) -> Result<Vec<u8>, CommandFailure> {
        match self {
            Self::Install(pair) => pair
                .sign(&SystemRandom::new(), base)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| CommandFailure::Running("the signature could not be made".into())),
            Self::Account(key) => Ok(hmac::sign(key, base).as_ref().to_vec()),
        }
    }
}
