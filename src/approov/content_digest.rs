//! `Content-Digest` (RFC 9530): a hash over the body as received, after de-chunking.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256, Sha512};

use crate::http::structured::{self, Bare, DictionaryLimits, MemberValue};

/// The longest value of the field, all lines together, in bytes.
const MAX_FIELD: usize = 1024;

const LIMITS: DictionaryLimits = DictionaryLimits { members: 8, items: 0, parameters: 4 };

/// The field is malformed, repeats an algorithm or has a hash of another length than its algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedDigest;

/// The hashes that a body must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentDigest {
    sha256: Option<[u8; 32]>,
    sha512: Option<[u8; 64]>,
}

impl ContentDigest {
    /// Reads the field. `None` if the field has no algorithm that is known here.
    ///
    /// # Errors
    /// [`MalformedDigest`]
    pub fn parse(field: &[u8]) -> Result<Option<Self>, MalformedDigest> {
        if field.len() > MAX_FIELD {
            return Err(MalformedDigest);
        }
        let members = structured::dictionary(field, &LIMITS)
            .map_err(|structured::MalformedDictionary| MalformedDigest)?;
        let mut digest = Self { sha256: None, sha512: None };
        for member in members {
            match (member.key, member.value) {
                // OkHttp up to 3.5.6 writes a string in place of a byte sequence.
                ("sha-256", MemberValue::Bare(Bare::Bytes(hash) | Bare::Text(hash))) => {
                    digest.sha256 = Some(decode(hash)?);
                }
                ("sha-512", MemberValue::Bare(Bare::Bytes(hash) | Bare::Text(hash))) => {
                    digest.sha512 = Some(decode(hash)?);
                }
                ("sha-256" | "sha-512", _) => return Err(MalformedDigest),
                // RFC 9530 §2: algorithms that are not known are ignored.
                _ => {}
            }
        }
        let is_known = digest.sha256.is_some() || digest.sha512.is_some();
        Ok(is_known.then_some(digest))
    }

    /// Starts to hash a body.
    pub fn verifier(self) -> BodyVerifier {
        BodyVerifier {
            sha256: self.sha256.map(|hash| (hash, Sha256::new())),
            sha512: self.sha512.map(|hash| (hash, Sha512::new())),
        }
    }
}

fn decode<const LENGTH: usize>(hash: &str) -> Result<[u8; LENGTH], MalformedDigest> {
    let bytes = STANDARD.decode(hash).map_err(|_| MalformedDigest)?;
    bytes.try_into().map_err(|_| MalformedDigest)
}

/// Hashes a body as it arrives.
#[derive(Clone)]
pub struct BodyVerifier {
    sha256: Option<([u8; 32], Sha256)>,
    sha512: Option<([u8; 64], Sha512)>,
}

impl BodyVerifier {
    /// Takes in the next part of the body.
    pub fn update(&mut self, part: &[u8]) {
        if let Some((_, hash)) = &mut self.sha256 {
            hash.update(part);
        }
        if let Some((_, hash)) = &mut self.sha512 {
            hash.update(part);
        }
    }

    /// Whether the whole body has every hash that the field names.
    pub fn matches(self) -> bool {
        self.sha256.is_none_or(|(wanted, hash)| hash.finalize()[..] == wanted)
            && self.sha512.is_none_or(|(wanted, hash)| hash.finalize()[..] == wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = "sha-256=:k6I5cakU5erL8KjSUVTNownDwccvu5kU1Hxg88toFYg=:";
    const EMPTY: &str = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";

    fn matches(field: &str, parts: &[&[u8]]) -> bool {
        let digest = ContentDigest::parse(field.as_bytes()).expect("well-formed").expect("known");
        let mut verifier = digest.verifier();
        parts.iter().for_each(|part| verifier.update(part));
        verifier.matches()
    }

    #[test]
    fn a_body_matches_however_it_is_cut() {
        assert!(matches(HELLO, &[b"{\"hello\":\"world\"}"]));
        assert!(matches(HELLO, &[b"{\"hel", b"", b"lo\":\"world\"}"]));
        assert!(!matches(HELLO, &[b"{\"hello\":\"world\"} "]));
        assert!(matches(EMPTY, &[]));
        assert!(!matches(EMPTY, &[b"\0"]));
    }

    #[test]
    fn a_string_is_taken_for_a_byte_sequence() {
        let field = HELLO.replacen(':', "\"", 1).replace("=:", "=\"");
        assert!(matches(&field, &[b"{\"hello\":\"world\"}"]), "{field}");
    }

    #[test]
    fn every_known_hash_must_match_and_unknown_ones_are_ignored() {
        let sha512 = STANDARD.encode(Sha512::digest(b"x"));
        let sha256 = STANDARD.encode(Sha256::digest(b"x"));
        let wrong = STANDARD.encode(Sha256::digest(b"y"));
        assert!(matches(&format!("md5=:AA==:, sha-512=:{sha512}:,sha-256=:{sha256}:"), &[b"x"]));
        assert!(!matches(&format!("sha-512=:{sha512}:,sha-256=:{wrong}:"), &[b"x"]));
        assert_eq!(ContentDigest::parse(b"md5=:AA==:"), Ok(None));
        assert_eq!(ContentDigest::parse(b""), Ok(None));
    }

    #[test]
    fn refuses_what_is_malformed() {
        let repeated = format!("{EMPTY}, {EMPTY}");
        let long = format!("{EMPTY}, a=\"{}\"", "x".repeat(MAX_FIELD));
        for field in ["sha-256", "sha-256=:AA==:", "sha-256=1", "sha-256=()", "sha-256=:*:", &repeated, &long]
        {
            assert_eq!(ContentDigest::parse(field.as_bytes()), Err(MalformedDigest), "{field}");
        }
    }
}
