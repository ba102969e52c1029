//! The time of one verification, next to `jsonwebtoken` with the same work in the same run.
//!
//! Run it with `cargo bench --bench verify`. `cargo test --benches` runs everything once.
//!
//! The contestants take turns in short rounds. Each round gives one ratio, and the median of all rounds
//! is printed, so that other work on the machine changes the result little.

#[path = "../shared/mod.rs"]
mod shared;
mod signatures;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use approov_gateway::approov::{
    Algorithm, Key, Presented, Rejection, Secret, Strategy, UnixTime, Verifier, binding_hash,
};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation};
use serde::Deserialize;
use serde_json::{Value, json};

use shared::{is_quick, median};

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failed = Box<dyn std::error::Error>;

const SECRET: [u8; 64] = *b"a secret of 64 bytes, as many as Approov's own account secrets..";
const AUTHORIZATION: &str = "Bearer ExampleAuthToken==";
/// Ratios up to this value count as 1.
const NOISE: f64 = 1.05;
const NOW: Duration = Duration::from_secs(2_000_000_000);

fn main() -> Result<(), Failed> {
    let bench = Bench { quick: is_quick() };
    algorithms(bench)?;
    seen_before(bench)?;
    signatures::acceptance(bench)?;
    let mut slower = refusals(bench)?;
    slower.extend(signatures::refusals(bench)?);
    if !slower.is_empty() && !bench.quick {
        println!("slower than acceptance: {}", slower.join(", "));
    }
    growth(bench)
}

/// Every algorithm, and the usual case: HS256 with a bound header.
fn algorithms(bench: Bench) -> Result<(), Failed> {
    println!("{:32} {:>10} {:>14} {:>7}", "accepted token", "ours", "jsonwebtoken", "ratio");
    for algorithm in [Algorithm::Hs256, Algorithm::Rs256, Algorithm::Es256] {
        let keys = Keys::new(algorithm)?;
        let token = keys.sign(&claims())?;
        let (verifier, theirs) = (Verifier::new(vec![keys.ours]), (keys.decoding, validation(keys.theirs)));
        bench.compare(
            algorithm.label(),
            || ours(&verifier, Strategy::Token, &token),
            || rival(&theirs, &token).is_some(),
        )?;
    }
    let keys = Keys::new(Algorithm::Hs256)?;
    let token = keys.sign(&claims())?;
    let (verifier, theirs) = (Verifier::new(vec![keys.ours]), (keys.decoding, validation(keys.theirs)));
    bench.compare(
        "HS256 with binding",
        || ours(&verifier, Strategy::TokenBinding, &token),
        || rival(&theirs, &token).is_some_and(|claims| claims.pay == rival_hash()),
    )?;
    Ok(())
}

/// A token with a public key that was verified before, next to its first verification.
fn seen_before(bench: Bench) -> Result<(), Failed> {
    println!("\n{:32} {:>10} {:>14} {:>7}", "seen before", "again", "first", "ratio");
    for algorithm in [Algorithm::Rs256, Algorithm::Es256] {
        let keys = Keys::new(algorithm)?;
        let token = keys.sign(&claims())?;
        let pem = keys.public.clone().ok_or("a public key")?;
        let first = Verifier::new(vec![keys.ours]);
        let again =
            Verifier::new(vec![Key::from_pem(algorithm, &pem)?]).with_verified_signatures(Arc::default());
        bench.compare(
            algorithm.label(),
            || ours(&again, Strategy::Token, &token),
            || ours(&first, Strategy::Token, &token),
        )?;
    }
    Ok(())
}

