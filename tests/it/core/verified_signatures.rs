//! A verifier that remembers signatures judges every request like one that does not.

use std::sync::Arc;
use std::time::Duration;

use approov_gateway::approov::{
    Algorithm, BindingRules, ClaimRules, Key, Presented, Rejection, Strategy, TokenJudgement, UnixTime,
    VerifiedSignatures, Verifier, binding_hash,
};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

use super::tokens::{NOW, ec, rsa};

/// A verifier with these keys, which allows clocks to differ by five seconds.
fn verifier(keys: Vec<Key>) -> Verifier {
    let claims = ClaimRules { leeway: 5.0, audiences: vec!["api".into()], ..ClaimRules::default() };
    Verifier::new(keys).with_claim_rules(claims).with_binding_rules(BindingRules::default())
}

fn keys() -> Vec<Key> {
    [(Algorithm::Es256, &ec().public), (Algorithm::Rs256, &rsa().public)]
        .map(|(algorithm, pem)| Key::from_pem(algorithm, pem).expect("a public key"))
        .into()
}

fn sign(algorithm: jsonwebtoken::Algorithm, claims: &Value) -> String {
    let key = match algorithm {
        jsonwebtoken::Algorithm::ES256 => EncodingKey::from_ec_pem(ec().private.as_bytes()),
        _ => EncodingKey::from_rsa_pem(rsa().private.as_bytes()),
    };
    jsonwebtoken::encode(&Header::new(algorithm), claims, &key.expect("a private key")).expect("a token")
}

/// Tokens that are good for a while, for one header, for one API; and the same with one byte flipped.
fn all_tokens() -> Vec<String> {
    let pay = binding_hash(["Bearer a"]);
    let claims = [
        json!({ "exp": NOW + 10, "nbf": NOW, "aud": "api", "pay": pay, "did": "d" }),
        json!({ "exp": NOW + 20, "aud": "other", "pay": pay }),
        json!({ "exp": NOW + 20, "aud": "api" }),
        json!({ "aud": "api", "pay": pay }),
    ];
    let algorithms = [jsonwebtoken::Algorithm::ES256, jsonwebtoken::Algorithm::RS256];
    let good: Vec<String> = algorithms
        .iter()
        .flat_map(|algorithm| claims.iter().map(|claims| sign(*algorithm, claims)))
        .collect();
    let flipped = good.iter().flat_map(|token| {
        (0..token.len()).step_by(29).map(|at| {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            String::from_utf8(bytes).expect("ASCII")
        })
    });
    good.iter().cloned().chain(flipped).collect()
}

fn judge<'t>(verifier: &Verifier, token: &'t str, bound: &'static str, second: u64) -> TokenJudgement<'t> {
    let now = UnixTime::since_epoch(Duration::from_secs(second));
    let bound = |_| Presented::Once(bound.as_bytes());
    verifier.verify(Strategy::TokenBinding, Presented::Once(token.as_bytes()), bound, now)
}

#[test]
fn a_verifier_that_remembers_judges_as_one_that_does_not() {
    let plain = verifier(keys());
    let remembering = verifier(keys()).with_verified_signatures(Arc::default());
    let tokens = all_tokens();
    let mut accepted = 0;
    // Before and after each limit in time, and back again: nothing but the signature is remembered.
    for second in [NOW, NOW + 14, NOW + 15, NOW + 16, NOW - 6, NOW - 5, NOW + 100, NOW + 1] {
        for bound in ["Bearer a", "Bearer b"] {
            for token in &tokens {
                let (judged, again) =
                    (judge(&plain, token, bound, second), judge(&remembering, token, bound, second));
                assert_eq!(again, judged, "{second} {bound} {token}");
                accepted += usize::from(judged.rejection.is_none());
            }
        }
    }
    // One token of each algorithm, in four of the seconds.
    assert_eq!(accepted, 2 * 4);
}

#[test]
fn what_one_verifier_has_verified_is_worth_nothing_without_its_key() {
    let verified = Arc::<VerifiedSignatures>::default();
    let with = |keys: Vec<Key>| verifier(keys).with_verified_signatures(verified.clone());
    let token = sign(
        jsonwebtoken::Algorithm::ES256,
        &json!({ "exp": NOW + 10, "aud": "api", "pay": binding_hash(["a"]) }),
    );
    let rejection = |verifier: &Verifier| judge(verifier, &token, "a", NOW).rejection;
    let all = with(keys());
    assert_eq!((rejection(&all), rejection(&all)), (None, None));
    let rsa_only = with(keys().split_off(1));
    assert_eq!(rejection(&rsa_only), Some(Rejection::UnsupportedAlgorithm));
    let other = rcgen::KeyPair::generate().expect("a key pair").public_key_pem();
    let other = with(vec![Key::from_pem(Algorithm::Es256, &other).expect("a public key")]);
    assert_eq!(rejection(&other), Some(Rejection::BadSignature));
}
