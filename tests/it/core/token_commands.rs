//! The functions of the commands `token` and `inspect`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use approov_gateway::approov::{BindingRules, Key, Presented, Rejection, Strategy, Verifier};
use approov_gateway::cli::inspect::{NotAToken, inspect};
use approov_gateway::cli::token::{self, MintRequest, TokenKind, mint};
use approov_gateway::config::Environment;
use serde_json::{Value, json};

use crate::core::tokens::{NOW, SECRET, encode, hs256, judge, judge_bound, plain, secret, verifier};

fn clock() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

fn minted(request: &MintRequest) -> String {
    mint(&secret(SECRET), request, clock()).expect("a token")
}

fn payload(token: &str) -> Value {
    jsonwebtoken::dangerous::insecure_decode::<Value>(token).expect("a token").claims
}

#[test]
fn minted_tokens_get_the_requested_verdict() {
    let of = |kind| minted(&MintRequest { kind, ..MintRequest::default() });
    assert_eq!(judge(&verifier(), of(TokenKind::Valid)), Ok(()));
    assert_eq!(judge(&verifier(), of(TokenKind::Invalid)), Err(Rejection::BadSignature));
    assert_eq!(judge(&verifier(), of(TokenKind::Expired)), Err(Rejection::Expired));
}

/// HMAC replaces a key of more than 64 bytes by its SHA-256 digest.
#[test]
fn invalid_tokens_are_refused_for_secrets_of_every_length() {
    for length in [32, 63, 64, 65, 128, 256] {
        let secret = secret(&(0..=255).take(length).collect::<Vec<u8>>());
        let verifier = Verifier::new(vec![Key::hs256(&secret)]);
        let token = |kind| {
            mint(&secret, &MintRequest { kind, ..MintRequest::default() }, clock())
                .expect("the token is minted")
        };
        assert_eq!(
            judge(&verifier, token(TokenKind::Invalid)),
            Err(Rejection::BadSignature),
            "{length} bytes"
        );
        assert_eq!(judge(&verifier, token(TokenKind::Valid)), Ok(()), "{length} bytes");
    }
}

