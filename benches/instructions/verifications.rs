//! Verifications of which the instructions are counted, each in a process of its own. The keys and the
//! signatures are always the same, because the count of an ECDSA verification depends on their bits.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use approov_gateway::approov::message_signing::{Message, MessageSigningSettings, SignatureResult};
use approov_gateway::approov::{Algorithm, Key, Presented, Strategy, UnixTime, VerifiedSignatures, Verifier};
use approov_gateway::cli::token::TokenKind;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::tokens::{ES256, RS256};
use crate::{AUTHORIZATION, secret, token};

/// Approov's published requests, each with its signature.
const VECTORS: &str = include_str!("../../tests/vectors/message-signing.json");

/// The names of all verifications, in the order of the report.
pub const NAMES: [&str; 7] = [
    "verification of HS256 with binding",
    "verification of ES256",
    "verification of ES256, seen before",
    "verification of RS256",
    "verification of RS256, seen before",
    INSTALL,
    BARE,
];

/// A message signature of an installation, of a request whose token is verified.
pub const INSTALL: &str = "message signature";

/// The library's verification of the same signature, with a key that is parsed already.
pub const BARE: &str = "bare P-256 verification";

/// One verification of this name. It returns whether the verdict is right.
pub fn prepare(name: &str) -> Box<dyn Fn() -> bool> {
    match name {
        "verification of ES256" => of_token(Algorithm::Es256, ES256, false),
        "verification of ES256, seen before" => of_token(Algorithm::Es256, ES256, true),
        "verification of RS256" => of_token(Algorithm::Rs256, RS256, false),
        "verification of RS256, seen before" => of_token(Algorithm::Rs256, RS256, true),
        INSTALL => of_message(),
        BARE => bare(),
        "verification of HS256 with binding" => of_account_token(),
        _ => panic!("there is no verification {name:?}"),
    }
}

fn of_account_token() -> Box<dyn Fn() -> bool> {
    let token = token(TokenKind::Valid);
    let verifier = Verifier::new(vec![Key::hs256(&secret())]);
    let now = UnixTime::since_epoch(SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970"));
    Box::new(move || {
        let presented = Presented::Once(std::hint::black_box(token.as_bytes()));
        let bound = |_| Presented::Once(AUTHORIZATION.as_bytes());
        verifier.verify(Strategy::TokenBinding, presented, bound, now).rejection.is_none()
    })
}

fn of_token(
    algorithm: Algorithm,
    [pem, token]: [&'static str; 2],
    is_remembered: bool,
) -> Box<dyn Fn() -> bool> {
    let key = Key::from_pem(algorithm, pem).expect("a public key").with_id("k1");
    let verifier = Verifier::new(vec![key]);
    let verified = Arc::<VerifiedSignatures>::default();
    let verifier = if is_remembered { verifier.with_verified_signatures(verified) } else { verifier };
    let now = UnixTime::since_epoch(Duration::from_secs(2_000_000_000));
    Box::new(move || {
        let presented = Presented::Once(std::hint::black_box(token.as_bytes()));
        verifier.verify(Strategy::Token, presented, |_| Presented::Missing, now).rejection.is_none()
    })
}

/// The second published request: a GET with `@method`, `@target-uri` and the token.
fn vector() -> Value {
    let vectors: Vec<Value> = serde_json::from_str(VECTORS).expect("the file is JSON");
    vectors.into_iter().nth(1).expect("a second request")
}

fn of_message() -> Box<dyn Fn() -> bool> {
    let vector = vector();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let uri = text(&vector["target_uri"]);
    let (authority, target) =
        uri.strip_prefix("http://").and_then(|rest| rest.split_once('/')).expect("a URI");
    let (authority, target) = (authority.to_owned(), format!("/{target}"));
    let fields: Vec<(String, Vec<u8>)> = ["Approov-Token", "Signature-Input", "Signature"]
        .map(|name| (name.to_lowercase(), text(&vector["headers"][name]).into_bytes()))
        .into();
    let rules = MessageSigningSettings::default().rules;
    let now = UnixTime::since_epoch(Duration::from_secs(1_744_292_755));
    let claims = signing_claims(&vector);
    Box::new(move || {
        let message = Message {
            method: b"GET",
            is_secure: false,
            authority: authority.as_bytes(),
            target: target.as_bytes(),
            fields: std::hint::black_box(&fields),
            has_body: false,
        };
        rules.verify(&message, &claims, now).result == SignatureResult::Valid
    })
}

/// The claims of a token with the key of the request.
fn signing_claims(vector: &Value) -> approov_gateway::approov::SigningClaims {
    let claims = serde_json::json!({ "exp": 4_000_000_000_u64, "ipk": vector["public_key_spki_base64"] });
    let key = jsonwebtoken::EncodingKey::from_secret(secret().as_bytes());
    let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).expect("a token");
    let verifier = Verifier::new(vec![Key::hs256(&secret())]);
    let now = UnixTime::since_epoch(Duration::from_secs(1_744_292_755));
    let judged =
        verifier.verify(Strategy::Token, Presented::Once(token.as_bytes()), |_| Presented::Missing, now);
    judged.accepted.expect("an accepted token").payload.signing()
}

fn bare() -> Box<dyn Fn() -> bool> {
    let vector = vector();
    let decoded = |text: &str| STANDARD.decode(text).expect("base64");
    let spki = decoded(vector["public_key_spki_base64"].as_str().expect("text"));
    let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &spki).expect("a key");
    let base = vector["signature_base"].as_str().expect("text").to_owned().into_bytes();
    let field = vector["headers"]["Signature"].as_str().expect("text");
    let signature = decoded(field.split(':').nth(1).expect("a byte sequence"));
    Box::new(move || key.verify_sig(std::hint::black_box(&base), &signature).is_ok())
}
