//! The key that all nodes of a fleet have.

use std::fmt;

use aws_lc_rs::hmac;
use base64::display::Base64Display;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::approov::Secret;

/// The key of a fleet. The store gets neither the key nor anything that identifies a client.
#[derive(Clone)]
pub struct FleetKey {
    secret: Secret,
    names: hmac::Key,
}

impl FleetKey {
    /// The key that is made of this secret.
    pub fn new(secret: Secret) -> Self {
        let names = hmac::Key::new(hmac::HMAC_SHA256, derive(&secret, "names").as_ref());
        Self { secret, names }
    }

    /// The secret from which nodes make equal keys of addresses, devices and tokens.
    pub fn hash_secret(&self) -> [u8; 16] {
        half(derive(&self.secret, "hashes").as_ref())
    }

    /// The key with which nodes seal what they tell each other.
    pub fn entry_key(&self) -> [u8; 32] {
        let mut key = [0; 32];
        key.copy_from_slice(derive(&self.secret, "entries").as_ref());
        key
    }

    /// A name in the store, which only nodes of the fleet can compute.
    pub fn name(&self, of: &[u8]) -> StoreName {
        StoreName(half(hmac::sign(&self.names, of).as_ref()))
    }
}

/// The name of a bucket in the store. It is shown as 22 characters of base64url.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreName([u8; 16]);

impl StoreName {
    /// One of sixteen parts into which a cluster can divide the buckets of a limit.
    pub fn part(self) -> u8 {
        self.0[0] >> 4
    }
}

impl fmt::Display for StoreName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Base64Display::new(&self.0, &URL_SAFE_NO_PAD).fmt(f)
    }
}

/// A key for one purpose.
fn derive(secret: &Secret, purpose: &str) -> hmac::Tag {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    hmac::sign(&key, format!("approov-gateway fleet 1 {purpose}").as_bytes())
}

/// The first half of an HMAC-SHA256. 128 bits are enough for names (RFC 2104 §5).
fn half(tag: &[u8]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&tag[..16]);
    half
}

impl fmt::Debug for FleetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FleetKey(…)")
    }
}

impl PartialEq for FleetKey {
    fn eq(&self, other: &Self) -> bool {
        self.secret.as_bytes() == other.secret.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_depend_on_the_key_and_on_the_thing() {
        let key = |byte: u8| {
            FleetKey::new(
                Secret::from_bytes(&std::array::from_fn::<_, 32, _>(|i| byte + i as u8)).expect("a key"),
            )
        };
        assert_eq!(key(1).name(b"a"), key(1).name(b"a"));
        assert_ne!(key(1).name(b"a"), key(1).name(b"b"));
        assert_ne!(key(1).name(b"a"), key(2).name(b"a"));
        assert_eq!(key(1).name(b"a").to_string().len(), 22);
        assert_ne!(key(1).hash_secret(), key(2).hash_secret());
    }
}
