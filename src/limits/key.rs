//! Who is counted: keys of 64 bits, whatever they stand for.

use std::hash::{BuildHasher, Hasher, RandomState};

use super::AddressKey;

/// A key of a table: the hash of an address, a device or a token.
///
/// Two keys meet with a probability of 2⁻⁶⁴; among a million at once, of 3·10⁻⁸.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(pub(super) u64);

impl Key {
    /// One of `count` places, evenly.
    pub(super) fn place(self, count: usize) -> usize {
        // Multiply and shift in place of a division; takes the upper bits.
        ((u128::from(self.0) * count as u128) >> 64) as usize
    }
}

/// Makes keys with a secret of the process: nobody outside can choose two that meet, or many that
/// crowd one place. It is SipHash, made for this.
#[derive(Clone, Debug)]
pub struct KeyHasher(RandomState);

impl KeyHasher {
    /// A hasher with this secret. Keys of one process come from one secret.
    pub fn new(secret: RandomState) -> Self {
        Self(secret)
    }

    /// The key of a client address.
    pub fn address(&self, address: AddressKey) -> Key {
        let mut hasher = self.0.build_hasher();
        hasher.write_u64(address.bits());
        Key(hasher.finish())
    }

    /// The key of a device id, or of a verified token: of what its signature covers, since the
    /// signature itself may have several spellings.
    pub fn bytes(&self, bytes: &[u8]) -> Key {
        let mut hasher = self.0.build_hasher();
        hasher.write(bytes);
        Key(hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_keys_over_all_places() {
        let hasher = KeyHasher::new(RandomState::new());
        let mut places = [0_u32; 97];
        for number in 0_u32..97_000 {
            places[hasher.bytes(&number.to_le_bytes()).place(97)] += 1;
        }
        assert!(places.iter().all(|found| (700..1300).contains(found)), "{places:?}");
    }
}
