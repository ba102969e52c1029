//! Tokens that are bound to another value, or to none.

use approov_gateway::approov::Rejection::*;
use approov_gateway::approov::{BindingRules, MissingClaim, Presented, Rejection, Strategy, binding_hash};

use crate::core::tokens::{Case, NOW, PAYLOAD, judge, judge_bound, plain, verifier};

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
        // Without binding the claim is ignored.
        let unbound = expected.err().filter(|rejection| *rejection == MalformedToken);
        assert_eq!(judge(&verifier(), token).err(), unbound, "{name}");
    }
    // `missing_claim: accept` accepts a missing claim, and no wrong one.
    let rules = BindingRules { missing_claim: MissingClaim::Accept, ..BindingRules::default() };
    let lenient = verifier().with_binding_rules(rules);
    let verdict = |token: &str| judge_bound(&lenient, Strategy::TokenBinding, token, &presented);
    assert_eq!(verdict(&plain(PAYLOAD)), Ok(()));
    for claim in ["null", "\"\"", "0"] {
        assert_eq!(verdict(&bound_to(claim)), Err(BindingMismatch), "{claim}");
    }
}

#[test]
fn the_bound_header_must_occur_exactly_once() {
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
    // Problems of the token itself are reported first.
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

/// Approov's protocol concatenates bound values without a separator. The binding covers the
/// concatenation, and not the place where one value ends and the next begins.
#[test]
fn bound_values_are_concatenated_without_a_separator() {
    assert_eq!(binding_hash(["ab", "c"]), binding_hash(["a", "bc"]));
    let verifier = verifier().with_binding_rules(BindingRules { headers: 2, ..BindingRules::default() });
    let token = bound_to(&format!("\"{}\"", binding_hash(["ab", "c"])));
    let shifted = [Presented::Once(b"a"), Presented::Once(b"bc")];
    assert_eq!(judge_bound(&verifier, Strategy::TokenBinding, token, &shifted), Ok(()));
}
