//! Signatures that were verified before, so that a token is verified once and not with every request.
//!
//! An RSA or ECDSA verification costs several times the rest of a request, and an app sends the same token
//! with all its requests for minutes (`docs/develop/decisions/0018-verified-signatures.md`). An entry says
//! only that a key has verified these bytes. Everything else is checked for each request: which key may
//! sign, expiry, claims, binding.

use std::fmt;
use std::sync::OnceLock;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::keys::Key;

/// Entries that share a lock. A new entry replaces the oldest of them.
const WAYS: usize = 8;

/// The number of locks.
const SHARDS: usize = 8192;

/// The signatures that one configuration has verified: at most 65 536, in 2.2 MiB that are taken with the
/// first one.
#[derive(Default)]
pub struct VerifiedSignatures {
    shards: OnceLock<Box<[Mutex<Shard>]>>,
}

/// SHA-256 of the key, the message and the signature. The token itself is not kept.
type SignatureDigest = [u8; 32];

#[derive(Default)]
struct Shard {
    entries: [Option<SignatureDigest>; WAYS],
    oldest: usize,
}

impl VerifiedSignatures {
    /// Whether `signature` over `message` was made with `key`. A secret key verifies faster than an entry
    /// is found, so its signatures are not remembered.
    pub(super) fn verifies(&self, key: &Key, message: &[u8], signature: &[u8]) -> bool {
        let Some(fingerprint) = key.fingerprint() else { return key.verifies(message, signature) };
        let entry = entry(fingerprint, message, signature);
        let shard = self.shard(&entry);
        if shard.lock().has(&entry) {
            return true;
        }
        let is_good = key.verifies(message, signature);
        if is_good {
            shard.lock().add(entry);
        }
        is_good
    }

    /// Whether `key` is known to have made `signature` over `message`.
    pub(super) fn has(&self, key: &Key, message: &[u8], signature: &[u8]) -> bool {
        let Some(fingerprint) = key.fingerprint() else { return false };
        let entry = entry(fingerprint, message, signature);
        self.shard(&entry).lock().has(&entry)
    }

    fn shard(&self, entry: &SignatureDigest) -> &Mutex<Shard> {
        let shards = self.shards.get_or_init(|| (0..SHARDS).map(|_| Mutex::default()).collect());
        &shards[usize::from(u16::from_be_bytes([entry[0], entry[1]])) % SHARDS]
    }
}

/// Shows no entry.
impl fmt::Debug for VerifiedSignatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedSignatures").finish_non_exhaustive()
    }
}

impl Shard {
    fn has(&self, entry: &SignatureDigest) -> bool {
        self.entries.iter().any(|known| known.as_ref() == Some(entry))
    }

    fn add(&mut self, entry: SignatureDigest) {
        // Two requests with the same token may have verified it at the same time.
        if !self.has(&entry) {
            self.entries[self.oldest] = Some(entry);
            self.oldest = (self.oldest + 1) % WAYS;
        }
    }
}

/// The length keeps apart what would otherwise run together.
fn entry(fingerprint: &[u8; 32], message: &[u8], signature: &[u8]) -> SignatureDigest {
    Sha256::new()
        .chain_update(fingerprint)
        .chain_update((message.len() as u64).to_be_bytes())
        .chain_update(message)
        .chain_update(signature)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};

    use super::*;
    use crate::approov::{Algorithm, Secret};

    struct Pair(EcdsaKeyPair);

    impl Pair {
        fn new() -> Self {
            Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key pair"))
        }

        fn public(&self) -> Key {
            Key::from_public_bytes(Algorithm::Es256, self.0.public_key().as_ref()).expect("a point")
        }

        fn sign(&self, message: &[u8]) -> Vec<u8> {
            self.0.sign(&SystemRandom::new(), message).expect("a signature").as_ref().to_vec()
        }
    }

    fn count(signatures: &VerifiedSignatures) -> usize {
        let shards = signatures.shards.get().into_iter().flatten();
        shards.map(|shard| shard.lock().entries.iter().flatten().count()).sum()
    }

    #[test]
    fn a_good_signature_is_remembered_once_and_a_wrong_one_never() {
        let (pair, verified) = (Pair::new(), VerifiedSignatures::default());
        let (key, signature) = (pair.public(), pair.sign(b"message"));
        for _ in 0..3 {
            assert!(verified.verifies(&key, b"message", &signature));
            assert_eq!(count(&verified), 1);
        }
        let mut flipped = signature.clone();
        flipped[63] ^= 1;
        for (message, signature) in [
            (&b"massage"[..], &signature[..]),
            (b"mess", &[b"age", &signature[..]].concat()),
            (b"message", &flipped),
            (b"message", &signature[..63]),
            (b"message", b""),
        ] {
            assert!(!verified.verifies(&key, message, signature));
        }
        assert_eq!(count(&verified), 1);
    }

    #[test]
    fn an_entry_is_found_without_a_verification() {
        let (pair, other, verified) = (Pair::new(), Pair::new(), VerifiedSignatures::default());
        let (key, signature) = (pair.public(), pair.sign(b"message"));
        assert!(!verified.has(&key, b"message", &signature));
        assert!(verified.verifies(&key, b"message", &signature));
        assert!(verified.has(&key, b"message", &signature));
        assert!(!verified.has(&other.public(), b"message", &signature));
        assert!(!verified.has(&key, b"massage", &signature));
    }

    #[test]
    fn an_entry_speaks_for_its_own_key_only() {
        let (pair, other, verified) = (Pair::new(), Pair::new(), VerifiedSignatures::default());
        let signature = pair.sign(b"message");
        let named = |pair: &Pair| pair.public().with_id("same id");
        assert!(verified.verifies(&named(&pair), b"message", &signature));
        assert!(!verified.verifies(&named(&other), b"message", &signature));
        assert_eq!(count(&verified), 1);
    }

    #[test]
    fn signatures_of_secrets_are_not_remembered_and_take_no_memory() {
        let verified = VerifiedSignatures::default();
        let secret = Secret::from_bytes(b"a secret that is long enough for it").expect("a secret");
        let key = Key::hs256(&secret);
        let mut mac = crate::approov::keys::hmac_state::<hmac::Hmac<Sha256>>(&secret);
        hmac::Mac::update(&mut mac, b"message");
        let signature = hmac::Mac::finalize(mac).into_bytes();
        assert!(verified.verifies(&key, b"message", &signature));
        assert!(verified.shards.get().is_none());
    }

    #[test]
    fn the_oldest_entries_make_room() {
        let (pair, verified) = (Pair::new(), VerifiedSignatures::default());
        let fingerprint = *pair.public().fingerprint().expect("a public key");
        let numbered = |number: usize| entry(&fingerprint, &number.to_be_bytes(), b"");
        let total = 4 * WAYS * SHARDS;
        for number in 0..total {
            let entry = numbered(number);
            verified.shard(&entry).lock().add(entry);
        }
        assert_eq!(count(&verified), WAYS * SHARDS);
        let is_there = |number: usize| verified.shard(&numbered(number)).lock().has(&numbered(number));
        let newest = (total - 1000..total).filter(|number| is_there(*number)).count();
        let oldest = (0..1000).filter(|number| is_there(*number)).count();
        assert_eq!((newest, oldest), (1000, 0));
        let bytes = SHARDS * std::mem::size_of::<Mutex<Shard>>();
        assert!(bytes <= 2_300_000, "{bytes}");
    }
}
