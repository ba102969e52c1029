//! Correctly signed tokens with a wrong date, issuer or audience.

use approov_gateway::approov::ClaimRules;
use approov_gateway::approov::Rejection::*;

use crate::core::tokens::{Case, check, judge, plain, verifier};

#[test]
fn expiry_must_be_a_number_in_the_future() {
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
    check(&verifier(), cases);
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
    check(&lenient, cases);
}

#[test]
fn issuer_and_audience_are_compared_with_the_configured_lists() {
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
    check(&verifier, cases);
    assert_eq!(judge(&crate::core::tokens::verifier(), claims(r#","iss":5"#, r#","aud":[]"#)), Ok(()));
}
