//! What is accepted, what is refused, and why.

use approov_gateway::approov::Rejection;
use approov_gateway::approov::message_signing::{Mode, SignatureResult};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{CREATED, PARAMETERS, Request, Signer, at, claims, default_lines, rules, signature};

const URI: &str = "https://api.example.com/v1/x?a=1";

fn request() -> Request {
    Request::get("api.example.com", "/v1/x?a=1")
}

#[test]
fn each_label_is_verified_with_the_key_that_the_token_names() {
    let (install, account, other) = (Signer::install(), Signer::account(), Signer::install());
    let lines = default_lines("GET", URI);
    let wrong_mac = Signer::Account(vec![7; 64]);
    let both = {
        let ((input1, signature1), (input2, signature2)) =
            (signature(&account, &lines, PARAMETERS), signature(&install, &lines, PARAMETERS));
        request()
            .with("Signature-Input", &format!("account={input1}"))
            .with("signature-input", &format!("install={input2}"))
            .with("Signature", &format!("account={signature1},install={signature2}"))
    };
    let keyed = json!({ "ipk": install.ipk(), "mskid": "j3AWy6" });
    let signed = |signer: &Signer| request().signed(signer, &lines);
    for (name, token, request, expected) in [
        ("ipk, install", json!({ "ipk": install.ipk() }), signed(&install), "valid"),
        ("ipk, absent", json!({ "ipk": install.ipk() }), request(), "missing_message_signature"),
        ("ipk, wrong", json!({ "ipk": install.ipk() }), signed(&other), "bad_message_signature"),
        ("ipk, account", json!({ "ipk": install.ipk() }), signed(&account), "missing_message_signature"),
        ("mskid, account", json!({ "mskid": "j3AWy6" }), signed(&account), "valid"),
        ("mskid, absent", json!({ "mskid": "j3AWy6" }), request(), "missing_message_signature"),
        ("mskid, wrong", json!({ "mskid": "j3AWy6" }), signed(&wrong_mac), "bad_message_signature"),
        ("mskid, install", json!({ "mskid": "j3AWy6" }), signed(&install), "missing_message_signature"),
        ("mskid unknown", json!({ "mskid": "other" }), signed(&account), "unknown_message_signing_key"),
        ("mskid no text", json!({ "mskid": 1 }), signed(&account), "unknown_message_signing_key"),
        ("ipk no key", json!({ "ipk": "AAAA" }), signed(&install), "unknown_message_signing_key"),
        ("ipk null", json!({ "ipk": null }), signed(&install), "unknown_message_signing_key"),
        ("ipk and mskid, account only", keyed.clone(), signed(&account), "missing_message_signature"),
        ("ipk and mskid, both", keyed, both.clone(), "valid"),
        ("mskid, both", json!({ "mskid": "j3AWy6" }), both, "valid"),
        ("no key, absent", json!({}), request(), "missing_message_signature"),
        ("no key, signed", json!({}), signed(&install), "unknown_message_signing_key"),
    ] {
        assert_eq!(request.verdict(&claims(token)), expected, "{name}");
    }
}

#[test]
fn a_mode_decides_whether_a_result_refuses() {
    let install = Signer::install();
    let good = request().signed(&install, &default_lines("GET", URI));
    let bad = request().signed(&Signer::install(), &default_lines("GET", URI));
    let refusals = |request: &Request, claims| {
        let judgement = request.judge(&claims);
        [Mode::Off, Mode::Observe, Mode::WhenKeyed, Mode::Required].map(|mode| judgement.refusal(mode))
    };
    let missing = Some(Rejection::MissingMessageSignature);
    let wrong = Some(Rejection::BadMessageSignature);
    assert_eq!(refusals(&good, install.claims()), [None; 4]);
    assert_eq!(refusals(&bad, install.claims()), [None, None, wrong, wrong]);
    assert_eq!(refusals(&request(), install.claims()), [None, None, missing, missing]);
    assert_eq!(refusals(&request(), claims(json!({}))), [None, None, None, missing]);
    assert_eq!(request().judge(&claims(json!({}))).result, SignatureResult::NoKey);
}

