//! Tokens as Approov signs them, and forged ones.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The account secret of every gateway under test.
pub const SECRET_BASE64: &str =
    "RiybM2q0gjARYFyHvcHNe9qwQgAg3xuIAY6zbB5K4AGXt4ujlp7b7j8Ux5qMrXT9unuZe2W/P2izUmhQh4sTzQ==";

/// The token of an attested app.
pub fn valid() -> String {
    with_claims(json!({ "exp": in_seconds(3600), "did": "ExampleApproovTokenDID==", "arc": "0123456789" }))
}

/// A token that expired an hour ago.
pub fn expired() -> String {
    with_claims(json!({ "exp": in_seconds(-3600), "did": "ExampleApproovTokenDID==" }))
}

/// The token of an app that failed attestation: well-formed, signed with another key.
pub fn wrongly_signed() -> String {
    signed_with(&[7; 64], &json!({ "exp": in_seconds(3600) }))
}

/// A token that is bound to the concatenated values of the bound headers.
pub fn bound_to(values: &str) -> String {
    with_claims(json!({ "exp": in_seconds(3600), "pay": STANDARD.encode(Sha256::digest(values)) }))
}

/// A valid token of this device.
pub fn of_device(id: &str) -> String {
    with_claims(json!({ "exp": in_seconds(3600), "did": id }))
}

/// A token of this device that has expired.
pub fn expired_of_device(id: &str) -> String {
    with_claims(json!({ "exp": in_seconds(-60), "did": id }))
}

/// A correctly signed token with these claims.
pub fn with_claims(claims: Value) -> String {
    signed_with(&secret(), &claims)
}

/// A token signed with HS256 and this secret.
pub fn signed_with(secret: &[u8], claims: &Value) -> String {
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(secret)).unwrap()
}

/// A token with any header, signed with HS256 and the account secret.
pub fn with_header(header: &Value, claims: &Value) -> String {
    let signed = format!("{}.{}", segment(header), segment(claims));
    let key = EncodingKey::from_secret(&secret());
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{signed}.{signature}")
}

/// The time in `seconds` from now, in seconds since 1970.
pub fn in_seconds(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    i64::try_from(now).unwrap() + seconds
}

fn secret() -> Vec<u8> {
    STANDARD.decode(SECRET_BASE64).unwrap()
}

fn segment(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}
