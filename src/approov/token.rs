//! The outer form of a token: JWS compact serialisation (RFC 7515 §7.1) and the JOSE header.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use memchr::memchr;

use super::Rejection;
use super::algorithm::Algorithm;
use super::json::{self, Scalar};

/// The longest encoded JOSE header that is decoded. Approov's headers have 36 characters, or about
/// 100 with a `kid`.
const MAX_HEADER: usize = 1024;

/// The two headers that Approov writes without a `kid`, encoded: `{"alg":"HS256","typ":"JWT"}`
/// and `{"typ":"JWT","alg":"HS256"}`. Comparing with them saves the parsing of most headers.
const PLAIN_HS256: [&[u8]; 2] =
    [b"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", b"eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9"];

/// The three segments, still encoded, and the bytes that are signed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segments<'a> {
    pub header: &'a [u8],
    pub payload: &'a [u8],
    pub signature: &'a [u8],
    pub signed: &'a [u8],
}

/// Whether the token has the five segments of a JWE (RFC 7516 §7.1).
pub(super) fn is_encrypted(token: &[u8]) -> bool {
    token.iter().filter(|byte| **byte == b'.').count() == 4 && token.iter().all(|byte| is_token_byte(*byte))
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)
}

impl<'a> Segments<'a> {
    /// Splits at exactly two dots. `None` if a segment is empty or the dots are not two.
    pub fn split(token: &'a [u8]) -> Option<Self> {
        let first = memchr(b'.', token)?;
        let second = first + 1 + memchr(b'.', &token[first + 1..])?;
        let segments = Self {
            header: &token[..first],
            payload: &token[first + 1..second],
            signature: &token[second + 1..],
            signed: &token[..second],
        };
        let whole = !segments.header.is_empty()
            && !segments.payload.is_empty()
            && !segments.signature.is_empty()
            && memchr(b'.', segments.signature).is_none();
        whole.then_some(segments)
    }
}

/// The members of the JOSE header that are used (RFC 7515 §4). Keys and key locations are ignored.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct JoseHeader<'a> {
    pub algorithm: Algorithm,
    pub key_id: Option<Cow<'a, str>>,
}

impl JoseHeader<'static> {
    /// Decodes and reads the encoded header.
    pub fn parse(encoded: &[u8]) -> Result<Self, Rejection> {
        if PLAIN_HS256.contains(&encoded) {
            return Ok(Self { algorithm: Algorithm::Hs256, key_id: None });
        }
        if encoded.len() > MAX_HEADER {
            return Err(Rejection::MalformedToken);
        }
        let json = decode_json(encoded)?;
        let mut algorithm = None;
        let mut key_id = None;
        json::members(&json, |name, value| {
            match name {
                "alg" => algorithm = Some(value),
                "kid" => key_id = Some(value),
                // RFC 7515 §4.1.11: extensions that must be understood. None is implemented.
                "crit" => return Err(json::InvalidJson),
                _ => {}
            }
            Ok(())
        })
        .map_err(|json::InvalidJson| Rejection::MalformedToken)?;
        let key_id = match key_id {
            None => None,
            Some(Scalar::Text(text)) => Some(Cow::Owned(text.into_owned())),
            Some(_) => return Err(Rejection::MalformedToken),
        };
        let algorithm = match algorithm {
            Some(Scalar::Text(name)) => name.parse().ok(),
            _ => None,
        };
        let algorithm = algorithm.ok_or(Rejection::UnsupportedAlgorithm)?;
        Ok(Self { algorithm, key_id })
    }
}

/// Decodes one segment to text: strict base64url without padding (RFC 7515 §2), canonical, UTF-8.
pub(super) fn decode_json(encoded: &[u8]) -> Result<String, Rejection> {
    let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| Rejection::MalformedToken)?;
    String::from_utf8(bytes).map_err(|_| Rejection::MalformedToken)
}

/// Decodes a signature into `buffer`. A signature that does not fit is malformed.
pub(super) fn decode_signature<'b>(
    encoded: &[u8],
    buffer: &'b mut [u8; MAX_SIGNATURE],
) -> Result<&'b [u8], Rejection> {
    let length = URL_SAFE_NO_PAD.decode_slice(encoded, buffer).map_err(|_| Rejection::MalformedToken)?;
    Ok(&buffer[..length])
}

/// Bytes in the signature of the largest supported key, RSA with 8192 bits, and two more, which the
/// decoder needs as room.
pub(super) const MAX_SIGNATURE: usize = 1026;

#[cfg(test)]
mod tests {
    use super::*;

    fn header(json: &str) -> Result<JoseHeader<'static>, Rejection> {
        JoseHeader::parse(URL_SAFE_NO_PAD.encode(json).as_bytes())
    }

    #[test]
    fn the_known_headers_decode_to_plain_hs256() {
        for encoded in PLAIN_HS256 {
            let json = decode_json(encoded).expect("the constant decodes");
            let value: serde_json::Value = serde_json::from_str(&json).expect("the constant is JSON");
            assert_eq!(value, serde_json::json!({"alg": "HS256", "typ": "JWT"}));
        }
    }

    #[test]
    fn reads_algorithm_and_key_id_only() {
        let found = header(r#"{"kid":"a\u0031","alg":"ES256","jwk":{"kty":"oct"},"jku":"http://x"}"#);
        assert_eq!(found, Ok(JoseHeader { algorithm: Algorithm::Es256, key_id: Some("a1".into()) }));
    }

    #[test]
    fn splits_at_exactly_two_dots() {
        assert!(Segments::split(b"a.b.c").is_some());
        for wrong in ["", ".", "..", "a.b", "a.b.", ".b.c", "a..c", "a.b.c.d", "a.b.c."] {
            assert!(Segments::split(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }
}
