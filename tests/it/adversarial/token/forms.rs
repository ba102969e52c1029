//! Malformed tokens: segments, base64, JSON of the payload, length, prefixes, and status words in place
//! of a token.

use approov_gateway::approov::Rejection::*;
use approov_gateway::approov::{Presented, Strategy};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};

use crate::core::tokens::{Case, PAYLOAD, check, encode, judge, now, plain, signed, verifier};

/// The same bytes in base64url with unused bits that are not zero.
fn non_canonical(bytes: &str) -> String {
    assert_ne!(bytes.len() % 3, 0, "a length with unused bits");
    let mut text = encode(bytes).into_bytes();
    let last = text.last_mut().expect("not empty");
    // The canonical last character ends in zero bits (A, Q, g, w, E, …). The next character does not.
    *last += 1;
    String::from_utf8(text).expect("ASCII")
}

#[test]
fn segments_have_one_spelling() {
    let good = plain(PAYLOAD);
    let (head, signature) = good.rsplit_once('.').expect("segments");
    let (first, payload) = head.split_once('.').expect("segments");
    let spaced = |at: usize, what: &str| format!("{}{what}{}", &good[..at], &good[at..]);
    let standard = |bytes: &str| STANDARD_NO_PAD.encode(bytes);
    // Bytes that differ between base64 and base64url.
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
        ("five, like a JWE", format!("{good}.a.b"), Err(EncryptedToken)),
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
    check(&verifier(), cases);
    // The signature is verified before the payload is decoded.
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
    check(&verifier(), cases);
    for bytes in [&b"{\"exp\":2000000060,\"did\":\"\xff\"}"[..], b"\xff\xfe{\x00}\x00", b"\x80"] {
        assert_eq!(judge(&verifier(), plain(bytes)), Err(MalformedToken), "{bytes:?}");
    }
}

#[test]
fn status_words_prefixes_and_joined_tokens_are_told_apart() {
    let good = plain(PAYLOAD);
    let cases = [
        ("a status word", "NO_NETWORK".into(), Err(ClientStatus)),
        ("another", "POOR_NETWORK".into(), Err(ClientStatus)),
        ("another", "MITM_DETECTED".into(), Err(ClientStatus)),
        ("a later one", " SOME_FUTURE_WORD ".into(), Err(ClientStatus)),
        ("in lower case", "no_network".into(), Err(ClientStatus)),
        ("an unknown word in lower case", "some_future_word".into(), Err(MalformedToken)),
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
    check(&verifier(), cases);
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
    check(&verifier().with_prefix("Bearer"), cases);
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
    check(&exact, cases);
    let cases: [Case; 4] = [
        ("large", padded(6000), Ok(())),
        ("too large", padded(6200), Err(OversizedToken)),
        ("64 KiB", padded(48 * 1024), Err(OversizedToken)),
        ("64 KiB of a status word", "A".repeat(65536), Err(OversizedToken)),
    ];
    check(&verifier(), cases);
}
