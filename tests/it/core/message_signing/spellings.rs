//! Signatures in another form than the RFC asks for, and what identifies a signature for the replay store.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{CREATED, PARAMETERS, Request, Signer, URI, default_lines, request, signature};

#[test]
fn a_der_signature_is_good_for_compatibility() {
    let signer = Signer::install();
    // About every second pair of numbers has a leading zero in DER; 70 and 71 bytes are both seen.
    for _ in 0..16 {
        let (input, signed) = signature(&signer, &default_lines("GET", URI), PARAMETERS);
        let raw = STANDARD.decode(signed.trim_matches(':')).expect("base64");
        let der = [integer(&raw[..32]), integer(&raw[32..])].concat();
        let der = [&[0x30, u8::try_from(der.len()).expect("short")], &der[..]].concat();
        if !(68..=72).contains(&der.len()) {
            continue;
        }
        let judge = |der: &[u8]| {
            request()
                .with("Signature-Input", &format!("install={input}"))
                .with("Signature", &format!("install=:{}:", STANDARD.encode(der)))
                .verdict(&signer.claims())
        };
        assert_eq!(judge(&der), "compat");
        let mut other = der.clone();
        other[0] = 0x31;
        assert_eq!(judge(&other), "malformed_message_signature");
    }
}

fn integer(digits: &[u8]) -> Vec<u8> {
    let start = digits.iter().position(|byte| *byte != 0).expect("not zero");
    let sign: &[u8] = if digits[start] >= 0x80 { &[0] } else { &[] };
    let content = [sign, &digits[start..]].concat();
    [&[2, u8::try_from(content.len()).expect("short")], &content[..]].concat()
}

#[test]
fn known_deviations_of_clients_are_good_for_compatibility_and_others_are_not() {
    let signer = Signer::install();
    let [method, _, token] = default_lines("GET", "");
    let uri = |value| vec![method, ("\"@target-uri\"", value), token];
    let parts = |authority, path, query| {
        vec![method, ("\"@authority\"", authority), ("\"@path\"", path), ("\"@query\"", query), token]
    };
    for (authority, target, lines, expected) in [
        ("a.example", "/", uri("https://a.example"), "compat"),
        ("a.example", "/?x=1", uri("https://a.example?x=1"), "compat"),
        ("a.example", "/b", uri("https://a.example"), "bad_message_signature"),
        ("a.example", "/b?p=x|y{}", uri("https://a.example/b?p=x%7Cy%7B%7D"), "compat"),
        ("a.example", "/b?p=x|y", uri("https://a.example/b?p=x%7cy"), "bad_message_signature"),
        ("a.example:1234", "/b", uri("https://a.example/b"), "bad_message_signature"),
        // OkHttp up to 3.5.6.
        (
            "example.com:1234",
            "/path/seg%201/seg+2/?param1=&param2=arg%201&param3=Arg+3",
            parts("example.com", "/path/seg%201/seg+2/", "param1=&param2=arg%201&param3=Arg+3"),
            "compat",
        ),
        // URLSession.
        ("a.example:1234", "/a%20b?x=1", parts("a.example", "/a b", "x=1"), "compat"),
        // Flutter.
        ("a.example:1234", "/a%20b?x=1", parts("a.example:1234", "/a%20b", "x=1"), "compat"),
        // React Native on iOS.
        ("a.example", "/a%20b?x=1", parts("a.example", "/a b", "?x=1"), "compat"),
        // Unity.
        ("a.example", "/b?x=1", parts("a.example", "/b", "?x=1"), "valid"),
        ("a.example", "/b", parts("a.example", "/b", "?"), "valid"),
        ("a.example", "/b", parts("a.example", "/b", ""), "compat"),
        ("a.example", "/a%0Ab", parts("a.example", "/a\nb", "?"), "bad_message_signature"),
        ("b.example", "/b", parts("a.example", "/b", "?"), "bad_message_signature"),
    ] {
        let request = Request::get(authority, target).signed(&signer, &lines);
        assert_eq!(request.verdict(&signer.claims()), expected, "{authority} {target} {lines:?}");
    }
}

#[test]
fn a_replay_mark_is_the_same_for_both_spellings_of_a_signature() {
    let signer = Signer::install();
    let lines = default_lines("GET", URI);
    let first = request().signed(&signer, &lines);
    let encoded = String::from_utf8(first.fields[2].1.clone()).expect("text");
    let mut raw = STANDARD.decode(&encoded["install=:".len()..encoded.len() - 1]).expect("base64");
    let twin: Vec<u8> = negated(&raw[32..]);
    raw[32..].copy_from_slice(&twin);
    let input = String::from_utf8(first.fields[1].1.clone()).expect("text");
    let second = request()
        .with("Signature-Input", &input)
        .with("Signature", &format!("install=:{}:", STANDARD.encode(&raw)));
    let mark = |request: &Request| request.judge(&signer.claims()).mark.expect("a good signature");
    assert_ne!(first.fields[2], second.fields[2]);
    assert_eq!(mark(&first), mark(&second));
    assert_eq!((mark(&first).until, mark(&first).is_ambiguous), (CREATED + 15 + 60, false));
    assert_ne!(mark(&first).id, mark(&request().signed(&signer, &lines)).id, "ECDSA is randomised");

    let nonce = format!("{PARAMETERS};nonce=\"n\"");
    let with_nonce = || mark(&request().signed_with(&signer, &lines, &nonce));
    assert_eq!(with_nonce(), with_nonce(), "a nonce identifies the request");
}

/// n − s for the order n of P-256, by addition of the complement.
fn negated(s: &[u8]) -> Vec<u8> {
    const ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let order: Vec<i32> =
        (0..32).map(|at| i32::from_str_radix(&ORDER[2 * at..2 * at + 2], 16).expect("hexadecimal")).collect();
    let mut borrow = 0;
    let mut result = vec![0; 32];
    for at in (0..32).rev() {
        let difference = order[at] - i32::from(s[at]) - borrow;
        borrow = i32::from(difference < 0);
        result[at] = u8::try_from(difference + 256 * borrow).expect("one digit");
    }
    result
}

#[test]
fn equal_requests_with_an_hmac_are_ambiguous_without_a_nonce() {
    let signer = Signer::account();
    let lines = default_lines("GET", URI);
    let mark = |parameters: &str| {
        let request = request().signed_with(&signer, &lines, parameters);
        request.judge(&signer.claims()).mark.expect("a good signature")
    };
    assert!(mark(PARAMETERS).is_ambiguous);
    assert_eq!(mark(PARAMETERS), mark(PARAMETERS));
    assert!(!mark(&format!("{PARAMETERS};nonce=\"n\"")).is_ambiguous);
}
