//! What is accepted, what is refused, and why.

use approov_gateway::approov::Rejection;
use approov_gateway::approov::message_signing::{Mode, SignatureResult};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{
    CREATED, PARAMETERS, Request, Signer, URI, at, claims, default_lines, request, rules, signature,
};

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
