//! What an attacker may put into a token, and the one rejection that each attempt meets.

use approov_gateway::approov::Rejection::{self, *};
use approov_gateway::approov::{
    BindingRules, ClaimRules, Key, MissingClaim, Presented, Strategy, Verifier, binding_hash,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};

use crate::tokens::{NOW, SECRET, ec, encode, hs256, judge, judge_bound, plain, rsa, secret, signed, token};
use crate::tokens::{now, verifier};

/// A case: its name, the token, and the verdict it must get.
type Case = (&'static str, String, Result<(), Rejection>);

const PAYLOAD: &str = r#"{"exp":2000000060,"did":"ExampleApproovTokenDID=="}"#;

#[track_caller]
fn check(verifier: &Verifier, cases: impl IntoIterator<Item = Case>, count: usize) {
    let mut checked = 0;
    for (name, token, expected) in cases {
        assert_eq!(judge(verifier, &token), expected, "{name}: {token:.200}");
        checked += 1;
    }
    assert_eq!(checked, count, "the number of cases");
}

fn header(json: &str) -> String {
    token(json, PAYLOAD)
}

/// The same bytes in a spelling whose unused last bits are not zero.
fn non_canonical(bytes: &str) -> String {
    assert_ne!(bytes.len() % 3, 0, "a length with unused bits");
    let mut text = encode(bytes).into_bytes();
    let last = text.last_mut().expect("not empty");
    // The canonical last character has zero bits at the end: A, Q, g, w, E, … — the next one is odd.
    *last += 1;
    String::from_utf8(text).expect("ASCII")
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
    check(&verifier(), cases, 19);
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
    // The classic confusion: the public key, known to all, taken as an HMAC secret.
    let confused = |pair: &crate::tokens::Pair| {
        let head = format!("{}.{}", encode(r#"{"alg":"HS256"}"#), encode(PAYLOAD));
        format!("{head}.{}", hs256(pair.public.as_bytes(), &head))
    };
    let relabelled = |token: &str, header: &str| {
        let (_, rest) = token.split_once('.').expect("segments");
        format!("{}.{rest}", encode(header))
    };
    let hs = verifier();
    let rs = Verifier::new(vec![Key::rs256_from_pem(&rsa().public).expect("a key")]);
    let es = Verifier::new(vec![Key::es256_from_pem(&ec().public).expect("a key")]);
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
        Key::rs256_from_pem(&rsa().public).expect("a key"),
        Key::es256_from_pem(&ec().public).expect("a key"),
    ];
    let mixed = Verifier::new(keys);
    let cases = [
        ("HS256", plain(PAYLOAD), Ok(())),
        ("RS256", rs256, Ok(())),
        ("ES256", es256, Ok(())),
        ("the public key as secret", confused(rsa()), Err(BadSignature)),
    ];
    check(&mixed, cases, 4);
}

#[test]
fn expiry_must_be_a_number_ahead() {
    let cases: Vec<Case> = [
        (r#"{}"#, Err(MissingExpiry)),
        (r#"{"EXP":2000000060}"#, Err(MissingExpiry)),
        (r#"{"exp":null}"#, Err(MissingExpiry)),
        (r#"{"exp":""}"#, Err(MissingExpiry)),
        (r#"{"exp":"2000000060"}"#, Err(MissingExpiry)),
        (r#"{"exp":true}"#, Err(MissingExpiry)),
        (r#"{"exp":[2000000060]}"#, Err(MissingExpiry)),
        (r#"{"exp":{"exp":2000000060}}"#, Err(MissingExpiry)),
        (r#"{"x":{"exp":2000000060}}"#, Err(MissingExpiry)),
        (r#"{"exp":0}"#, Err(Expired)),
        (r#"{"exp":-0}"#, Err(Expired)),
        (r#"{"exp":-2000000060}"#, Err(Expired)),
        (r#"{"exp":-1e300}"#, Err(Expired)),
        (r#"{"exp":1e-400}"#, Err(Expired)),
        (r#"{"exp":1999999999}"#, Err(Expired)),
        (r#"{"exp":1999999999.999999}"#, Err(Expired)),
        (r#"{"exp":2000000000}"#, Err(Expired)),
        (r#"{"exp":2000000000.0}"#, Err(Expired)),
        (r#"{"exp":2e9}"#, Err(Expired)),
        (r#"{"exp":2000000000.000001}"#, Ok(())),
        (r#"{"exp":2000000001}"#, Ok(())),
        (r#"{"exp":20000000010e-1}"#, Ok(())),
        (r#"{"exp":4708683205.891912}"#, Ok(())),
        (r#"{"exp":18446744073709551616}"#, Ok(())),
        (r#"{"exp":1e300}"#, Ok(())),
        (r#"{"exp":1e400}"#, Err(MalformedToken)),
        (r#"{"exp":-1e400}"#, Err(MalformedToken)),
        (r#"{"exp":NaN}"#, Err(MalformedToken)),
        (r#"{"exp":Infinity}"#, Err(MalformedToken)),
        (r#"{"exp":0x7fffffff}"#, Err(MalformedToken)),
        (r#"{"exp":02000000060}"#, Err(MalformedToken)),
        (r#"{"exp":+2000000060}"#, Err(MalformedToken)),
        (r#"{"exp":1,"exp":2000000060}"#, Err(MalformedToken)),
        (r#"{"exp":2000000060,"exp":2000000060}"#, Err(MalformedToken)),
        (r#"{"exp":2000000060,"\u0065xp":1}"#, Err(MalformedToken)),
        (r#"{"exp":2000000060,"nbf":2000000000}"#, Ok(())),
        (r#"{"exp":2000000060,"nbf":-1}"#, Ok(())),
        (r#"{"exp":2000000060,"nbf":2000000000.000001}"#, Err(NotYetValid)),
        (r#"{"exp":2000000060,"nbf":null}"#, Err(NotYetValid)),
        (r#"{"exp":2000000060,"nbf":"0"}"#, Err(NotYetValid)),
        (r#"{"exp":2000000060,"nbf":1,"nbf":1}"#, Err(MalformedToken)),
    ]
    .into_iter()
    .map(|(payload, expected)| (payload, plain(payload), expected))
    .collect();
    check(&verifier(), cases, 41);
}

#[test]
fn leeway_moves_both_edges_and_nothing_else() {
    let lenient = verifier().with_claim_rules(ClaimRules { leeway: 5.0, ..ClaimRules::default() });
    let cases: Vec<Case> = [
        (r#"{"exp":1999999996}"#, Ok(())),
        (r#"{"exp":1999999995.000001}"#, Ok(())),
        (r#"{"exp":1999999995}"#, Err(Expired)),
        (r#"{"exp":0}"#, Err(Expired)),
        (r#"{"exp":2000000060,"nbf":2000000005}"#, Ok(())),
        (r#"{"exp":2000000060,"nbf":2000000005.000001}"#, Err(NotYetValid)),
        (r#"{}"#, Err(MissingExpiry)),
    ]
    .into_iter()
    .map(|(payload, expected)| (payload, plain(payload), expected))
    .collect();
    check(&lenient, cases, 7);
}

#[test]
fn segments_have_one_spelling() {
    let good = plain(PAYLOAD);
    let (head, signature) = good.rsplit_once('.').expect("segments");
    let (first, payload) = head.split_once('.').expect("segments");
    let spaced = |at: usize, what: &str| format!("{}{what}{}", &good[..at], &good[at..]);
    let standard = |bytes: &str| STANDARD_NO_PAD.encode(bytes);
    // Bytes that the two alphabets spell differently.
    let slashed = "{\"exp\":2000000060,\"x\":\"???>>>\u{7f}\"}";
    assert_ne!(standard(slashed), encode(slashed));
    let last = signature.chars().last().expect("a signature") as u8;
    let cases: [Case; 42] = [
        ("as it should be", good.clone(), Ok(())),
        ("nothing", String::new(), Err(EmptyToken)),
        ("white space only", " \t ".into(), Err(EmptyToken)),
        ("dots only", "..".into(), Err(MalformedToken)),
        ("one segment", first.into(), Err(MalformedToken)),
        ("two segments", head.into(), Err(MalformedToken)),
        ("two segments and a dot", format!("{head}."), Err(MalformedToken)),
        ("four segments", format!("{good}.{signature}"), Err(MalformedToken)),
        ("four with an empty last", format!("{good}."), Err(MalformedToken)),
        ("four with an empty first", format!(".{good}"), Err(MalformedToken)),
        ("five, as a JWE has", format!("{good}.a.b"), Err(MalformedToken)),
        ("an empty header", signed(format!(".{payload}")), Err(MalformedToken)),
        ("an empty payload", signed(format!("{first}.")), Err(MalformedToken)),
        (
            "a padded header",
            signed(format!("{}.{payload}", URL_SAFE.encode(r#"{"alg":"HS256" }"#))),
            Err(MalformedToken),
        ),
        (
            "a padded payload",
            signed(format!("{first}.{}", URL_SAFE.encode(format!("{PAYLOAD}  ")))),
            Err(MalformedToken),
        ),
        ("a payload padded for nothing", signed(format!("{first}.{payload}=")), Err(MalformedToken)),
        ("a padded signature", format!("{good}="), Err(MalformedToken)),
        (
            "standard base64 in the header",
            signed(format!("{}.{payload}", standard("{\"alg\":\"HS256\",\"x\":\"???>>>\"}"))),
            Err(MalformedToken),
        ),
        (
            "standard base64 in the payload",
            signed(format!("{first}.{}", standard(slashed))),
            Err(MalformedToken),
        ),
        ("the same in base64url", signed(format!("{first}.{}", encode(slashed))), Ok(())),
        (
            "standard base64 in the signature",
            format!("{head}.{}", STANDARD.encode([0xff; 32])),
            Err(MalformedToken),
        ),
        (
            "a non-canonical header",
            signed(format!("{}.{payload}", non_canonical(r#"{"alg":"HS256" }"#))),
            Err(MalformedToken),
        ),
        (
            "a non-canonical payload",
            signed(format!("{first}.{}", non_canonical(&format!("{PAYLOAD}  ")))),
            Err(MalformedToken),
        ),
        (
            "a non-canonical signature",
            format!("{}{}", &good[..good.len() - 1], (last + 1) as char),
            Err(MalformedToken),
        ),
        ("one character more than base64 can have", format!("{good}AA"), Err(MalformedToken)),
        ("a shorter signature", good[..good.len() - 3].into(), Err(BadSignature)),
        ("a signature of one byte", format!("{head}.AA"), Err(BadSignature)),
        ("a longer signature", format!("{head}.{}", encode([0; 64])), Err(BadSignature)),
        ("a signature longer than any key's", format!("{head}.{}", encode([0; 1100])), Err(MalformedToken)),
        ("blanks around", format!("  {good} "), Ok(())),
        ("tabs around", format!("\t{good}\t"), Ok(())),
        ("a line feed at the end", format!("{good}\n"), Err(MalformedToken)),
        ("a line break before", format!("\r\n{good}"), Err(MalformedToken)),
        ("a blank in the header", spaced(4, " "), Err(MalformedToken)),
        ("a blank at a dot", spaced(first.len(), " "), Err(MalformedToken)),
        ("a blank in the signature", spaced(good.len() - 2, " "), Err(MalformedToken)),
        ("a NUL at the end", format!("{good}\0"), Err(MalformedToken)),
        ("a NUL in the header", spaced(4, "\0"), Err(MalformedToken)),
        ("not ASCII in the header", spaced(4, "é"), Err(MalformedToken)),
        ("not ASCII in the signature", spaced(good.len() - 2, "é"), Err(MalformedToken)),
        ("a full-width dot", good.replacen('.', "\u{ff0e}", 1), Err(MalformedToken)),
        ("percent-encoded dots", good.replace('.', "%2E"), Err(MalformedToken)),
    ];
    check(&verifier(), cases, 42);
    // A changed payload is not even decoded: the signature speaks first.
    assert_eq!(judge(&verifier(), spaced(first.len() + 3, " ")), Err(BadSignature));
    assert_eq!(judge(&verifier(), [0xff, 0xfe, b'.', 0x80, b'.', 0xc3]), Err(MalformedToken));
}

#[test]
fn payload_must_be_one_flat_object_with_unique_names() {
    let nested =
        |depth: usize| format!("{{\"exp\":2000000060,\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    let objects = format!("{{\"exp\":2000000060,\"x\":{}1{}}}", "{\"x\":".repeat(500), "}".repeat(500));
    let members = |count: usize| {
        let more: String = (1..count).map(|index| format!(",\"m{index}\":0")).collect();
        format!("{{\"exp\":2000000060{more}}}")
    };
    let huge = format!("{{\"exp\":2000000060,\"x\":{}}}", "9".repeat(2000));
    let cases: Vec<Case> = [
        ("a list", "[]".to_owned(), Err(MalformedToken)),
        ("a list with an object", format!("[{PAYLOAD}]"), Err(MalformedToken)),
        ("a string", r#""exp""#.into(), Err(MalformedToken)),
        ("a number", "2000000060".into(), Err(MalformedToken)),
        ("null", "null".into(), Err(MalformedToken)),
        ("true", "true".into(), Err(MalformedToken)),
        ("two objects", format!("{PAYLOAD}{PAYLOAD}"), Err(MalformedToken)),
        ("something behind", format!("{PAYLOAD}x"), Err(MalformedToken)),
        ("a NUL behind", format!("{PAYLOAD}\0"), Err(MalformedToken)),
        ("cut short", PAYLOAD[..PAYLOAD.len() - 1].into(), Err(MalformedToken)),
        ("white space around", format!(" \r\n\t{PAYLOAD}\n"), Ok(())),
        ("a byte order mark", format!("\u{feff}{PAYLOAD}"), Err(MalformedToken)),
        ("some nesting", nested(20), Ok(())),
        ("deep nesting", nested(2000), Err(MalformedToken)),
        ("deep objects", objects, Err(MalformedToken)),
        ("a huge number", huge, Err(MalformedToken)),
        ("many members", members(64), Ok(())),
        ("too many members", members(65), Err(MalformedToken)),
        ("any member repeated", r#"{"exp":2000000060,"x":1,"x":1}"#.into(), Err(MalformedToken)),
        ("the device repeated", r#"{"exp":2000000060,"did":"a","d\u0069d":"b"}"#.into(), Err(MalformedToken)),
        ("a lone surrogate", r#"{"exp":2000000060,"did":"\ud800"}"#.into(), Err(MalformedToken)),
        ("a control character", "{\"exp\":2000000060,\"did\":\"\n\"}".into(), Err(MalformedToken)),
        ("a comment", r#"{"exp":2000000060/*x*/}"#.into(), Err(MalformedToken)),
    ]
    .into_iter()
    .map(|(name, payload, expected)| (name, plain(payload), expected))
    .collect();
    check(&verifier(), cases, 23);
    for bytes in [&b"{\"exp\":2000000060,\"did\":\"\xff\"}"[..], b"\xff\xfe{\x00}\x00", b"\x80"] {
        assert_eq!(judge(&verifier(), plain(bytes)), Err(MalformedToken), "{bytes:?}");
    }
}

#[test]
fn nothing_in_the_header_brings_a_key_or_a_meaning() {
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
    check(&verifier(), cases, 13);
}

#[test]
fn key_id_chooses_among_the_configured_keys_only() {
    let kid = |kid: &str| header(&format!(r#"{{"alg":"HS256","kid":{kid}}}"#));
    let huge = |bytes: usize| kid(&format!("\"{}\"", "k".repeat(bytes)));
    let named = Verifier::new(vec![
        Key::hs256(&secret(SECRET)).with_id("current"),
        Key::es256_from_pem(&ec().public).expect("a key").with_id("set"),
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
    check(&named, cases, 15);
    let cases: [Case; 4] = [
        ("a key without id answers to any kid", kid(r#""0001""#), Ok(())),
        ("and to none", plain(PAYLOAD), Ok(())),
        ("but not to that of another key", kid(r#""old""#), Err(BadSignature)),
        ("repeated", header(r#"{"alg":"HS256","kid":"a","kid":"a"}"#), Err(MalformedToken)),
    ];
    check(&mixed, cases, 4);
}

#[test]
fn during_rotation_each_configured_secret_is_good() {
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
    let foreign = hs256(b"a secret that nobody ever configured here", &head);
    assert_eq!(judge(&verifier, format!("{head}.{foreign}")), Err(BadSignature));
    // With no key at all nothing is accepted.
    assert_eq!(judge(&Verifier::new(Vec::new()), plain(PAYLOAD)), Err(UnknownKey));
}

#[test]
fn issuer_and_audience_are_held_against_the_lists() {
    let rules = ClaimRules {
        issuers: vec!["account.approov.io".into()],
        audiences: vec!["api.example.com".into(), "api.example.org".into()],
        ..ClaimRules::default()
    };
    let verifier = verifier().with_claim_rules(rules);
    let claims = |iss: &str, aud: &str| plain(format!(r#"{{"exp":2000000060{iss}{aud}}}"#));
    let (iss, aud) = (r#","iss":"account.approov.io""#, r#","aud":"api.example.com""#);
    let cases: [Case; 16] = [
        ("both", claims(iss, aud), Ok(())),
        ("a list of audiences", claims(iss, r#","aud":["other","api.example.org"]"#), Ok(())),
        ("no issuer", claims("", aud), Err(WrongIssuer)),
        ("another issuer", claims(r#","iss":"account.approov.io.evil""#, aud), Err(WrongIssuer)),
        ("a list of issuers", claims(r#","iss":["account.approov.io"]"#, aud), Err(WrongIssuer)),
        ("issuer null", claims(r#","iss":null"#, aud), Err(WrongIssuer)),
        ("an empty issuer", claims(r#","iss":"""#, aud), Err(WrongIssuer)),
        ("no audience", claims(iss, ""), Err(WrongAudience)),
        ("another audience", claims(iss, r#","aud":"api.example.net""#), Err(WrongAudience)),
        ("another letter case", claims(iss, r#","aud":"API.example.com""#), Err(WrongAudience)),
        ("a part of it", claims(iss, r#","aud":"example.com""#), Err(WrongAudience)),
        ("an empty list", claims(iss, r#","aud":[]"#), Err(WrongAudience)),
        ("a list of others", claims(iss, r#","aud":["a","b"]"#), Err(WrongAudience)),
        ("a list not of strings only", claims(iss, r#","aud":[1,"api.example.com"]"#), Err(WrongAudience)),
        ("an object", claims(iss, r#","aud":{"api.example.com":1}"#), Err(WrongAudience)),
        ("a nested list", claims(iss, r#","aud":[["api.example.com"]]"#), Err(WrongAudience)),
    ];
    check(&verifier, cases, 16);
    assert_eq!(judge(&crate::tokens::verifier(), claims(r#","iss":5"#, r#","aud":[]"#)), Ok(()));
}

#[test]
fn status_words_prefixes_and_joined_tokens_are_told_apart() {
    let good = plain(PAYLOAD);
    let cases: [Case; 14] = [
        ("a status word", "NO_NETWORK".into(), Err(ClientStatus)),
        ("another", "POOR_NETWORK".into(), Err(ClientStatus)),
        ("another", "MITM_DETECTED".into(), Err(ClientStatus)),
        ("a later one", " SOME_FUTURE_WORD ".into(), Err(ClientStatus)),
        ("in lower case", "no_network".into(), Err(MalformedToken)),
        ("a word", "unauthorized,".into(), Err(RepeatedToken)),
        ("too long for a word", "A".repeat(65), Err(MalformedToken)),
        ("a prefix that is not configured", format!("Bearer {good}"), Err(MalformedToken)),
        ("joined", format!("{good},{good}"), Err(RepeatedToken)),
        ("joined with a blank", format!("{good}, {good}"), Err(RepeatedToken)),
        ("joined with nothing", format!("{good},"), Err(MalformedToken)),
        ("nothing joined with it", format!(",{good}"), Err(MalformedToken)),
        ("a word joined with it", format!("NO_NETWORK, {good}"), Err(MalformedToken)),
        ("words joined", "NO_NETWORK, NO_NETWORK".into(), Err(RepeatedToken)),
    ];
    check(&verifier(), cases, 14);
    let cases: [Case; 12] = [
        ("the prefix", format!("Bearer {good}"), Ok(())),
        ("in lower case", format!("bearer {good}"), Ok(())),
        ("with more blanks", format!(" BEARER \t {good} "), Ok(())),
        ("without", good.clone(), Ok(())),
        ("alone", "Bearer".into(), Err(EmptyToken)),
        ("alone with a blank", "Bearer ".into(), Err(EmptyToken)),
        ("glued", format!("Bearer{good}"), Err(MalformedToken)),
        ("with a colon", format!("Bearer: {good}"), Err(MalformedToken)),
        ("twice", format!("Bearer Bearer {good}"), Err(MalformedToken)),
        ("another", format!("Basic {good}"), Err(MalformedToken)),
        ("a status word", "Bearer NO_NETWORK".into(), Err(ClientStatus)),
        ("with a line feed", format!("Bearer\n{good}"), Err(MalformedToken)),
    ];
    check(&verifier().with_prefix("Bearer"), cases, 12);
    for (presented, expected) in [(Presented::Missing, MissingToken), (Presented::Repeated, RepeatedToken)] {
        let verdict = verifier().verify(Strategy::Token, presented, |_| Presented::Missing, now());
        assert_eq!(verdict.rejection, Some(expected));
    }
}

#[test]
fn length_is_limited_before_anything_is_read() {
    let good = plain(PAYLOAD);
    let exact = verifier().with_max_token_length(good.len());
    let padded = |bytes: usize| plain(format!(r#"{{"exp":2000000060,"x":"{}"}}"#, "x".repeat(bytes)));
    let cases: [Case; 3] = [
        ("as long as allowed", good.clone(), Ok(())),
        ("with blanks around", format!(" {good} "), Ok(())),
        ("one longer", format!("{good}A"), Err(OversizedToken)),
    ];
    check(&exact, cases, 3);
    let cases: [Case; 4] = [
        ("large", padded(6000), Ok(())),
        ("too large", padded(6200), Err(OversizedToken)),
        ("64 KiB", padded(48 * 1024), Err(OversizedToken)),
        ("64 KiB of a status word", "A".repeat(65536), Err(OversizedToken)),
    ];
    check(&verifier(), cases, 4);
}

const VALUE: &str = "Bearer ExampleAuthToken==";
const HASH: &str = "/bX+nDsJ4DvAZC00keV3f8p3jG1K6GlUDRhop8W8nPs=";

fn bound_to(claim: &str) -> String {
    plain(format!(r#"{{"exp":2000000060,"pay":{claim}}}"#))
}

#[test]
fn binding_claim_has_one_spelling() {
    let hex = "fdb5fe9c3b09e03bc0642d3491e5777fca778c6d4ae869540d1868a7c5bc9cfb";
    let bare = binding_hash(["ExampleAuthToken=="]);
    let text = |hash: &str| bound_to(&format!("\"{hash}\""));
    let presented = [Presented::Once(VALUE.as_bytes())];
    let cases: [Case; 17] = [
        ("the hash", text(HASH), Ok(())),
        ("the hash with an escaped slash", bound_to(&format!("\"\\{HASH}\"")), Ok(())),
        ("absent", plain(PAYLOAD), Err(MissingBindingClaim)),
        (
            "in another letter case of the name",
            plain(format!(r#"{{"exp":2000000060,"PAY":"{HASH}"}}"#)),
            Err(MissingBindingClaim),
        ),
        ("null", bound_to("null"), Err(BindingMismatch)),
        ("empty", text(""), Err(BindingMismatch)),
        ("a number", bound_to("0"), Err(BindingMismatch)),
        ("true", bound_to("true"), Err(BindingMismatch)),
        ("a list with the hash", bound_to(&format!("[\"{HASH}\"]")), Err(BindingMismatch)),
        ("hexadecimal", text(hex), Err(BindingMismatch)),
        ("base64url", text(&HASH.replace('/', "_").replace('+', "-")), Err(BindingMismatch)),
        ("unpadded", text(HASH.trim_end_matches('=')), Err(BindingMismatch)),
        ("a blank behind", text(&format!("{HASH} ")), Err(BindingMismatch)),
        ("a non-canonical spelling", text(&HASH.replace("s=", "t=")), Err(BindingMismatch)),
        ("of the value without its scheme", text(&bare), Err(BindingMismatch)),
        ("the value itself", text(VALUE), Err(BindingMismatch)),
        (
            "repeated",
            plain(format!(r#"{{"exp":2000000060,"pay":"{HASH}","pay":"{HASH}"}}"#)),
            Err(MalformedToken),
        ),
    ];
    for (name, token, expected) in &cases {
        let verdict = judge_bound(&verifier(), Strategy::TokenBinding, token, &presented);
        assert_eq!(verdict, *expected, "{name}");
        // Without binding the claim is not looked at.
        let unbound = expected.err().filter(|rejection| *rejection == MalformedToken);
        assert_eq!(judge(&verifier(), token).err(), unbound, "{name}");
    }
    // Accepting a missing claim accepts a missing one only.
    let rules = BindingRules { missing_claim: MissingClaim::Accept, ..BindingRules::default() };
    let lenient = verifier().with_binding_rules(rules);
    let verdict = |token: &str| judge_bound(&lenient, Strategy::TokenBinding, token, &presented);
    assert_eq!(verdict(&plain(PAYLOAD)), Ok(()));
    for claim in ["null", "\"\"", "0"] {
        assert_eq!(verdict(&bound_to(claim)), Err(BindingMismatch), "{claim}");
    }
}

#[test]
fn bound_header_must_be_there_once() {
    let token = bound_to(&format!("\"{HASH}\""));
    let once = |value: &'static str| Presented::Once(value.as_bytes());
    let cases = [
        ("as bound", once(VALUE), Ok(())),
        ("with blanks around", once("  Bearer ExampleAuthToken==\t"), Ok(())),
        ("missing", Presented::Missing, Err(MissingBindingHeader)),
        ("empty", once(""), Err(MissingBindingHeader)),
        ("white space only", once(" \t "), Err(MissingBindingHeader)),
        ("repeated", Presented::Repeated, Err(RepeatedBindingHeader)),
        ("joined", once("Bearer ExampleAuthToken==, Bearer ExampleAuthToken=="), Err(BindingMismatch)),
        ("in another letter case", once("bearer ExampleAuthToken=="), Err(BindingMismatch)),
        ("two blanks inside", once("Bearer  ExampleAuthToken=="), Err(BindingMismatch)),
        ("without its scheme", once("ExampleAuthToken=="), Err(BindingMismatch)),
        ("a line feed behind", once("Bearer ExampleAuthToken==\n"), Err(BindingMismatch)),
    ];
    for (name, presented, expected) in cases {
        let verdict = judge_bound(&verifier(), Strategy::TokenBinding, &token, &[presented]);
        assert_eq!(verdict, expected, "{name}");
    }
    // What is wrong with the token itself comes first.
    let expired = plain(format!(r#"{{"exp":{NOW},"pay":"{HASH}"}}"#));
    let verdict = judge_bound(&verifier(), Strategy::TokenBinding, expired, &[Presented::Missing]);
    assert_eq!(verdict, Err(Expired));
}

#[test]
fn several_bound_headers_are_all_needed_and_in_order() {
    let rules = BindingRules { headers: 2, ..BindingRules::default() };
    let verifier = verifier().with_binding_rules(rules);
    let token = bound_to("\"71tnS3rSq2lanEWrKz4MoexiOMtv7w0fspfM8BAQKNU=\"");
    let (auth, device) = (Presented::Once(b" Bearer myauth_token"), Presented::Once(b"my-device-id "));
    let cases: [(&str, &[Presented<'_>], Result<(), Rejection>); 6] = [
        ("both", &[auth, device], Ok(())),
        ("swapped", &[device, auth], Err(BindingMismatch)),
        ("one", &[auth], Err(MissingBindingHeader)),
        ("the other", &[Presented::Missing, device], Err(MissingBindingHeader)),
        ("an empty one", &[auth, Presented::Once(b" ")], Err(MissingBindingHeader)),
        ("one twice", &[auth, Presented::Repeated], Err(RepeatedBindingHeader)),
    ];
    for (name, bound, expected) in cases {
        assert_eq!(judge_bound(&verifier, Strategy::TokenBinding, &token, bound), expected, "{name}");
    }
}

/// The protocol concatenates without a separator, so several bound headers vouch for their
/// concatenation only, not for where one value ends and the next begins.
#[test]
fn the_protocol_does_not_tell_where_one_bound_value_ends() {
    assert_eq!(binding_hash(["ab", "c"]), binding_hash(["a", "bc"]));
    let verifier = verifier().with_binding_rules(BindingRules { headers: 2, ..BindingRules::default() });
    let token = bound_to(&format!("\"{}\"", binding_hash(["ab", "c"])));
    let shifted = [Presented::Once(b"a"), Presented::Once(b"bc")];
    assert_eq!(judge_bound(&verifier, Strategy::TokenBinding, token, &shifted), Ok(()));
}
