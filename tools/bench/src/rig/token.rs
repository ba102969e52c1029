//! Tokens as Approov signs them, with a secret of this tool, and message signatures as apps make them.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::Result;
use crate::load::{AUTHORITY, Request};

/// The account's secret. It is text because some peers cannot be configured with other bytes.
pub const SECRET: &str = "ddxJ5L_Cl-7zjH_vat05JiIGZfFs79h_gL4Qa2Acrg6uE6eBSGOpweBy3-5pPZ2u";

/// The value of the header that every token is bound to.
pub const AUTHORIZATION: &str = "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.user";

/// A day: longer than any run.
const LIFETIME: u64 = 24 * 3600;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Valid,
    /// Signed with another key.
    Invalid,
    /// Past its `exp`.
    Expired,
}

pub fn secret_base64() -> String {
    STANDARD.encode(SECRET)
}

/// A token of one device, bound to [`AUTHORIZATION`].
pub fn token(kind: Kind, device: u64) -> String {
    sign(kind, &claims(kind, device))
}

/// The request with a token that names a new key, and the signature (RFC 9421) of that key over method, target,
/// token and Authorization. It is sent over plain HTTP.
pub fn signed(request: Request) -> Result<Request> {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
    let public: PublicKeyX509Der<'_> = key.public_key().as_der()?;
    let mut claims = claims(Kind::Valid, 0);
    claims["ipk"] = STANDARD.encode(public.as_ref()).into();
    let token = sign(Kind::Valid, &claims);
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
        .with("Approov-Token", token)
        .with("Signature-Input", format!("install={parameters}"))
        .with("Signature", format!("install=:{signature}:")))
}

fn claims(kind: Kind, device: u64) -> Value {
    let now = unix_time();
    let expiry = if kind == Kind::Expired { now - LIFETIME } else { now + LIFETIME };
    json!({
        "did": STANDARD.encode(u128::from(device).to_be_bytes()),
        "exp": expiry,
        "ip": "1.2.3.4",
        "pay": STANDARD.encode(digest::digest(&digest::SHA256, AUTHORIZATION.as_bytes())),
    })
}

fn sign(kind: Kind, claims: &Value) -> String {
    let header = URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"HS256"}"#);
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let secret = if kind == Kind::Invalid { "another key" } else { SECRET };
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