#[test]
fn the_method_the_target_and_the_token_must_be_covered() {
    let signer = Signer::install();
    let [method, uri, token] = default_lines("GET", URI);
    let (authority, path, query) =
        (("\"@authority\"", "api.example.com"), ("\"@path\"", "/v1/x"), ("\"@query\"", "?a=1"));
    for (lines, expected) in [
        (vec![method, uri, token], "valid"),
        (vec![token, uri, method], "valid"),
        (vec![method, authority, path, query, token], "valid"),
        (vec![method, uri], "insufficient_coverage"),
        (vec![method, token], "insufficient_coverage"),
        (vec![uri, token], "insufficient_coverage"),
        (vec![method, path, query, token], "insufficient_coverage"),
        (vec![method, authority, path, token], "insufficient_coverage"),
        (vec![method, authority, query, token], "insufficient_coverage"),
        (vec![], "insufficient_coverage"),
    ] {
        let request = request().signed(&signer, &lines);
        assert_eq!(request.verdict(&signer.claims()), expected, "{lines:?}");
    }
}

#[test]
fn every_implemented_component_has_the_value_of_the_rfc() {
    let signer = Signer::install();
    let mut lines = default_lines("GET", "http://api.example.com:8080/search?foo=bar&baz=1").to_vec();
    lines.extend([
        ("\"@authority\"", "api.example.com:8080"),
        ("\"@scheme\"", "http"),
        ("\"@request-target\"", "/search?foo=bar&baz=1"),
        ("\"@path\"", "/search"),
        ("\"@query\"", "?foo=bar&baz=1"),
        ("\"@query-param\";name=\"foo\"", "bar"),
        ("\"@query-param\";name=\"baz\"", "1"),
        ("\"x-list\"", "a, b, c"),
        ("\"x-empty\"", ""),
    ]);
    let mut request = Request::get("API.example.com:8080", "/search?foo=bar&baz=1")
        .with("X-List", " a ")
        .with("x-list", "b, c\t")
        .with("X-Empty", " ");
    request.is_secure = false;
    assert_eq!(request.signed(&signer, &lines).verdict(&signer.claims()), "valid");

    let lines =
        [default_lines("GET", "https://api.example.com/").as_slice(), &[("\"@query\"", "?")]].concat();
    let request = Request::get("api.example.com:443", "/").signed(&signer, &lines);
    assert_eq!(request.verdict(&signer.claims()), "valid");
}

#[test]
fn components_that_are_repeated_unknown_or_have_parameters_are_refused() {
    let signer = Signer::install();
    for (extra, value, expected) in [
        ("\"@method\"", "GET", "malformed_message_signature"),
        ("\"@status\"", "200", "malformed_message_signature"),
        ("\"@METHOD\"", "GET", "malformed_message_signature"),
        ("\"X-A\"", "1", "malformed_message_signature"),
        ("\"\"", "1", "malformed_message_signature"),
        ("x-a", "1", "malformed_message_signature"),
        ("\"x-a\";sf", "1", "malformed_message_signature"),
        ("\"x-a\";bs", ":MQ==:", "malformed_message_signature"),
        ("\"x-a\";key=\"b\"", "1", "malformed_message_signature"),
        ("\"x-a\";req", "1", "malformed_message_signature"),
        ("\"x-a\";tr", "1", "malformed_message_signature"),
        ("\"@query-param\"", "1", "malformed_message_signature"),
        ("\"@query-param\";name=a", "1", "malformed_message_signature"),
        ("\"@path\";name=\"a\"", "/v1/x", "malformed_message_signature"),
        ("\"x-absent\"", "", "bad_message_signature"),
        ("\"@query-param\";name=\"z\"", "", "bad_message_signature"),
        ("\"content-digest\"", "", "missing_content_digest"),
    ] {
        let lines = [default_lines("GET", URI).as_slice(), &[(extra, value)]].concat();
        let request = request().with("X-A", "1").signed(&signer, &lines);
        assert_eq!(request.verdict(&signer.claims()), expected, "{extra}");
    }
    let many: Vec<String> = (0..30).map(|number| format!("\"x-{number}\"")).collect();
    let mut lines = default_lines("GET", URI).to_vec();
    lines.extend(many.iter().map(|name| (&**name, "")));
    let request = request().signed(&signer, &lines);
    assert_eq!(request.verdict(&signer.claims()), "malformed_message_signature", "33 components");
}

