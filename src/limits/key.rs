//! Keys of 64 bits for addresses, devices and tokens.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use super::AddressKey;

/// A key of a table: the hash of an address, a device or a token.
///
/// Two keys are equal by chance with a probability of 2⁻⁶⁴; any two of a million, with 3·10⁻⁸.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableKey(pub(super) u64);

impl TableKey {
    /// Maps the key evenly to one of `count` places.
    pub(super) fn place(self, count: usize) -> usize {
        // A multiplication and a shift are faster than a division. They use the upper bits.
        ((u128::from(self.0) * count as u128) >> 64) as usize
    }
}

/// Makes keys with SipHash-1-3 and a secret. Without the secret a client cannot choose equal keys, or many
/// keys of one place. Nodes that agree on rates have the same secret, and so the same keys.
#[derive(Clone)]
pub struct KeyHasher(SipHasher13);

impl KeyHasher {
    /// A hasher with this secret. All keys of a process need the same secret.
    pub fn new(secret: [u8; 16]) -> Self {
        Self(SipHasher13::new_with_key(&secret))
    }

    /// The key of a client address.
    pub fn address(&self, address: AddressKey) -> TableKey {
        let mut hasher = self.0;
        hasher.write_u64(address.bits());
        TableKey(hasher.finish())
    }

    /// The key of a device id, or of a verified token. Of a token only the signed part is hashed,
    /// because one signature can be encoded in several ways.
    pub fn bytes(&self, bytes: &[u8]) -> TableKey {
        let mut hasher = self.0;
        hasher.write(bytes);
        TableKey(hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_keys_over_all_places() {
        let hasher = KeyHasher::new([7; 16]);
        let mut places = [0_u32; 97];
        for number in 0_u32..97_000 {
            places[hasher.bytes(&number.to_le_bytes()).place(97)] += 1;
        }
        assert!(places.iter().all(|found| (700..1300).contains(found)), "{places:?}");
    }
}
