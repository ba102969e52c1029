//! stub until the command lands
use crate::approov::{Secret, binding_hash};
use jsonwebtoken::{EncodingKey, Header, encode};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
/// stub
#[derive(Clone, Copy, Debug, Default)]
pub enum TokenType {
    #[default]
    Valid,
    Invalid,
    Expired,
}
/// stub
#[derive(Debug, Default)]
pub struct Request {
    pub kind: TokenType,
    pub bind: Vec<String>,
    pub ttl: Duration,
}
/// stub
pub fn mint(
    secret: &Secret,
    request: &Request,
    now: SystemTime,
) -> Result<String, jsonwebtoken::errors::Error> {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let exp = match request.kind {
        TokenType::Expired => now - 60,
        _ => now + request.ttl.as_secs(),
    };
    let mut claims = serde_json::json!({"exp": exp, "ip": "1.2.3.4", "did": "ExampleApproovTokenDID=="});
    if !request.bind.is_empty() {
        claims["pay"] = binding_hash(request.bind.iter().map(String::as_str)).into();
    }
    let mut key = secret.as_bytes().to_vec();
    if matches!(request.kind, TokenType::Invalid) {
        key.reverse();
    }
    encode(&Header::default(), &claims, &EncodingKey::from_secret(&key))
}
