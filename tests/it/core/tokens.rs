//! Genuine and forged tokens, and verifiers for them.

use std::sync::OnceLock;
use std::time::Duration;

use approov_gateway::approov::{Key, Presented, Rejection, Secret, Strategy, UnixTime, Verifier};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::signature::KeyPair;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// The current time in tests that do not use the system's clock.
pub const NOW: u64 = 2_000_000_000;

/// The account secret: it has a NUL, bytes outside ASCII and a line feed at the end.
pub const SECRET: &[u8] = b"\x00\xff\x80 an account secret of the tests, any bytes\n";

pub fn secret(bytes: &[u8]) -> Secret {
    Secret::from_base64(&STANDARD.encode(bytes)).expect("a usable secret")
}

pub fn verifier() -> Verifier {
    Verifier::new(vec![Key::hs256(&secret(SECRET))])
}

pub fn now() -> UnixTime {
    UnixTime::since_epoch(Duration::from_secs(NOW))
}

/// The verdict about one token header at [`NOW`], without binding.
pub fn judge(verifier: &Verifier, token: impl AsRef<[u8]>) -> Result<(), Rejection> {
    judge_bound(verifier, Strategy::Token, token, &[])
}

/// The verdict at [`NOW`] with this strategy and these bound headers.
pub fn judge_bound(
    verifier: &Verifier,
    strategy: Strategy,
    token: impl AsRef<[u8]>,
    bound: &[Presented<'_>],
) -> Result<(), Rejection> {
    let bound = |index: usize| bound.get(index).copied().unwrap_or(Presented::Missing);
    let verdict = verifier.verify(strategy, Presented::Once(token.as_ref()), bound, now());
    verdict.rejection.map_or(Ok(()), Err)
}

pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The HS256 signature of the first two segments.
pub fn hs256(secret: &[u8], signed: &str) -> String {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
    encode(aws_lc_rs::hmac::sign(&key, signed.as_bytes()))
}

/// Appends the signature with [`SECRET`] to segments that may be malformed.
pub fn signed(segments: impl AsRef<str>) -> String {
    let segments = segments.as_ref();
    format!("{segments}.{}", hs256(SECRET, segments))
}

/// A token with any header and payload, correctly signed with [`SECRET`].
pub fn token(header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
    signed(format!("{}.{}", encode(header), encode(payload)))
}

/// A token with Approov's own header.
pub fn plain(payload: impl AsRef<[u8]>) -> String {
    token(r#"{"alg":"HS256","typ":"JWT"}"#, payload)
}

/// A key pair of an asymmetric algorithm, each half as PEM.
pub struct Pair {
    pub private: String,
    pub public: String,
}

/// An RSA key pair, generated once because that is slow.
pub fn rsa() -> &'static Pair {
    static PAIR: OnceLock<Pair> = OnceLock::new();
    PAIR.get_or_init(|| {
        let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).expect("a key pair");
        let private: Pkcs8V1Der<'_> = pair.as_der().expect("its private half");
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("its public half");
        Pair { private: pem("PRIVATE KEY", private.as_ref()), public: pem("PUBLIC KEY", public.as_ref()) }
    })
}

/// A P-256 key pair, generated once.
pub fn ec() -> &'static Pair {
    static PAIR: OnceLock<Pair> = OnceLock::new();
    PAIR.get_or_init(|| {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key pair");
        Pair { private: pair.serialize_pem(), public: pair.public_key_pem() }
    })
}

/// A P-384 key pair, generated once.
pub fn ec384() -> &'static Pair {
    static PAIR: OnceLock<Pair> = OnceLock::new();
    PAIR.get_or_init(|| {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).expect("a key pair");
        Pair { private: pair.serialize_pem(), public: pair.public_key_pem() }
    })
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines: Vec<&str> =
        body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("ASCII")).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// A case: name, token and expected verdict.
pub type Case = (&'static str, String, Result<(), Rejection>);

#[track_caller]
pub fn check(verifier: &Verifier, cases: impl IntoIterator<Item = Case>) {
    for (name, token, expected) in cases {
        assert_eq!(judge(verifier, &token), expected, "{name}: {token:.200}");
    }
}

/// Claims that pass.
pub const PAYLOAD: &str = r#"{"exp":2000000060,"did":"ExampleApproovTokenDID=="}"#;
