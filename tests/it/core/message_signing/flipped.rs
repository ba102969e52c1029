//! One changed byte anywhere in what is signed refuses the request.

use proptest::prelude::*;
use proptest::sample::Index;

use super::{Request, Signer, TOKEN};

const DIGEST: &str = "sha-256=:k6I5cakU5erL8KjSUVTNownDwccvu5kU1Hxg88toFYg=:";

fn signed(signer: &Signer) -> Request {
    let mut request = Request::get("api.example.com:8443", "/v1/resource?b=2&a=1")
        .with("Content-Digest", DIGEST)
        .with("Authorization", "Bearer user");
    request.method = "POST".into();
    request.has_body = true;
    let lines = [
        ("\"@method\"", "POST"),
        ("\"@target-uri\"", "https://api.example.com:8443/v1/resource?b=2&a=1"),
        ("\"approov-token\"", TOKEN),
        ("\"authorization\"", "Bearer user"),
        ("\"content-digest\"", DIGEST),
    ];
    request.signed(signer, &lines)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_flipped_bit_is_refused(
        is_install in any::<bool>(),
        part in 0_usize..8,
        position in any::<Index>(),
        bit in 0_u8..7,
    ) {
        let signer = if is_install { Signer::install() } else { Signer::account() };
        let mut request = signed(&signer);
        prop_assert_eq!(request.verdict(&signer.claims()), "valid");
        let original = request.clone();
        let mut text = match part {
            0 => request.method.clone().into_bytes(),
            1 => request.authority.clone().into_bytes(),
            2 => request.target.clone().into_bytes(),
            part => request.fields[part - 3].1.clone(),
        };
        let at = position.index(text.len());
        text[at] ^= 1 << bit;
        let as_text = || String::from_utf8(text.clone()).expect("one bit of ASCII");
        match part {
            0 => request.method = as_text(),
            1 => request.authority = as_text(),
            2 => request.target = as_text(),
            part => request.fields[part - 3].1 = text.clone(),
        }
        // Letter case of the host and white space around a field mean nothing.
        let is_same = request.authority.eq_ignore_ascii_case(&original.authority) && part == 1
            || part >= 3 && text.trim_ascii() == original.fields[part - 3].1.trim_ascii();
        let verdict = request.verdict(&signer.claims());
        prop_assert_eq!(verdict == "valid", is_same, "{}: {}", verdict, String::from_utf8_lossy(&text));
        prop_assert!(verdict != "compat");
    }

    #[test]
    fn a_request_on_another_scheme_is_refused(is_install in any::<bool>()) {
        let signer = if is_install { Signer::install() } else { Signer::account() };
        let mut request = signed(&signer);
        request.is_secure = false;
        prop_assert_eq!(request.verdict(&signer.claims()), "bad_message_signature");
    }
}