/// Every refusal next to the first acceptance of the same token. No refusal may take longer. Returns the
/// names of those that do.
fn refusals(bench: Bench) -> Result<Vec<String>, Failed> {
    println!("\n{:32} {:>10} {:>14} {:>7}", "refused token", "refused", "accepted", "ratio");
    let mut slower = Vec::new();
    for algorithm in [Algorithm::Hs256, Algorithm::Rs256, Algorithm::Es256] {
        let keys = Keys::new(algorithm)?;
        let good = keys.sign(&claims())?;
        // A valid signature of another payload needs the whole computation.
        let (head, _) = good.rsplit_once('.').ok_or("segments")?;
        let another = keys.sign(&json!({ "exp": 0 }))?;
        let (_, signature) = another.rsplit_once('.').ok_or("segments")?;
        let wrong = format!("{head}.{signature}");
        let verifier = Verifier::new(vec![keys.ours]);
        let name = format!("{} of {}", Rejection::BadSignature.label(), algorithm.label());
        let ratio = bench.compare(
            &name,
            || verdict(&verifier, Strategy::Token, &wrong) == Some(Rejection::BadSignature),
            || ours(&verifier, Strategy::Token, &good),
        )?;
        if ratio > NOISE {
            slower.push(name);
        }
    }
    let keys = Keys::new(Algorithm::Hs256)?;
    let good = keys.sign(&claims())?;
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        keys.sign(&claims)
    };
    let (_, unsigned) = good.split_once('.').ok_or("segments")?;
    let cases = [
        (Rejection::Expired, with("exp", json!(1_000_000_000))?),
        (Rejection::MissingExpiry, with("exp", Value::Null)?),
        (Rejection::NotYetValid, with("nbf", json!(3_000_000_000_u64))?),
        (Rejection::BindingMismatch, with("pay", json!(binding_hash(["another"])))?),
        (Rejection::MalformedToken, good.replace('.', ":")),
        (Rejection::UnsupportedAlgorithm, format!("eyJhbGciOiJub25lIn0.{unsigned}")),
        (Rejection::ClientStatus, "NO_NETWORK".to_owned()),
        (Rejection::EmptyToken, String::new()),
        (Rejection::OversizedToken, good.repeat(100)),
        (Rejection::RepeatedToken, format!("{good}, {good}")),
    ];
    let verifier = Verifier::new(vec![keys.ours]);
    for (rejection, token) in cases {
        let ratio = bench.compare(
            rejection.label(),
            || verdict(&verifier, Strategy::TokenBinding, &token) == Some(rejection),
            || ours(&verifier, Strategy::TokenBinding, &good),
        )?;
        if ratio > NOISE {
            slower.push(rejection.label().to_owned());
        }
    }
    Ok(slower)
}

/// Tokens from 64 bytes to 64 KiB. The nanoseconds for each byte must not grow with the length.
fn growth(bench: Bench) -> Result<(), Failed> {
    println!("\n{:32} {:>10} {:>14}", "length (HS256)", "ours", "per byte");
    let keys = Keys::new(Algorithm::Hs256)?;
    let verifier = Verifier::new(vec![Key::hs256(&Secret::from_base64(&STANDARD.encode(SECRET))?)])
        .with_max_token_length(1 << 20);
    for kind in ["one long claim", "escapes", "a list", "many members", "dots", "blanks"] {
        for length in [64_usize, 256, 1024, 4096, 16 * 1024, 64 * 1024] {
            // Header, signature and exp take 110 characters. Base64 turns three bytes into four.
            let room = length.saturating_sub(110) * 3 / 4;
            let filling = match kind {
                "escapes" => json!("\n".repeat(room / 2)),
                "a list" => json!(vec![""; room / 3]),
                _ => json!("x".repeat(room)),
            };
            let mut claims = json!({ "exp": 4_102_444_800_u64 });
            match kind {
                "many members" => {
                    for member in 0..63 {
                        claims[format!("member {member}")] = json!("x".repeat(room / 63));
                    }
                }
                _ => claims["x"] = filling,
            }
            let token = match kind {
                "dots" => ".".repeat(length),
                "blanks" => format!("{}.", " ".repeat(length - 1)),
                _ => keys.sign(&claims)?,
            };
            let accepted = !matches!(kind, "dots" | "blanks");
            let time = bench.time(|| ours(&verifier, Strategy::Token, &token) == accepted)?;
            let name = format!("{kind}, {} bytes", token.len());
            println!("{name:32} {time:>7.0} ns {:>11.2} ns", time / token.len() as f64);
        }
    }
    Ok(())
}

fn claims() -> Value {
    json!({
        "exp": 4_102_444_800_u64,
        "ip": "1.2.3.4",
        "did": "ExampleApproovTokenDID==",
        "pay": binding_hash([AUTHORIZATION]),
    })
}

fn verdict(verifier: &Verifier, strategy: Strategy, token: &str) -> Option<Rejection> {
    let bound = |_| Presented::Once(AUTHORIZATION.as_bytes());
    let token = Presented::Once(token.as_bytes());
    verifier.verify(strategy, token, bound, UnixTime::since_epoch(NOW)).rejection
}

fn ours(verifier: &Verifier, strategy: Strategy, token: &str) -> bool {
    verdict(verifier, strategy, token).is_none()
}

/// The claims that a gateway with `jsonwebtoken` would read.
#[derive(Deserialize)]
struct RivalClaims {
    #[serde(default)]
    pay: String,
    #[serde(default, rename = "did")]
    _did: Option<String>,
    #[serde(default, rename = "arc")]
    _arc: Option<String>,
}

fn rival((key, validation): &(DecodingKey, Validation), token: &str) -> Option<RivalClaims> {
    jsonwebtoken::decode(token, key, validation).ok().map(|token| token.claims)
}

