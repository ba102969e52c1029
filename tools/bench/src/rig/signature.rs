//! Message signatures (RFC 9421) as apps make them.

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Result;
use super::token::{AUTHORIZATION, token_with_key, unix_time};
use crate::load::{AUTHORITY, Request};

/// The request with a token that names a new key, and the signature of that key over method, target, token
/// and Authorization. It is sent over plain HTTP.
pub fn signed(request: Request) -> Result<Request> {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
    let public: PublicKeyX509Der<'_> = key.public_key().as_der()?;
    let token = token_with_key(public.as_ref());
    let parameters = format!(
        r#"("@method" "@target-uri" "approov-token" "authorization");alg="ecdsa-p256-sha256";created={}"#,
        unix_time()
    );
    let (method, path) = (request.method, &request.path);
    let base = format!(
        "\"@method\": {method}\n\"@target-uri\": http://{AUTHORITY}{path}\n\"approov-token\": {token}\n\
         \"authorization\": {AUTHORIZATION}\n\"@signature-params\": {parameters}"
    );
    let signature = STANDARD.encode(key.sign(&SystemRandom::new(), base.as_bytes())?);
    Ok(request
        .without("Approov-Token")
        .with("Approov-Token", token)
        .with("Signature-Input", format!("install={parameters}"))
        .with("Signature", format!("install=:{signature}:")))
}
