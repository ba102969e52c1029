//! `jsonwebtoken` as an independent judge: what one library accepts, the other must accept too.
//!
//! Differences on purpose, which the generators avoid:
//!
//! | token | `jsonwebtoken` | the gateway |
//! |---|---|---|
//! | `nbf` is null | absent | refused |
//! | `nbf` is negative, or `exp` exceeds `u64` | refused | a date |
//! | repeated members, more than 64 members, white space in base64 | accepted | refused |

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use approov_gateway::approov::{
    Algorithm, ClaimRules, Key, KeyType, Presented, Strategy, UnixTime, Verifier,
};
use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::strategy::Strategy as Generator;
use serde_json::{Map, Value, json};

use crate::core::tokens::{SECRET, ec, ec384, plain, rsa, secret, verifier};

fn system_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970")
}

fn we_accept(verifier: &Verifier, token: &[u8]) -> bool {
    let now = UnixTime::since_epoch(system_time());
    verifier.verify(Strategy::Token, Presented::Once(token), |_| Presented::Missing, now).rejection.is_none()
}

/// The judge's rules with the gateway's defaults: no leeway, `exp` required, `nbf` verified, no audience.
fn strict(algorithm: jsonwebtoken::Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.leeway = 0;
    validation.validate_nbf = true;
    validation.validate_aud = false;
    validation
}

fn judge_accepts(token: &[u8], key: &DecodingKey, validation: &Validation) -> bool {
    jsonwebtoken::decode::<Value>(token, key, validation).is_ok()
}

/// The algorithms of both libraries. The judge does not have ES512.
fn algorithms() -> Vec<Algorithm> {
    Algorithm::ALL.into_iter().filter(|algorithm| *algorithm != Algorithm::Es512).collect()
}

fn theirs(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    algorithm.label().parse().expect("an algorithm of the judge")
}

/// A key: private and public for the judge, and for the gateway.
fn keys(algorithm: Algorithm, bytes: &[u8]) -> (EncodingKey, DecodingKey, Key) {
    let ours = |pem: &str| Key::from_pem(algorithm, pem).expect("a public key");
    match algorithm.key_type() {
        KeyType::Secret => {
            // HS512 needs 64 bytes.
            let bytes = bytes.repeat(2);
            let key = Key::from_secret(algorithm, &secret(&bytes)).expect("long enough");
            (EncodingKey::from_secret(&bytes), DecodingKey::from_secret(&bytes), key)
        }
        KeyType::Rsa => (
            EncodingKey::from_rsa_pem(rsa().private.as_bytes()).expect("a private key"),
            DecodingKey::from_rsa_pem(rsa().public.as_bytes()).expect("a public key"),
            ours(&rsa().public),
        ),
        KeyType::Ec => {
            let pair = if algorithm == Algorithm::Es384 { ec384() } else { ec() };
            (
                EncodingKey::from_ec_pem(pair.private.as_bytes()).expect("a private key"),
                DecodingKey::from_ec_pem(pair.public.as_bytes()).expect("a public key"),
                ours(&pair.public),
            )
        }
    }
}

/// A date well ahead or well behind, whole or with a fraction, or something that is no date.
fn date() -> impl Generator<Value = Value> {
    let near = (60_i64..1_000_000, any::<bool>(), 0_u32..1000).prop_map(|(distance, ahead, fraction)| {
        let now = i64::try_from(system_time().as_secs()).expect("a clock before the end of time");
        let seconds = if ahead { now + distance } else { now - distance };
        if fraction == 0 { json!(seconds) } else { json!(seconds as f64 + f64::from(fraction) / 1000.0) }
    });
    prop_oneof![
        12 => near,
        1 => (0_u64..4_000_000_000_000).prop_map(|seconds| json!(seconds)),
        1 => prop_oneof![Just(json!(true)), Just(json!("4102444800")), Just(json!([])), Just(json!({}))],
    ]
}