#[test]
fn signatures_are_good_for_a_limited_time() {
    let signer = Signer::install();
    let judge = |parameters: &str, now: u64| {
        let request = request().signed_with(&signer, &default_lines("GET", URI), parameters);
        let judgement = rules().verify(&request.message(), &signer.claims(), at(now));
        judgement.rejection.map_or("valid", |rejection| rejection.label())
    };
    let created = format!(";created={CREATED}");
    let short = format!(";expires={};created={CREATED}", CREATED + 15);
    let long = format!(";created={CREATED};expires={}", CREATED + 100_000);
    for (parameters, now, expected) in [
        (&created, CREATED, "valid"),
        (&created, CREATED - 60, "valid"),
        (&created, CREATED - 61, "message_signature_not_yet_valid"),
        (&created, CREATED + 119, "valid"),
        (&created, CREATED + 120, "message_signature_expired"),
        (&short, CREATED + 74, "valid"),
        (&short, CREATED + 75, "message_signature_expired"),
        (&long, CREATED + 119, "valid"),
        (&long, CREATED + 120, "message_signature_expired"),
    ] {
        assert_eq!(judge(parameters, now), expected, "{parameters} at {now}");
    }
    for parameters in [
        String::new(),
        format!(";expires={}", CREATED + 15),
        format!(";created={CREATED}.5"),
        format!(";created=\"{CREATED}\""),
        format!(";created={CREATED};expires={}", CREATED - 1),
        format!(";created={CREATED};expires"),
        format!(";created={CREATED};created={CREATED}"),
        ";created=99999999999999999999".into(),
    ] {
        assert_eq!(judge(&parameters, CREATED), "malformed_message_signature", "{parameters}");
    }
    assert_eq!(judge(";created=-1", CREATED), "message_signature_expired");
    assert_eq!(judge(";created=999999999999999", CREATED), "message_signature_not_yet_valid");
}

#[test]
fn an_algorithm_must_be_that_of_the_label_and_other_parameters_are_signed_as_received() {
    let signer = Signer::install();
    let lines = default_lines("GET", URI);
    for (parameters, expected) in [
        (";alg=\"ecdsa-p256-sha256\"", "valid"),
        (";alg=\"hmac-sha256\"", "malformed_message_signature"),
        (";alg=\"rsa-pss-sha512\"", "malformed_message_signature"),
        (";alg=ecdsa-p256-sha256", "malformed_message_signature"),
        (";nonce=\"n\";keyid=\"k\";tag=\"t\"", "valid"),
        (";  nonce=\"n\";x=1;y", "valid"),
        (";nonce=1", "malformed_message_signature"),
    ] {
        let request = request().signed_with(&signer, &lines, &format!("{PARAMETERS}{parameters}"));
        assert_eq!(request.verdict(&signer.claims()), expected, "{parameters}");
    }
}

#[test]
fn malformed_fields_are_refused() {
    let signer = Signer::install();
    let (input, signed) = signature(&signer, &default_lines("GET", URI), PARAMETERS);
    let raw = STANDARD.decode(signed.trim_matches(':')).expect("base64");
    let encoded = |bytes: &[u8]| format!("install=:{}:", STANDARD.encode(bytes));
    let (input, signed) = (format!("install={input}"), format!("install={signed}"));
    let nine: Vec<_> = (0..9).map(|number| format!("l{number}=1")).collect();
    for (name, inputs, signatures, expected) in [
        ("good", vec![&*input], vec![signed.clone()], "valid"),
        ("a string", vec![&input], vec![signed.replace(':', "\"")], "valid"),
        ("no input", vec![], vec![signed.clone()], "malformed_message_signature"),
        ("no signature", vec![&input], vec![], "malformed_message_signature"),
        ("empty", vec![""], vec![String::new()], "missing_message_signature"),
        ("twice", vec![&input, &input], vec![signed.clone()], "malformed_message_signature"),
        (
            "signature twice",
            vec![&input],
            vec![signed.clone(), signed.clone()],
            "malformed_message_signature",
        ),
        (
            "another label",
            vec![&input],
            vec![signed.replace("install", "account")],
            "malformed_message_signature",
        ),
        ("more labels there", vec![&input, "a=()"], vec![signed.clone()], "malformed_message_signature"),
        (
            "more labels here",
            vec![&input],
            vec![signed.clone(), "a=::".into()],
            "malformed_message_signature",
        ),
        ("a foreign label", vec![&input, "a=(\"@status\")"], vec![signed.clone(), "a=::".into()], "valid"),
        ("nine labels", vec![&*nine.join(",")], vec![nine.join(",")], "malformed_message_signature"),
        (
            "too long",
            vec![&input, &format!("a=(\"{}\")", "x".repeat(4096))],
            vec![signed.clone(), "a=::".into()],
            "malformed_message_signature",
        ),
        ("not a list", vec!["install=1"], vec![signed.clone()], "malformed_message_signature"),
        ("parameters", vec![&input], vec![format!("{signed};a")], "malformed_message_signature"),
        ("a token", vec![&input], vec!["install=abc".into()], "malformed_message_signature"),
        ("no base64", vec![&input], vec!["install=:A:".into()], "malformed_message_signature"),
        ("four bytes", vec![&input], vec!["install=:AQIDBA==:".into()], "malformed_message_signature"),
        ("a byte less", vec![&input], vec![encoded(&raw[..63])], "malformed_message_signature"),
        (
            "a byte more",
            vec![&input],
            vec![encoded(&[&raw[..], &[0]].concat())],
            "malformed_message_signature",
        ),
        ("r = s = 0", vec![&input], vec![encoded(&[0; 64])], "bad_message_signature"),
        ("r and s too large", vec![&input], vec![encoded(&[0xff; 64])], "bad_message_signature"),
    ] {
        let mut request = request();
        for input in inputs {
            request = request.with("Signature-Input", input);
        }
        for signature in signatures {
            request = request.with("Signature", &signature);
        }
        assert_eq!(request.verdict(&signer.claims()), expected, "{name}");
    }
}

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
fn a_public_origin_must_be_the_one_that_was_called() {
    let signer = Signer::install();
    let mut rules = rules();
    rules.public_origins = vec!["https://api.example.com".into()];
    let mut plain = Request::get("api.example.com", "/");
    plain.is_secure = false;
    for (request, uri, expected) in [
        (Request::get("api.example.com", "/"), "https://api.example.com/", None),
        (Request::get("API.example.com:443", "/"), "https://api.example.com/", None),
        (Request::get("b.example.com", "/"), "https://b.example.com/", Some(Rejection::BadMessageSignature)),
        (plain, "http://api.example.com/", Some(Rejection::BadMessageSignature)),
    ] {
        let request = request.signed(&signer, &default_lines("GET", uri));
        let judgement = rules.verify(&request.message(), &signer.claims(), at(CREATED));
        assert_eq!(judgement.rejection, expected, "{uri}");
    }
}

