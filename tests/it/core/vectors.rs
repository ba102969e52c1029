//! Approov's published tokens get the verdict that Approov's own integrations give.
//!
//! `tests/vectors/README.md` names the sources.

use std::time::{SystemTime, UNIX_EPOCH};

use approov_gateway::approov::{
    BindingRules, Key, MissingClaim, Presented, Rejection, Secret, Strategy, UnixTime, Verifier,
};
use serde::Deserialize;

use crate::core::tokens;

#[derive(Deserialize)]
struct Vector {
    source: String,
    secret_base64: Option<String>,
    token: Option<String>,
    binding_header: Option<String>,
    binding_value: Option<String>,
    expected: String,
    note: String,
    strategy: Option<String>,
}

fn vectors() -> Vec<Vector> {
    let text = include_str!("../../vectors/approov-tokens.json");
    serde_json::from_str(text).expect("the vectors are JSON")
}

impl Vector {
    fn verifier(&self) -> Verifier {
        let secret = match &self.secret_base64 {
            Some(text) => Secret::from_base64(text).expect("published secrets are usable"),
            None => tokens::secret(tokens::SECRET),
        };
        let headers = self.binding_header.as_deref().map_or(1, |names| names.split(',').count());
        Verifier::new(vec![Key::hs256(&secret)])
            .with_binding_rules(BindingRules { headers, ..BindingRules::default() })
    }

    /// The values of the bound headers. The file has several values already concatenated.
    fn bound(&self) -> Vec<Presented<'_>> {
        let value = self.binding_value.as_deref();
        let several = self.binding_header.as_deref().is_some_and(|names| names.contains(','));
        let values: Vec<&str> = match value {
            Some(value) if several => {
                let at = value.find("my-device-id").expect("the device id of the published example");
                [&value[..at], &value[at..]].into()
            }
            value => value.into_iter().collect(),
        };
        values.into_iter().map(|value| Presented::Once(value.as_bytes())).collect()
    }

    fn judge(&self, verifier: &Verifier, strategy: Strategy) -> Result<(), Rejection> {
        let token = self.token.as_deref().map_or(Presented::Missing, |text| Presented::Once(text.as_bytes()));
        let bound = self.bound();
        let bound = |index: usize| bound.get(index).copied().unwrap_or(Presented::Missing);
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
        verifier.verify(strategy, token, bound, UnixTime::since_epoch(elapsed)).rejection.map_or(Ok(()), Err)
    }
}

#[test]
fn published_tokens_get_the_published_verdict() {
    let vectors = vectors();
    let (mut accepted, mut rejected) = (0, 0);
    for (index, vector) in vectors.iter().enumerate() {
        let strategy = match vector.strategy.as_deref() {
            None => continue,
            Some("token") => Strategy::Token,
            Some("token-binding") => Strategy::TokenBinding,
            Some(other) => panic!("an unknown strategy: {other}"),
        };
        let verdict = vector.judge(&vector.verifier(), strategy);
        let context = format!("vector {index}: {} ({}): {verdict:?}", vector.source, vector.note);
        match vector.expected.as_str() {
            "accept" => {
                assert!(verdict.is_ok(), "{context}");
                accepted += 1;
            }
            "reject" => {
                assert!(verdict.is_err(), "{context}");
                rejected += 1;
            }
            other => panic!("an unknown expectation: {other}"),
        }
    }
    assert_eq!((accepted, rejected), (15, 40));
}

#[test]
fn published_tokens_with_several_right_verdicts_follow_the_configuration() {
    let vectors = vectors();
    let mut decided = 0;
    for (index, vector) in vectors.iter().enumerate().filter(|(_, vector)| vector.strategy.is_none()) {
        let context = format!("vector {index}: {} ({})", vector.source, vector.note);
        let plain = vector.judge(&vector.verifier(), Strategy::Token);
        if vector.note.contains("\"Bearer \" prefix") {
            assert_eq!(plain, Err(Rejection::MalformedToken), "{context}");
            let rules = BindingRules { missing_claim: MissingClaim::Accept, ..BindingRules::default() };
            let strict = vector.verifier().with_prefix("Bearer");
            assert_eq!(vector.judge(&strict, Strategy::Token), Ok(()), "{context}");
            let missing = Err(Rejection::MissingBindingClaim);
            assert_eq!(vector.judge(&strict, Strategy::TokenBinding), missing, "{context}");
            let lenient = strict.with_binding_rules(rules);
            assert_eq!(vector.judge(&lenient, Strategy::TokenBinding), Ok(()), "{context}");
        } else if vector.expected == "shape only" {
            assert_eq!(plain, Err(Rejection::BadSignature), "{context}");
        } else {
            assert_eq!(plain, by_its_claims(vector), "{context}");
        }
        decided += 1;
    }
    assert_eq!(decided, 9);
}

/// The verdict of the `jsonwebtoken` library, for tokens whose expected verdict was not published.
fn by_its_claims(vector: &Vector) -> Result<(), Rejection> {
    let token = vector.token.as_deref().expect("a token");
    let secret = Secret::from_base64(vector.secret_base64.as_deref().expect("a secret")).expect("usable");
    let key = jsonwebtoken::DecodingKey::from_secret(secret.as_bytes());
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
    validation.leeway = 0;
    validation.validate_aud = false;
    match jsonwebtoken::decode::<serde_json::Value>(token, &key, &validation)
        .map_err(|error| error.into_kind())
    {
        Ok(_) => Ok(()),
        Err(jsonwebtoken::errors::ErrorKind::MissingRequiredClaim(_)) => Err(Rejection::MissingExpiry),
        Err(jsonwebtoken::errors::ErrorKind::ExpiredSignature) => Err(Rejection::Expired),
        Err(_) => Err(Rejection::BadSignature),
    }
}