fn anything() -> impl Generator<Value = Value> {
    let leaf = prop_oneof![
        any::<String>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            btree_map(any::<String>(), inner, 0..6)
                .prop_map(|members| members.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}

fn name(claim: &'static str) -> impl Generator<Value = Value> {
    prop_oneof![
        3 => Just(json!(claim)),
        1 => Just(json!([claim, "another"])),
        1 => Just(json!(["another"])),
        1 => Just(json!([])),
        1 => Just(json!([1, claim])),
        1 => any::<String>().prop_map(Value::from),
        1 => Just(Value::Null),
    ]
}

fn claims() -> impl Generator<Value = Map<String, Value>> {
    let dates = (prop::option::weighted(0.9, date()), prop::option::weighted(0.3, date()));
    let names = (prop::option::of(name("issuer")), prop::option::of(name("audience")));
    (btree_map(any::<String>(), anything(), 0..8), dates, names).prop_map(|(others, dates, names)| {
        let mut claims: Map<String, Value> = others.into_iter().collect();
        let own = [("exp", dates.0), ("nbf", dates.1), ("iss", names.0), ("aud", names.1)];
        for (name, value) in own {
            claims.remove(name);
            claims.extend(value.map(|value| (name.to_owned(), value)));
        }
        // The judge takes a list of issuers; a token has one.
        if claims.get("iss").is_some_and(Value::is_array) {
            claims.remove("iss");
        }
        claims
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn both_libraries_accept_the_same_signed_tokens(
        claims in claims(),
        bytes in vec(any::<u8>(), 32..=100),
        forged in prop::option::weighted(0.2, vec(any::<u8>(), 32..=100)),
        algorithm in prop::sample::select(algorithms()),
        key_id in prop::option::of(any::<String>()),
        lists in any::<bool>(),
    ) {
        prop_assume!(bytes.iter().any(|byte| *byte != bytes[0]));
        let (encoding, decoding, key) = keys(algorithm, &bytes);
        let mut header = Header::new(theirs(algorithm));
        header.kid = key_id.filter(|id| id.len() < 200);
        let signer = match forged {
            Some(bytes) if algorithm.key_type() == KeyType::Secret => EncodingKey::from_secret(&bytes),
            _ => encoding,
        };
        let token = jsonwebtoken::encode(&header, &claims, &signer).expect("claims that serialise");
        let mut validation = strict(theirs(algorithm));
        let mut ours = Verifier::new(vec![key]);
        if lists {
            validation.validate_aud = true;
            validation.set_issuer(&["issuer", "second"]);
            validation.set_audience(&["audience", "second"]);
            validation.set_required_spec_claims(&["exp", "iss", "aud"]);
            ours = ours.with_claim_rules(ClaimRules {
                leeway: 0.0,
                issuers: vec!["issuer".into(), "second".into()],
                audiences: vec!["audience".into(), "second".into()],
            });
        }
        prop_assert_eq!(
            we_accept(&ours, token.as_bytes()),
            judge_accepts(token.as_bytes(), &decoding, &validation),
            "{} {:?}", token, claims
        );
    }

    #[test]
    fn a_key_of_another_algorithm_never_verifies(
        signer in prop::sample::select(algorithms()),
        reader in prop::sample::select(algorithms()),
        renamed in any::<bool>(),
    ) {
        let claims = json!({ "exp": 4_102_444_800_u64 });
        let (encoding, _, _) = keys(signer, SECRET);
        let (_, _, key) = keys(reader, SECRET);
        let mut token = jsonwebtoken::encode(&Header::new(theirs(signer)), &claims, &encoding).expect("a token");
        if renamed {
            let (_, rest) = token.split_once('.').expect("segments");
            token = format!("{}.{rest}", crate::core::tokens::encode(format!(r#"{{"alg":"{}"}}"#, reader.label())));
        }
        let accepted = we_accept(&Verifier::new(vec![key]), token.as_bytes());
        prop_assert_eq!(accepted, signer == reader && !renamed);
    }
}

/// A change of one byte; positions are taken modulo the length.
#[derive(Clone, Copy, Debug)]
enum Mutation {
    Replace(usize, u8),
    Insert(usize, u8),
    Delete(usize),
    Swap(usize),
}

impl Mutation {
    fn apply(self, bytes: &mut Vec<u8>) {
        let length = bytes.len().max(1);
        match self {
            Mutation::Insert(at, byte) => bytes.insert(at % (bytes.len() + 1), byte),
            _ if bytes.len() < 2 => {}
            Mutation::Replace(at, byte) => bytes[at % length] = byte,
            Mutation::Delete(at) => drop(bytes.remove(at % length)),
            Mutation::Swap(at) => bytes.swap(at % length, (at + 1) % length),
        }
    }
}

fn byte() -> impl Generator<Value = u8> {
    prop_oneof![
        any::<u8>(),
        prop::sample::select(b"ABab01-_=+/. ,\t\0".to_vec()),
        prop::sample::select(br#"{}[]":,\eE.-+09aux"#.to_vec()),
    ]
}

fn mutation() -> impl Generator<Value = Mutation> {
    prop_oneof![
        (any::<usize>(), byte()).prop_map(|(at, byte)| Mutation::Replace(at, byte)),
        (any::<usize>(), byte()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        any::<usize>().prop_map(Mutation::Delete),
        any::<usize>().prop_map(Mutation::Swap),
    ]
}

const CLAIMS: &str =
    r#"{"exp":4102444800.5,"nbf":1.5e3,"aud":["a","b\u0063"],"did":"ExampleApproovTokenDID==","x":{"y":[]}}"#;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 8000, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_token_is_never_accepted_if_the_judge_refuses_it(mutations in vec(mutation(), 1..4)) {
        let good = plain(CLAIMS).into_bytes();
        prop_assert!(we_accept(&verifier(), &good));
        let mut bytes = good.clone();
        mutations.iter().for_each(|mutation| mutation.apply(&mut bytes));
        // The gateway removes white space around a field value, as HTTP says. The judge does not.
        let token = bytes.trim_ascii();
        if we_accept(&verifier(), &bytes) {
            prop_assert_eq!(token, good.as_slice());
            let key = DecodingKey::from_secret(SECRET);
            prop_assert!(judge_accepts(token, &key, &strict(jsonwebtoken::Algorithm::HS256)));
        }
    }

    #[test]
    fn a_changed_payload_with_a_good_signature_is_never_accepted_if_the_judge_refuses_it(
        mutations in vec(mutation(), 1..4),
    ) {
        let mut payload = CLAIMS.as_bytes().to_vec();
        mutations.iter().for_each(|mutation| mutation.apply(&mut payload));
        let token = plain(&payload);
        let key = DecodingKey::from_secret(SECRET);
        let judged = judge_accepts(token.as_bytes(), &key, &strict(jsonwebtoken::Algorithm::HS256));
        if we_accept(&verifier(), token.as_bytes()) && !judged {
            let claims: Value = serde_json::from_slice(&payload).expect("we accept JSON only");
            let number = |name: &str| claims[name].as_f64();
            let far = number("exp").is_some_and(|exp| exp >= u64::MAX as f64);
            let negative = number("nbf").is_some_and(|nbf| nbf < 0.0);
            prop_assert!(far || negative, "{}", String::from_utf8_lossy(&payload));
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused_without_panic(
        bytes in vec(any::<u8>(), 0..300),
        text in "[A-Za-z0-9_=-]{0,40}\\.[A-Za-z0-9_=-]{0,40}\\.[A-Za-z0-9_=-]{0,60}(\\.x)?",
        header in "\\{(\"(alg|kid|crit|typ)\":(\"(HS256|ES256|none|)\"|1|null|\\[\\])){0,1}\\}",
    ) {
        for verifier in [verifier(), verifier().with_prefix("Bearer")] {
            prop_assert!(!we_accept(&verifier, &bytes));
            prop_assert!(!we_accept(&verifier, text.as_bytes()));
            prop_assert!(!we_accept(&verifier, plain(&bytes).as_bytes()));
            let token = crate::core::tokens::token(&header, &bytes);
            prop_assert!(!we_accept(&verifier, token.as_bytes()));
        }
    }
}