#[test]
fn a_digest_must_be_covered_and_known_and_may_be_required() {
    const HELLO: &str = "sha-256=:k6I5cakU5erL8KjSUVTNownDwccvu5kU1Hxg88toFYg=:";
    let signer = Signer::install();
    let lines = default_lines("GET", URI);
    let covered = |digest| [lines.as_slice(), &[("\"content-digest\"", digest)]].concat();
    let unknown = "md5=:AA==:";
    let broken = "sha-256=:AA==:";
    for (name, request, has_body, requires, expected) in [
        ("none", request().signed(&signer, &lines), true, false, None),
        ("required", request().signed(&signer, &lines), true, true, Some("missing_content_digest")),
        ("no body", request().signed(&signer, &lines), false, true, None),
        (
            "covered",
            request().with("Content-Digest", HELLO).signed(&signer, &covered(HELLO)),
            true,
            true,
            None,
        ),
        (
            "not covered",
            request().with("Content-Digest", HELLO).signed(&signer, &lines),
            true,
            false,
            Some("insufficient_coverage"),
        ),
        (
            "unknown",
            request().with("Content-Digest", unknown).signed(&signer, &covered(unknown)),
            true,
            false,
            Some("missing_content_digest"),
        ),
        (
            "broken",
            request().with("Content-Digest", broken).signed(&signer, &covered(broken)),
            true,
            false,
            Some("content_digest_mismatch"),
        ),
    ] {
        let mut request = request;
        request.has_body = has_body;
        let mut rules = rules();
        rules.requires_digest = requires;
        let judgement = rules.verify(&request.message(), &signer.claims(), at(CREATED));
        assert_eq!(judgement.rejection.map(Rejection::label), expected, "{name}");
        assert_eq!(judgement.digest.is_some(), name == "covered", "{name}");
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

#[test]
fn an_unsigned_or_stale_request_is_refused_before_the_key_is_looked_at() {
    // A point that is not on the curve is found out by arithmetic only.
    let signer = Signer::install();
    let mut der = STANDARD.decode(signer.ipk()).expect("base64");
    der[90] ^= 1;
    let off_curve = claims(json!({ "ipk": STANDARD.encode(der) }));
    let fresh = request().signed(&signer, &default_lines("GET", URI));
    assert_eq!(fresh.verdict(&off_curve), "unknown_message_signing_key");
    let stale = rules().verify(&fresh.message(), &off_curve, at(CREATED + 500));
    assert_eq!(stale.rejection, Some(Rejection::MessageSignatureExpired));
    assert_eq!(request().verdict(&off_curve), "missing_message_signature");
}
