//! A key that encrypts tickets, from a file or random.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use zeroize::Zeroizing;

use crate::tls::Digest;

pub(super) const NAME: usize = 16;
const NONCE: usize = 12;
pub(super) const SECRET: usize = 32;

/// A key that encrypts tickets. `Debug` does not print it.
pub struct TicketKey {
    name: [u8; NAME],
    key: RandomizedNonceKey,
    secret: Zeroizing<[u8; SECRET]>,
}

/// Why bytes cannot be used as a ticket key. The error repeats nothing of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TicketKeyError {
    /// The number of bytes, given here, is wrong.
    Length(usize),
    /// The bytes are not random.
    NotRandom,
    /// The cryptographic library failed.
    Failed,
}

impl fmt::Display for TicketKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TicketKeyError::Length(length) => {
                write!(f, "it has {length} bytes, and a ticket key has 48 or 80")
            }
            TicketKeyError::NotRandom => f.write_str("its bytes are not random"),
            TicketKeyError::Failed => f.write_str("the cryptographic library refuses it"),
        }
    }
}

impl std::error::Error for TicketKeyError {}

impl From<Unspecified> for TicketKeyError {
    fn from(_: Unspecified) -> Self {
        Self::Failed
    }
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketKey(not shown)")
    }
}

impl TicketKey {
    /// The key from a file with 48 or 80 random bytes, a format of NGINX and HAProxy. Every byte is used,
    /// and the same file gives the same key on every machine.
    ///
    /// # Errors
    /// [`TicketKeyError`] if the length is another one, or if too few of the bytes are different.
    pub fn from_file(bytes: &[u8]) -> Result<Self, TicketKeyError> {
        if !matches!(bytes.len(), 48 | 80) {
            return Err(TicketKeyError::Length(bytes.len()));
        }
        let mut seen = [false; 256];
        bytes.iter().for_each(|byte| seen[usize::from(*byte)] = true);
        // Of 48 random bytes about 44 are different. Fewer than 24 different bytes are not random.
        if seen.iter().filter(|seen| **seen).count() < 24 {
            return Err(TicketKeyError::NotRandom);
        }
        Ok(Self::from_secret(&derive(bytes, b"approov-gateway ticket secret"))?)
    }

    /// A new key from the system's randomness.
    pub(super) fn random() -> Result<Self, Unspecified> {
        let mut secret = Zeroizing::new([0; SECRET]);
        aws_lc_rs::rand::fill(&mut *secret)?;
        Self::from_secret(&secret)
    }

    /// The key with this secret, which [`secret`](Self::secret) of another process returned.
    pub(super) fn from_secret(secret: &[u8; SECRET]) -> Result<Self, Unspecified> {
        let mut name = [0; NAME];
        name.copy_from_slice(&derive(secret, b"approov-gateway ticket name")[..NAME]);
        let key = derive(secret, b"approov-gateway ticket key");
        let key = RandomizedNonceKey::new(&AES_256_GCM_SIV, &*key)?;
        Ok(Self { name, key, secret: Zeroizing::new(*secret) })
    }

    /// Encrypts a session into a ticket. `issued` is in Unix seconds.
    pub(super) fn seal(&self, context: &Digest, issued: u64, session: &[u8]) -> Option<Vec<u8>> {
        let mut sealed = [&issued.to_be_bytes(), session].concat();
        let nonce = self.key.seal_in_place_append_tag(self.covered(context), &mut sealed).ok()?;
        Some([&self.name[..], nonce.as_ref(), &sealed].concat())
    }

    /// Decrypts a ticket into its time of issue, in Unix seconds, and the session. `None` if the ticket has
    /// another key or another context, or is damaged.
    pub(super) fn open(&self, context: &Digest, ticket: &[u8]) -> Option<(u64, Vec<u8>)> {
        let ticket = ticket.strip_prefix(&self.name)?;
        let (nonce, sealed) = ticket.split_first_chunk::<NONCE>()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let mut sealed = sealed.to_vec();
        let opened = self.key.open_in_place(nonce, self.covered(context), &mut sealed).ok()?;
        let (issued, session) = opened.split_first_chunk::<8>()?;
        Some((u64::from_be_bytes(*issued), session.to_vec()))
    }

    /// The secret from which the key is derived.
    pub(super) fn secret(&self) -> &[u8; SECRET] {
        &self.secret
    }

    fn covered(&self, context: &Digest) -> Aad<Vec<u8>> {
        Aad::from([&self.name[..], &context.0].concat())
    }
}

/// Derives a secret for one purpose: HMAC-SHA-256 over the purpose.
fn derive(secret: &[u8], purpose: &[u8]) -> Zeroizing<[u8; SECRET]> {
    let tag = hmac::sign(&hmac::Key::new(HMAC_SHA256, secret), purpose);
    let mut derived = Zeroizing::new([0; SECRET]);
    derived.copy_from_slice(tag.as_ref());
    derived
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_other_lengths_or_without_randomness_are_no_keys() {
        for length in [0, 16, 32, 47, 49, 64, 79, 81, 4096] {
            let error = TicketKey::from_file(&vec![0; length]).expect_err("no key");
            assert_eq!(error, TicketKeyError::Length(length));
        }
        for bytes in
            [[0; 48].to_vec(), b"0123456789abcdef".repeat(3), b"secret key ".repeat(8)[..80].to_vec()]
        {
            assert_eq!(TicketKey::from_file(&bytes).err(), Some(TicketKeyError::NotRandom));
        }
    }
}