fn rival_hash() -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, black_box(AUTHORIZATION).as_bytes());
    STANDARD.encode(digest)
}

fn validation(algorithm: jsonwebtoken::Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.leeway = 0;
    validation.validate_nbf = true;
    validation.validate_aud = false;
    validation
}

/// One key in the forms that both contestants need.
struct Keys {
    theirs: jsonwebtoken::Algorithm,
    encoding: EncodingKey,
    decoding: DecodingKey,
    /// In PEM, if there is a public key.
    public: Option<String>,
    ours: Key,
}

impl Keys {
    fn new(algorithm: Algorithm) -> Result<Self, Failed> {
        match algorithm {
            Algorithm::Hs256 => Ok(Self {
                theirs: jsonwebtoken::Algorithm::HS256,
                encoding: EncodingKey::from_secret(&SECRET),
                decoding: DecodingKey::from_secret(&SECRET),
                public: None,
                ours: Key::hs256(&Secret::from_base64(&STANDARD.encode(SECRET))?),
            }),
            Algorithm::Rs256 => {
                let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048)?;
                let private: Pkcs8V1Der<'_> = pair.as_der()?;
                let public: PublicKeyX509Der<'_> = pair.public_key().as_der()?;
                let public = pem("PUBLIC KEY", public.as_ref());
                Ok(Self {
                    theirs: jsonwebtoken::Algorithm::RS256,
                    encoding: EncodingKey::from_rsa_pem(pem("PRIVATE KEY", private.as_ref()).as_bytes())?,
                    decoding: DecodingKey::from_rsa_pem(public.as_bytes())?,
                    ours: Key::from_pem(Algorithm::Rs256, &public)?,
                    public: Some(public),
                })
            }
            Algorithm::Es256 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
                let public: PublicKeyX509Der<'_> = pair.public_key().as_der()?;
                let public = pem("PUBLIC KEY", public.as_ref());
                Ok(Self {
                    theirs: jsonwebtoken::Algorithm::ES256,
                    encoding: EncodingKey::from_ec_der(pair.to_pkcs8v1()?.as_ref()),
                    decoding: DecodingKey::from_ec_pem(public.as_bytes())?,
                    ours: Key::from_pem(Algorithm::Es256, &public)?,
                    public: Some(public),
                })
            }
            other => Err(format!("{} is not measured", other.label()).into()),
        }
    }

    fn sign(&self, claims: &Value) -> Result<String, Failed> {
        Ok(jsonwebtoken::encode(&Header::new(self.theirs), claims, &self.encoding)?)
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

/// The number and length of rounds.
#[derive(Clone, Copy)]
struct Bench {
    /// Whether every case runs only once, to check its verdict.
    quick: bool,
}

impl Bench {
    const ROUNDS: usize = 201;
    const ROUND: Duration = Duration::from_micros(1000);

    /// Runs both in turns. Prints the median times and the median ratio.
    fn compare(self, name: &str, one: impl Fn() -> bool, other: impl Fn() -> bool) -> Result<f64, Failed> {
        if !one() || !other() {
            return Err(format!("{name}: a wrong verdict").into());
        }
        let (ones, others) = (self.repeats(&one), self.repeats(&other));
        let rounds = if self.quick { 1 } else { Self::ROUNDS };
        let times: Vec<(f64, f64)> =
            (0..rounds).map(|_| (round(ones, &one), round(others, &other))).collect();
        let ratio = median(times.iter().map(|(one, other)| one / other));
        println!(
            "{name:32} {:>7.0} ns {:>11.0} ns {ratio:>7.2}",
            median(times.iter().map(|(one, _)| *one)),
            median(times.iter().map(|(_, other)| *other)),
        );
        Ok(ratio)
    }

    /// The median time of one contestant without another.
    fn time(self, contestant: impl Fn() -> bool) -> Result<f64, Failed> {
        if !contestant() {
            return Err("a wrong verdict".into());
        }
        let repeats = self.repeats(&contestant);
        let rounds = if self.quick { 1 } else { Self::ROUNDS / 4 };
        Ok(median((0..rounds).map(|_| round(repeats, &contestant))))
    }

    /// The number of calls that fill a round.
    fn repeats(self, contestant: &impl Fn() -> bool) -> u32 {
        if self.quick {
            return 1;
        }
        let once = round(20, contestant).max(1.0);
        (Self::ROUND.as_nanos() as f64 / once).clamp(1.0, 1e6) as u32
    }
}

/// The mean of `repeats` calls in nanoseconds.
fn round(repeats: u32, contestant: &impl Fn() -> bool) -> f64 {
    let start = Instant::now();
    for _ in 0..repeats {
        black_box(contestant());
    }
    start.elapsed().as_nanos() as f64 / f64::from(repeats)
}
