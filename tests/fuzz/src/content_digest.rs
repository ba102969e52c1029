//! Property: a body has the digests of a field exactly if the crates `sfv` and `sha2` say so.
//!
//! The first line of an input is the field, the rest is the body.

use approov_gateway::approov::{ContentDigest, MalformedDigest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sfv::{BareItem, ListEntry};
use sha2::{Digest, Sha256, Sha512};

/// What the field asks for, by `sfv`: `None` if it is malformed, else each known hash.
fn reference(field: &[u8]) -> Option<Vec<(bool, Vec<u8>)>> {
    let members = sfv::Parser::parse_dictionary(field).ok()?;
    let mut hashes = Vec::new();
    for (key, member) in members {
        let is_long = match key.as_str() {
            "sha-256" => false,
            "sha-512" => true,
            _ => continue,
        };
        let ListEntry::Item(item) = member else { return None };
        let hash = match item.bare_item {
            BareItem::ByteSeq(bytes) => bytes,
            BareItem::String(text) => STANDARD.decode(text.as_bytes()).ok()?,
            _ => return None,
        };
        let length = if is_long { 64 } else { 32 };
        if hash.len() != length {
            return None;
        }
        hashes.push((is_long, hash));
    }
    Some(hashes)
}

fn has(body: &[u8], is_long: bool, hash: &[u8]) -> bool {
    if is_long { Sha512::digest(body)[..] == *hash } else { Sha256::digest(body)[..] == *hash }
}

fn judge(digest: ContentDigest, body: &[u8], piece: usize) -> bool {
    let mut verifier = digest.verifier();
    body.chunks(piece).for_each(|part| verifier.update(part));
    verifier.matches()
}

/// Checks the property of this module.
///
/// # Panics
/// If the property does not hold.
pub fn holds(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (field, body) = (&data[..end], data.get(end + 1..).unwrap_or_default());
    let Some(reference) = reference(field) else {
        assert!(!matches!(ContentDigest::parse(field), Ok(Some(_))), "sfv refuses the field");
        return;
    };
    match ContentDigest::parse(field) {
        // Ours refuses more: repeated keys, many members, padding that sfv forgives.
        Err(MalformedDigest) => {}
        Ok(None) => assert!(reference.is_empty(), "a known algorithm is overlooked"),
        Ok(Some(digest)) => {
            assert!(!reference.is_empty(), "no algorithm is known");
            let expected = reference.iter().all(|(is_long, hash)| has(body, *is_long, hash));
            for piece in [1, 7, usize::MAX] {
                assert_eq!(judge(digest, body, piece), expected, "pieces of {piece}");
            }
        }
    }
    // The right hash of the body is always taken.
    let right = format!(
        "sha-256=:{}:, sha-512=:{}:",
        STANDARD.encode(Sha256::digest(body)),
        STANDARD.encode(Sha512::digest(body))
    );
    assert!(matches!(ContentDigest::parse(right.as_bytes()), Ok(Some(digest)) if judge(digest, body, 3)));
}
