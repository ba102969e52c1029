//! Token headers of attackers: algorithms, keys, key ids, extensions.

use approov_gateway::approov::Rejection::*;
use approov_gateway::approov::{Algorithm, Key, Rejection, Verifier};

use crate::core::tokens::{
    Case, PAYLOAD, SECRET, check, ec, encode, hs256, judge, plain, rsa, secret, signed, token, verifier,
};

fn header(json: &str) -> String {
    token(json, PAYLOAD)
}

#[test]
fn only_the_algorithm_of_the_key_is_taken() {
    let unsigned = format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode(PAYLOAD));
    let cases: [Case; 19] = [
        ("the genuine header", header(r#"{"alg":"HS256","typ":"JWT"}"#), Ok(())),
        ("members in the other order", header(r#"{"typ":"JWT","alg":"HS256"}"#), Ok(())),
        ("no typ", header(r#"{"alg":"HS256"}"#), Ok(())),
        ("none", header(r#"{"alg":"none"}"#), Err(UnsupportedAlgorithm)),
        ("None", header(r#"{"alg":"None"}"#), Err(UnsupportedAlgorithm)),
        ("NONE", header(r#"{"alg":"NONE"}"#), Err(UnsupportedAlgorithm)),
        ("none without a signature", unsigned, Err(MalformedToken)),
        ("lower case", header(r#"{"alg":"hs256"}"#), Err(UnsupportedAlgorithm)),
        ("a blank at the end", header(r#"{"alg":"HS256 "}"#), Err(UnsupportedAlgorithm)),
        ("HS384", header(r#"{"alg":"HS384"}"#), Err(UnsupportedAlgorithm)),
        ("HS512", header(r#"{"alg":"HS512"}"#), Err(UnsupportedAlgorithm)),
        ("PS256", header(r#"{"alg":"PS256"}"#), Err(UnsupportedAlgorithm)),
        ("absent", header(r#"{"typ":"JWT"}"#), Err(UnsupportedAlgorithm)),
        ("null", header(r#"{"alg":null}"#), Err(UnsupportedAlgorithm)),
        ("a list", header(r#"{"alg":["HS256"]}"#), Err(UnsupportedAlgorithm)),
        ("a number", header(r#"{"alg":256}"#), Err(UnsupportedAlgorithm)),
        ("in another letter case of the name", header(r#"{"ALG":"HS256"}"#), Err(UnsupportedAlgorithm)),
        ("repeated", header(r#"{"alg":"none","alg":"HS256"}"#), Err(MalformedToken)),
        (
            "repeated in an escaped spelling",
            header(r#"{"alg":"HS256","\u0061lg":"none"}"#),
            Err(MalformedToken),
        ),
    ];
    check(&verifier(), cases);
}

#[test]
fn a_key_serves_its_own_algorithm_only() {
    let claims: serde_json::Value = serde_json::from_str(PAYLOAD).expect("JSON");
    let sign = |algorithm, key: &jsonwebtoken::EncodingKey| {
        jsonwebtoken::encode(&jsonwebtoken::Header::new(algorithm), &claims, key).expect("a token")
    };
    let rs256 = sign(
        jsonwebtoken::Algorithm::RS256,
        &jsonwebtoken::EncodingKey::from_rsa_pem(rsa().private.as_bytes()).expect("a key"),
    );
    let es256 = sign(
        jsonwebtoken::Algorithm::ES256,
        &jsonwebtoken::EncodingKey::from_ec_pem(ec().private.as_bytes()).expect("a key"),
    );
    // Algorithm confusion: the public key is used as an HMAC secret.
    let confused = |pair: &crate::core::tokens::Pair| {
        let head = format!("{}.{}", encode(r#"{"alg":"HS256"}"#), encode(PAYLOAD));
        format!("{head}.{}", hs256(pair.public.as_bytes(), &head))
    };
    let relabelled = |token: &str, header: &str| {
        let (_, rest) = token.split_once('.').expect("segments");
        format!("{}.{rest}", encode(header))
    };
    let hs = verifier();
    let rs = Verifier::new(vec![Key::from_pem(Algorithm::Rs256, &rsa().public).expect("a key")]);
    let es = Verifier::new(vec![Key::from_pem(Algorithm::Es256, &ec().public).expect("a key")]);
    let all: [(&str, &Verifier, &str, Result<(), Rejection>); 12] = [
        ("HS256 for HS256", &hs, &plain(PAYLOAD), Ok(())),
        ("RS256 for RS256", &rs, &rs256, Ok(())),
        ("ES256 for ES256", &es, &es256, Ok(())),
        ("RS256 for HS256", &hs, &rs256, Err(UnsupportedAlgorithm)),
        ("ES256 for HS256", &hs, &es256, Err(UnsupportedAlgorithm)),
        ("HS256 with the public RSA key as secret", &rs, &confused(rsa()), Err(UnsupportedAlgorithm)),
        ("HS256 with the public EC key as secret", &es, &confused(ec()), Err(UnsupportedAlgorithm)),
        ("ES256 for RS256", &rs, &es256, Err(UnsupportedAlgorithm)),
        ("ES256 called RS256", &rs, &relabelled(&es256, r#"{"alg":"RS256"}"#), Err(BadSignature)),
        ("RS256 called ES256", &es, &relabelled(&rs256, r#"{"alg":"ES256"}"#), Err(BadSignature)),
        ("HS256 called ES256", &es, &header(r#"{"alg":"ES256"}"#), Err(BadSignature)),
        // r = s = 0 (CVE-2022-21449).
        (
            "an ES256 signature of zeros",
            &es,
            &format!("{}.{}.{}", encode(r#"{"alg":"ES256"}"#), encode(PAYLOAD), encode([0; 64])),
            Err(BadSignature),
        ),
    ];
    for (name, verifier, token, expected) in all {
        assert_eq!(judge(verifier, token), expected, "{name}: {token}");
    }
    let keys = vec![
        Key::hs256(&secret(SECRET)),
        Key::from_pem(Algorithm::Rs256, &rsa().public).expect("a key"),
        Key::from_pem(Algorithm::Es256, &ec().public).expect("a key"),
    ];
    let mixed = Verifier::new(keys);
    let cases = [
        ("HS256", plain(PAYLOAD), Ok(())),
        ("RS256", rs256, Ok(())),
        ("ES256", es256, Ok(())),
        ("the public key as secret", confused(rsa()), Err(BadSignature)),
    ];
    check(&mixed, cases);
}

#[test]
fn header_parameters_cannot_bring_a_key_or_change_the_meaning() {
    let jwk = encode(b"an attacker's own secret, 32 bytes or more");
    let own = format!(r#"{{"alg":"HS256","jwk":{{"kty":"oct","k":"{jwk}"}}}}"#);
    let head = format!("{}.{}", encode(&own), encode(PAYLOAD));
    let attacker = hs256(b"an attacker's own secret, 32 bytes or more", &head);
    let raw = format!("{}.{}", encode(r#"{"alg":"HS256","b64":false}"#), "{\"exp\":2000000060}");
    let cases: [Case; 13] = [
        ("crit", header(r#"{"alg":"HS256","crit":["exp"],"exp":1}"#), Err(MalformedToken)),
        ("crit with b64", header(r#"{"alg":"HS256","crit":["b64"],"b64":false}"#), Err(MalformedToken)),
        ("an empty crit", header(r#"{"alg":"HS256","crit":[]}"#), Err(MalformedToken)),
        ("crit null", header(r#"{"alg":"HS256","crit":null}"#), Err(MalformedToken)),
        ("an escaped crit", header(r#"{"alg":"HS256","cr\u0069t":["x"]}"#), Err(MalformedToken)),
        ("b64 without crit changes nothing", header(r#"{"alg":"HS256","b64":false}"#), Ok(())),
        ("an unencoded payload", signed(raw), Err(MalformedToken)),
        ("zip changes nothing", header(r#"{"alg":"HS256","zip":"DEF"}"#), Ok(())),
        ("a key inside, not used", format!("{head}.{attacker}"), Err(BadSignature)),
        ("a key inside, not in the way", header(&own), Ok(())),
        ("jku", header(r#"{"alg":"HS256","jku":"http://127.0.0.1:1/"}"#), Ok(())),
        ("x5c and x5u", header(r#"{"alg":"HS256","x5c":["AA=="],"x5u":"http://127.0.0.1:1/"}"#), Ok(())),
        ("not an object", header(r#"["HS256"]"#), Err(MalformedToken)),
    ];
    check(&verifier(), cases);
}

#[test]
fn key_id_chooses_among_the_configured_keys_only() {
    let kid = |kid: &str| header(&format!(r#"{{"alg":"HS256","kid":{kid}}}"#));
    let huge = |bytes: usize| kid(&format!("\"{}\"", "k".repeat(bytes)));
    let named = Verifier::new(vec![
        Key::hs256(&secret(SECRET)).with_id("current"),
        Key::from_pem(Algorithm::Es256, &ec().public).expect("a key").with_id("set"),
    ]);
    let other = secret(b"the secret before, which is of 32 bytes at least");
    let mixed = Verifier::new(vec![Key::hs256(&other).with_id("old"), Key::hs256(&secret(SECRET))]);
    let cases: [Case; 15] = [
        ("known", kid(r#""current""#), Ok(())),
        ("escaped", kid(r#""c\u0075rrent""#), Ok(())),
        ("none", plain(PAYLOAD), Ok(())),
        ("another letter case", kid(r#""Current""#), Err(UnknownKey)),
        ("empty", kid(r#""""#), Err(UnknownKey)),
        ("unknown", kid(r#""0001""#), Err(UnknownKey)),
        ("path-like", kid(r#""../../../../dev/null""#), Err(UnknownKey)),
        ("a query", kid(r#""x' UNION SELECT 'key'--""#), Err(UnknownKey)),
        ("with a NUL", kid(r#""current\u0000""#), Err(UnknownKey)),
        ("of a key with another algorithm", kid(r#""set""#), Err(UnsupportedAlgorithm)),
        ("a number", kid("1"), Err(MalformedToken)),
        ("null", kid("null"), Err(MalformedToken)),
        ("a list", kid(r#"["current"]"#), Err(MalformedToken)),
        ("long", huge(700), Err(UnknownKey)),
        ("huge", huge(5000), Err(MalformedToken)),
    ];
    check(&named, cases);
    let cases: [Case; 4] = [
        ("a key without id answers to any kid", kid(r#""0001""#), Ok(())),
        ("and to none", plain(PAYLOAD), Ok(())),
        ("but not to that of another key", kid(r#""old""#), Err(BadSignature)),
        ("repeated", header(r#"{"alg":"HS256","kid":"a","kid":"a"}"#), Err(MalformedToken)),
    ];
    check(&mixed, cases);
}

#[test]
fn during_rotation_each_configured_secret_is_accepted() {
    let secrets = [
        SECRET,
        b"the secret before, which is of 32 bytes at least",
        b"and one before, which was made of 40 bytes",
    ];
    let verifier = Verifier::new(secrets.iter().map(|bytes| Key::hs256(&secret(bytes))).collect());
    let head = format!("{}.{}", encode(r#"{"alg":"HS256","typ":"JWT"}"#), encode(PAYLOAD));
    for bytes in secrets {
        assert_eq!(judge(&verifier, format!("{head}.{}", hs256(bytes, &head))), Ok(()));
    }
    let foreign = hs256(b"a secret that is not configured in this test", &head);
    assert_eq!(judge(&verifier, format!("{head}.{foreign}")), Err(BadSignature));
    // Without any key no token is accepted.
    assert_eq!(judge(&Verifier::new(Vec::new()), plain(PAYLOAD)), Err(UnknownKey));
}
