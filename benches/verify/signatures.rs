//! Message signatures of an installation: next to the library's bare verification, and refusals next to
//! acceptance.

use approov_gateway::approov::message_signing::{
    Message, MessageSigningSettings, Rules, SignatureResult, base_to_sign,
};
use approov_gateway::approov::{Presented, Rejection, SigningClaims, Strategy, UnixTime, Verifier};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, ParsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::{AUTHORIZATION, Algorithm, Bench, Failed, Keys, NOISE, NOW};

/// What a message signature may take at most, as a multiple of the library's verification.
const MOST: f64 = 1.3;

const TARGET: &str = "/v1/orders?page=2&limit=50";
const COMPONENTS: [&str; 5] = ["@method", "@target-uri", "approov-token", "authorization", "content-type"];

/// An installation: the key that signs, and a token that names it.
struct Installation {
    pair: EcdsaKeyPair,
    token: String,
    claims: SigningClaims,
}

/// A POST that an installation has signed.
struct Signed {
    target: &'static str,
    fields: Vec<(String, Vec<u8>)>,
    /// What is signed, and the signature.
    base: Vec<u8>,
    signature: Vec<u8>,
}

impl Installation {
    fn new() -> Result<Self, Failed> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der()?;
        let keys = Keys::new(Algorithm::Hs256)?;
        let token = keys.sign(&json!({ "exp": 3_000_000_000_u64, "ipk": STANDARD.encode(der.as_ref()) }))?;
        let verifier = Verifier::new(vec![keys.ours]);
        let presented = Presented::Once(token.as_bytes());
        let judged = verifier.verify(Strategy::Token, presented, |_| Presented::Missing, now(0));
        let claims = judged.accepted.ok_or("an accepted token")?.payload.signing();
        Ok(Self { pair, token, claims })
    }

    /// Signs these components of a request that was created so many seconds ago.
    fn sign(&self, target: &'static str, components: &[&str], age: u64) -> Result<Signed, Failed> {
        let mut fields: Vec<(String, Vec<u8>)> = vec![
            ("approov-token".into(), self.token.clone().into_bytes()),
            ("authorization".into(), AUTHORIZATION.into()),
            ("content-type".into(), "application/json".into()),
        ];
        let created = NOW.as_secs() - age;
        let parameters = format!(";alg=\"ecdsa-p256-sha256\";created={created};expires={}", created + 15);
        let unsigned = Signed { target, fields: fields.clone(), base: Vec::new(), signature: Vec::new() };
        let (input, base) = base_to_sign(&unsigned.message(), components, &parameters).ok_or("a base")?;
        let signature = self.pair.sign(&SystemRandom::new(), &base)?.as_ref().to_vec();
        fields.push(("signature-input".into(), format!("install={input}").into_bytes()));
        fields.push(("signature".into(), format!("install=:{}:", STANDARD.encode(&signature)).into_bytes()));
        Ok(Signed { target, fields, base, signature })
    }
}

impl Signed {
    fn message(&self) -> Message<'_> {
        Message {
            method: b"POST",
            is_secure: true,
            authority: b"api.example.com",
            target: self.target.as_bytes(),
            fields: &self.fields,
            has_body: true,
        }
    }

    /// The same request with another value of a field; `None` removes the field.
    fn with(&self, name: &str, value: Option<&[u8]>) -> Self {
        let mut fields = self.fields.clone();
        fields.retain(|(field, _)| field != name);
        fields.extend(value.map(|value| (name.to_owned(), value.to_vec())));
        Self { target: self.target, fields, base: Vec::new(), signature: Vec::new() }
    }
}

fn now(seconds: u64) -> UnixTime {
    UnixTime::since_epoch(NOW + std::time::Duration::from_secs(seconds))
}

/// A signature next to the library's verification of its base with a key that is parsed already. The
/// difference is everything else: fields, coverage, times, the base, the key of the claim. Fails if the ratio is
/// above [`MOST`].
pub fn acceptance(bench: Bench) -> Result<(), Failed> {
    println!("\n{:32} {:>10} {:>14} {:>7}", "message signature", "ours", "bare P-256", "ratio");
    let installation = Installation::new()?;
    let signed = installation.sign(TARGET, &COMPONENTS, 0)?;
    let rules = MessageSigningSettings::default().rules;
    let bare = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, installation.pair.public_key().as_ref())?;
    let ratio = bench.compare(
        "install",
        || is_accepted(&rules, &signed, &installation),
        || bare.verify_sig(&signed.base, &signed.signature).is_ok(),
    )?;
    if ratio > MOST && !bench.quick {
        return Err(format!(
            "a message signature takes {ratio:.2} times as long as a bare verification; the limit is {MOST}"
        )
        .into());
    }
    Ok(())
}

fn is_accepted(rules: &Rules, signed: &Signed, installation: &Installation) -> bool {
    rules.verify(&signed.message(), &installation.claims, now(0)).result == SignatureResult::Valid
}

/// Every refusal next to the acceptance of the same request. None may take longer, except that a wrong
/// signature of a request that clients are known to sign in several ways is verified in each of them.
pub fn refusals(bench: Bench) -> Result<Vec<String>, Failed> {
    println!("\n{:32} {:>10} {:>14} {:>7}", "refused message signature", "refused", "accepted", "ratio");
    let installation = Installation::new()?;
    let good = installation.sign(TARGET, &COMPONENTS, 0)?;
    let at_root = installation.sign("/", &COMPONENTS, 0)?;
    let wrong = |signed: &Signed| signed.with("content-type", Some(b"text/plain"));
    let rules = MessageSigningSettings::default().rules;
    let cases = [
        ("missing", Rejection::MissingMessageSignature, {
            good.with("signature", None).with("signature-input", None)
        }),
        ("malformed", Rejection::MalformedMessageSignature, good.with("signature", Some(b"install=:AAAA"))),
        ("too little covered", Rejection::InsufficientCoverage, {
            installation.sign(TARGET, &COMPONENTS[..2], 0)?
        }),
        ("stale", Rejection::MessageSignatureExpired, installation.sign(TARGET, &COMPONENTS, 1000)?),
        ("wrong", Rejection::BadMessageSignature, wrong(&good)),
        ("wrong, two ways to sign", Rejection::BadMessageSignature, wrong(&at_root)),
    ];
    let mut slower = Vec::new();
    for (name, rejection, refused) in cases {
        let ratio = bench.compare(
            name,
            || rules.verify(&refused.message(), &installation.claims, now(0)).rejection == Some(rejection),
            || is_accepted(&rules, &good, &installation),
        )?;
        if ratio > NOISE && refused.target == TARGET {
            slower.push(name.to_owned());
        }
    }
    Ok(slower)
}
