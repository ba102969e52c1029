//! Message signatures: requests signed as apps sign them, judged by the library.

mod coverage;
mod flipped;
mod rules;
mod spellings;
mod structured;
mod vectors;

use approov_gateway::approov::message_signing::{AccountKey, Message, Rules, SignatureJudgement};
use approov_gateway::approov::{Key, Presented, Secret, SigningClaims, Strategy, UnixTime, Verifier};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::time::Duration;

use crate::core::tokens::{SECRET, secret};
use crate::harness::tokens;

/// The time of every signature here.
pub const CREATED: u64 = 1_744_292_750;
pub const PARAMETERS: &str = ";created=1744292750;expires=1744292765";
pub const ACCOUNT_KEY: &[u8] = b"j3AWy6oFGHg38nYTm9_KBhZUyDvLXyKfedt8bJGQxzos3C5_QXpgpy3J7ykrTS6G";
pub const TOKEN: &str = "a.token.here";

/// The target of [`request`].
pub const URI: &str = "https://api.example.com/v1/x?a=1";

/// A request without a signature.
pub fn request() -> Request {
    Request::get("api.example.com", "/v1/x?a=1")
}

pub fn at(seconds: u64) -> UnixTime {
    UnixTime::since_epoch(Duration::from_secs(seconds))
}

pub fn rules() -> Rules {
    let key = Secret::from_bytes(ACCOUNT_KEY).expect("long enough");
    Rules {
        token_header: "approov-token".into(),
        account_keys: vec![AccountKey::new("j3AWy6", &key)],
        public_origins: Vec::new(),
        max_age: 60,
        skew: 60,
        requires_digest: false,
    }
}

/// The claims of a verified token.
pub fn claims(mut claims: Value) -> SigningClaims {
    claims["exp"] = json!(CREATED + 1_000_000);
    let token = tokens::signed_with(SECRET, &claims);
    let verifier = Verifier::new(vec![Key::hs256(&secret(SECRET))]);
    let presented = Presented::Once(token.as_bytes());
    let verdict = verifier.verify(Strategy::Token, presented, |_| Presented::Missing, at(CREATED));
    verdict.accepted.expect("a good token").payload.signing()
}

/// The key that signs.
pub enum Signer {
    Install(EcdsaKeyPair),
    Account(Vec<u8>),
}

impl Signer {
    pub fn install() -> Self {
        Signer::Install(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key"))
    }

    pub fn account() -> Self {
        Signer::Account(ACCOUNT_KEY.to_vec())
    }

    pub fn label(&self) -> &'static str {
        match self {
            Signer::Install(_) => "install",
            Signer::Account(_) => "account",
        }
    }

    pub fn ipk(&self) -> String {
        match self {
            Signer::Install(pair) => {
                let der: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("a public key");
                STANDARD.encode(der.as_ref())
            }
            Signer::Account(_) => panic!("an account has no installation key"),
        }
    }

    /// Claims that name this signer's key.
    pub fn claims(&self) -> SigningClaims {
        claims(match self {
            Signer::Install(_) => json!({ "ipk": self.ipk() }),
            Signer::Account(_) => json!({ "mskid": "j3AWy6" }),
        })
    }

    pub fn sign(&self, base: &[u8]) -> Vec<u8> {
        match self {
            Signer::Install(pair) => {
                pair.sign(&SystemRandom::new(), base).expect("a signature").as_ref().to_vec()
            }
            Signer::Account(key) => {
                let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
                mac.update(base);
                mac.finalize().into_bytes().to_vec()
            }
        }
    }
}

/// A request, changed by the tests before it is judged.
#[derive(Clone)]
pub struct Request {
    pub method: String,
    pub is_secure: bool,
    pub authority: String,
    pub target: String,
    pub fields: Vec<(String, Vec<u8>)>,
    pub has_body: bool,
}

impl Request {
    pub fn get(authority: &str, target: &str) -> Self {
        Self {
            method: "GET".into(),
            is_secure: true,
            authority: authority.into(),
            target: target.into(),
            fields: vec![("Approov-Token".into(), TOKEN.into())],
            has_body: false,
        }
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(other, _)| other != name);
        self
    }

    /// Signs these lines, component and value. The text of the base is made here, not by the library.
    pub fn signed(self, signer: &Signer, lines: &[(&str, &str)]) -> Self {
        self.signed_with(signer, lines, PARAMETERS)
    }

    pub fn signed_with(self, signer: &Signer, lines: &[(&str, &str)], parameters: &str) -> Self {
        let (input, signature) = signature(signer, lines, parameters);
        let label = signer.label();
        self.with("Signature-Input", &format!("{label}={input}"))
            .with("Signature", &format!("{label}={signature}"))
    }

    pub fn message(&self) -> Message<'_> {
        Message {
            method: self.method.as_bytes(),
            is_secure: self.is_secure,
            authority: self.authority.as_bytes(),
            target: self.target.as_bytes(),
            fields: &self.fields,
            has_body: self.has_body,
        }
    }

    pub fn judge(&self, claims: &SigningClaims) -> SignatureJudgement {
        rules().verify(&self.message(), claims, at(CREATED + 5))
    }

    /// The label of the result, or of the reason if there is one.
    pub fn verdict(&self, claims: &SigningClaims) -> &'static str {
        let judgement = self.judge(claims);
        judgement.rejection.map_or(judgement.result.label(), |rejection| rejection.label())
    }
}

/// The members of `Signature-Input` and `Signature`.
pub fn signature(signer: &Signer, lines: &[(&str, &str)], parameters: &str) -> (String, String) {
    let components: Vec<_> = lines.iter().map(|(component, _)| *component).collect();
    let input = format!("({}){parameters}", components.join(" "));
    let mut base: String = lines.iter().map(|(component, value)| format!("{component}: {value}\n")).collect();
    base.push_str(&format!("\"@signature-params\": {input}"));
    (input, format!(":{}:", STANDARD.encode(signer.sign(base.as_bytes()))))
}

/// The components that SDKs cover by default in a request without a body.
pub fn default_lines<'l>(method: &'l str, uri: &'l str) -> [(&'static str, &'l str); 3] {
    [("\"@method\"", method), ("\"@target-uri\"", uri), ("\"approov-token\"", TOKEN)]
}
