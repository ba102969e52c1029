//! Claims of a token that no key has verified. The client may have invented them, so they are for logs and
//! support only.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use memchr::{memchr, memrchr2};

use super::presented::{Presented, trim};
use super::token;

/// Longer payloads are not read, in bytes of base64url.
const MAX_PAYLOAD: usize = 4096;

/// The name of the claim with the attestation response code.
static ARC: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"arc\""));

/// The name of the claim with the device id.
static DID: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"did\""));

/// Unverified claims. Approov recommends to log them with a refusal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unverified {
    /// The claim `arc`, if it looks like an attestation response code.
    pub response_code: Option<Box<str>>,
    /// The claim `did`, if it looks like a device id.
    pub device_id: Option<Box<str>>,
}

impl Unverified {
    /// Reads the claims of a refused token. The values are safe to log: each has a fixed alphabet and at
    /// most 24 characters.
    pub fn of_token(token: Presented<'_>) -> Self {
        let none = Self::default();
        let Presented::Once(value) = token else { return none };
        let value = trim(value);
        // The token is behind a scheme word, if there is one.
        let token = memrchr2(b' ', b'\t', value).map_or(value, |blank| &value[blank + 1..]);
        let Some(segments) = token::Segments::split(token) else { return none };
        if segments.payload.len() > MAX_PAYLOAD {
            return none;
        }
        let Ok(payload) = token::decode_json(segments.payload) else { return none };
        let claim =
            |name| text_claim(payload.as_bytes(), name).and_then(|text| std::str::from_utf8(text).ok());
        Self {
            response_code: claim(&ARC).filter(|code| is_response_code(code)).map(Into::into),
            device_id: claim(&DID).filter(|id| is_device_id(id)).map(Into::into),
        }
    }
}

/// The text behind the only occurrence of `name`, which is in quotes. `None` if the payload has another value
/// there, or the name twice. A refused request must cost little, so the payload is searched and not parsed.
fn text_claim<'p>(payload: &'p [u8], name: &Finder<'_>) -> Option<&'p [u8]> {
    let behind = &payload[name.find(payload)? + name.needle().len()..];
    let value = behind.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
    let text = &value[..memchr(b'"', value)?];
    name.find(behind).is_none().then_some(text)
}

/// Whether the text is 10 to 16 characters of base32.
fn is_response_code(text: &str) -> bool {
    (10..=16).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'2'..=b'7'))
}

/// Whether the text is the base64 of 16 bytes. The last digit of Approov's example ids has bits that must be
/// zero, so the text is not decoded.
fn is_device_id(text: &str) -> bool {
    let digits = text.strip_suffix("==").unwrap_or_default();
    digits.len() == 22 && digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(&byte))
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn of(payload: &str) -> (Option<String>, Option<String>) {
        let token = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload));
        let found = Unverified::of_token(Presented::Once(token.as_bytes()));
        (found.response_code.map(String::from), found.device_id.map(String::from))
    }

    #[test]
    fn gives_what_looks_right_and_nothing_else() {
        let (arc, did) = ("ABCDEFGHIJ", "ExampleApproovTokenDID==");
        let both = format!(r#"{{"arc":"{arc}","did":"{did}"}}"#);
        assert_eq!(of(&both), (Some(arc.into()), Some(did.into())));
        let spaced = format!("{{ \"did\" : \"{did}\", \"x\": 1, \"arc\":\n\"{arc}\"}}");
        assert_eq!(of(&spaced), (Some(arc.into()), Some(did.into())));
        let twice = format!(r#"{{"arc":"{arc}","did":"{did}","arc":"{arc}"}}"#);
        assert_eq!(of(&twice), (None, Some(did.into())));
        for payload in [
            r#"{"arc":"abcdefghij","did":"x"}"#.to_owned(),
            r#"{"arc":"ABCDEFGHI","did":"ExampleApproovTokenDID"}"#.into(),
            r#"{"arc":"ABCDEFGHIJKLMNOPQ","did":1}"#.into(),
            r#"{"arc":"ABCDEFGHI1","did":"Example\nApproovTokenID=="}"#.into(),
            format!(r#"{{"arc":"{arc}","x":"{}"}}"#, "x".repeat(MAX_PAYLOAD)),
            "[]".into(),
            format!(r#"{{"arc": true,"did":{{"x":"{did}"}}}}"#),
            format!(r#"{{"arc":"{arc}"#),
        ] {
            assert_eq!(of(&payload), (None, None), "{payload}");
        }
        assert_eq!(Unverified::of_token(Presented::Once(b"not a token")), Unverified::default());
        assert_eq!(Unverified::of_token(Presented::Missing), Unverified::default());
    }
}
