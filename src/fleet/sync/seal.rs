//! Sealed entries: encrypted and authenticated, so that the store learns nothing and can make up nothing.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Seals and opens entries of one purpose.
pub(super) struct SealKey {
    key: LessSafeKey,
    purpose: String,
}

impl SealKey {
    /// An entry that was sealed for another purpose cannot be opened. `None` if the cipher is not available, which
    /// never happens.
    pub fn new(key: &[u8; 32], purpose: String) -> Option<Self> {
        Some(Self { key: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?), purpose })
    }

    /// The entry in base64url; `None` if there are no random numbers.
    pub fn seal(&self, plain: &[u8]) -> Option<String> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let (mut sealed, aad) = (plain.to_vec(), Aad::from(self.purpose.as_bytes()));
        self.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed).ok()?;
        Some(URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat()))
    }

    /// What the entry holds; `None` if no node of this fleet has sealed it.
    pub fn open(&self, entry: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = URL_SAFE_NO_PAD.decode(entry).ok()?;
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain = self.key.open_in_place(nonce, Aad::from(self.purpose.as_bytes()), sealed).ok()?;
        Some(plain.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8, purpose: &str) -> SealKey {
        SealKey::new(&[byte; 32], purpose.to_owned()).expect("a key")
    }

    #[test]
    fn only_an_entry_of_the_same_key_and_purpose_is_opened() {
        let sealed = key(1, "bans").seal(b"192.0.2.1").expect("sealed");
        assert_eq!(key(1, "bans").open(sealed.as_bytes()).as_deref(), Some(&b"192.0.2.1"[..]));
        assert_eq!(key(2, "bans").open(sealed.as_bytes()), None);
        assert_eq!(key(1, "other").open(sealed.as_bytes()), None);
        assert_ne!(key(1, "bans").seal(b"192.0.2.1"), Some(sealed.clone()), "two entries are never equal");
        for place in 0..sealed.len() - 1 {
            let mut changed = sealed.clone().into_bytes();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            assert_eq!(key(1, "bans").open(&changed), None, "{place}");
        }
        for entry in [&b""[..], b"AAAA", b"\xff", &[b'A'; 63], &[b'A'; 10_000]] {
            assert_eq!(key(1, "bans").open(entry), None);
        }
    }
}