#[test]
fn minted_tokens_look_like_the_examples_of_approov() {
    let token = minted(&MintRequest::default());
    let expected = json!({ "exp": NOW + 3600, "ip": "1.2.3.4", "did": "ExampleApproovTokenDID==" });
    assert_eq!(payload(&token), expected);
    assert!(token.starts_with(&encode(r#"{"typ":"JWT","alg":"HS256"}"#)), "{token}");
}

#[test]
fn minted_tokens_are_bound_in_header_order() {
    let bind = vec!["Bearer myauth_token".into(), "my-device-id".into()];
    let token = minted(&MintRequest { bind, ..MintRequest::default() });
    let verifier = verifier().with_binding_rules(BindingRules { headers: 2, ..BindingRules::default() });
    let bound = [Presented::Once(b"Bearer myauth_token"), Presented::Once(b"my-device-id")];
    assert_eq!(judge_bound(&verifier, Strategy::TokenBinding, &token, &bound), Ok(()));
}

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    arguments: token::TokenArgs,
}

#[test]
fn claims_and_key_id_are_as_requested() {
    let claims = vec![("exp".into(), json!(5)), ("anno".into(), json!(["a"]))];
    let token = minted(&MintRequest { claims, kid: Some("k\"1".into()), ..MintRequest::default() });
    let claims = payload(&token);
    assert_eq!((&claims["exp"], &claims["anno"]), (&json!(5), &json!(["a"])));
    let header = jsonwebtoken::decode_header(&token).expect("a header");
    assert_eq!(header.kid.as_deref(), Some("k\"1"));
}

#[test]
fn command_line_is_checked() {
    use clap::Parser;
    let line = |arguments: &[&str]| {
        Line::try_parse_from([&["token"], arguments].concat()).map(|line| format!("{:?}", line.arguments))
    };
    let shown =
        line(&["--type", "expired", "--ttl", "2h", "--claim", "a=1", "--claim", "b=x=y", "--bind", "v"])
            .expect("usable");
    for part in ["Expired", "7200s", r#"("a", Number(1))"#, r#"("b", String("x=y"))"#, r#"["v"]"#] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let wrong: [&[&str]; 7] = [
        &["--type", "good"],
        &["--ttl", "2"],
        &["--ttl", "0s"],
        &["--ttl", "-2h"],
        &["--claim", "a"],
        &["--claim", "=1"],
        &["extra"],
    ];
    for arguments in wrong {
        assert!(line(arguments).is_err(), "{arguments:?}");
    }
}

#[test]
fn problems_with_a_secret_name_its_place_and_not_its_value() {
    for (name, text) in
        [("APPROOV_SECRET_BASE64", "c2hvcnQ="), ("APPROOV_SECRET_BASE64_FILE", "/nowhere/at/all")]
    {
        let environment = Environment::from_pairs([(name, text)]);
        let arguments = <Line as clap::Parser>::parse_from(["token"]).arguments;
        let problem = token::run(arguments, &environment).expect_err("a problem").to_string();
        assert!(problem.contains(name), "{problem}");
        assert!(!problem.contains("c2hvcnQ="), "{problem}");
    }
}

#[test]
fn inspection_shows_everything_but_the_signature() {
    let token = minted(&MintRequest { kid: Some("k1".into()), ..MintRequest::default() });
    let signature = token.rsplit('.').next().expect("a signature");
    for text in
        [token.clone(), format!("  {token}\n"), format!("Approov-Token: {token}\r\n"), format!("'{token}'")]
    {
        let report = inspect(&text, Some(&verifier()), clock()).expect("a token");
        for part in [
            r#""alg": "HS256""#,
            r#""kid": "k1""#,
            r#""did": "ExampleApproovTokenDID==""#,
            "expires    2033-05-18T04:33:20Z, in 1h 0m",
            "signature  HS256, 32 bytes, not shown",
            "verdict    accepted (ok)",
        ] {
            assert!(report.contains(part), "{part} in {report}");
        }
        for start in 0..signature.len() - 6 {
            assert!(!report.contains(&signature[start..start + 6]), "a part of the signature in {report}");
        }
    }
}

#[test]
fn inspection_judges_what_the_header_holds() {
    let token = minted(&MintRequest::default());
    for text in [format!("Approov-Token: Bearer {token}"), format!("'bearer {token}'")] {
        let report = inspect(&text, Some(&verifier()), clock()).expect("a token");
        assert!(report.contains("rejected (malformed_token)"), "{report}");
        let report = inspect(&text, Some(&verifier().with_prefix("Bearer")), clock()).expect("a token");
        assert!(report.contains("accepted (ok)"), "{report}");
    }
}

#[test]
fn inspection_gives_verdict_and_reason() {
    let expired = minted(&MintRequest { kind: TokenKind::Expired, ..MintRequest::default() });
    let report = inspect(&expired, Some(&verifier()), clock()).expect("a token");
    assert!(report.contains("verdict    rejected (expired): "), "{report}");
    assert!(report.contains("2033-05-18T02:33:20Z, 1h 0m ago"), "{report}");
    let report = inspect(&expired, None, clock()).expect("a token");
    assert!(report.contains("verdict    unknown"), "{report}");
    for (payload, part) in [
        (r#"{"exp":"soon"}"#, "expires    not a number"),
        (r#"{"exp":1e300}"#, "expires    a time that has no date"),
        ("nonsense", "claims     (not JSON"),
    ] {
        let report = inspect(&plain(payload), Some(&verifier()), clock()).expect("a token");
        assert!(report.contains(part), "{part} in {report}");
    }
    let head = format!("{}.*", encode("{}"));
    let report = inspect(&format!("{head}.{}", hs256(SECRET, &head)), Some(&verifier()), clock());
    assert!(report.is_ok_and(|report| report.contains("(not base64url)")));
    for text in ["", "NO_NETWORK", "a.b", "a.b.c.d", "Approov-Token:"] {
        assert_eq!(inspect(text, Some(&verifier()), clock()), Err(NotAToken), "{text}");
    }
}

#[test]
fn inspected_tokens_cannot_control_the_terminal() {
    let nasty = "\u{1b}]0;title\u{7}\u{9b}31m\r\u{7f}\u{202e}\u{2028}\u{e0041}é";
    let payload = json!({ "exp": 1, "did": nasty, nasty: nasty }).to_string();
    let header = json!({ "alg": nasty, "kid": nasty }).to_string();
    for token in [plain(&payload), crate::core::tokens::token(header, payload)] {
        let report = inspect(&token, Some(&verifier()), clock()).expect("a token");
        let steering = |c: char| c != '\n' && (c.is_control() || "\u{202e}\u{2028}\u{e0041}".contains(c));
        assert!(!report.contains(steering), "{report:?}");
        assert!(report.contains(r"\u001b]0;title\u0007\u009b31m") && report.contains('é'), "{report}");
    }
}
