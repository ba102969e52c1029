//! The account secret, as text and as bytes.

use std::fmt;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

/// The fewest bytes of a secret: the size of a SHA-256 hash (RFC 7518 §3.2).
pub const MIN_SECRET_BYTES: usize = 32;

const ANY_PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, ANY_PADDING);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, ANY_PADDING);

/// Parts of sample texts, in lower case and without `-`, `_` and spaces.
const PLACEHOLDERS: [&str; 6] =
    ["placeholder", "changeme", "yoursecret", "secrethere", "base64secret", "yourapproov"];

/// An HMAC secret. `Debug` does not show it, and its memory is wiped when it is dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Decodes a secret from base64 or base64url, with or without padding. White space around the text is
    /// ignored. The decoded bytes may have any values.
    ///
    /// # Errors
    /// [`SecretError`] says what is wrong and repeats nothing of the text.
    pub fn from_base64(text: &str) -> Result<Self, SecretError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(SecretError::Empty);
        }
        if is_placeholder(text) {
            return Err(SecretError::Placeholder);
        }
        if text.contains("-----BEGIN") {
            return Err(SecretError::Pem);
        }
        let bytes = Zeroizing::new(any_base64(text).decode(text).map_err(|_| {
            if text.contains(char::is_whitespace) {
                SecretError::WhiteSpaceInside
            } else {
                SecretError::NotBase64
            }
        })?);
        Self::from_bytes(&bytes)
    }

    /// A secret from its raw bytes, all of which are used.
    ///
    /// # Errors
    /// [`SecretError`] if the secret is too short or one byte repeated.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SecretError> {
        if bytes.len() < MIN_SECRET_BYTES {
            return Err(SecretError::TooShort(bytes.len()));
        }
        if bytes.iter().all(|byte| *byte == bytes[0]) {
            return Err(SecretError::Placeholder);
        }
        Ok(Self(Zeroizing::new(bytes.to_vec())))
    }

    /// The raw bytes, for signing and verifying.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The decoder for a text of either alphabet, padded or not.
pub(super) fn any_base64(text: &str) -> &'static GeneralPurpose {
    if text.contains(['-', '_']) { &URL_SAFE } else { &STANDARD }
}

fn is_placeholder(text: &str) -> bool {
    let plain: String =
        text.chars().filter(|c| !matches!(c, '-' | '_' | ' ')).flat_map(char::to_lowercase).collect();
    PLACEHOLDERS.iter().any(|word| plain.contains(word)) || text.starts_with(['<', '$', '{'])
}

/// Why a text is not a usable secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretError {
    /// The text is empty or white space only.
    Empty,
    /// The text is from a sample file, or one byte repeated.
    Placeholder,
    /// The text has characters outside of base64, or mixes both alphabets.
    NotBase64,
    /// There is white space inside the encoded text.
    WhiteSpaceInside,
    /// The text is PEM: a key of another kind.
    Pem,
    /// The secret has only this many bytes, fewer than [`MIN_SECRET_BYTES`].
    TooShort(usize),
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretError::Empty => f.write_str("the secret is empty"),
            SecretError::Placeholder => f.write_str("the secret is a placeholder, not a secret"),
            SecretError::NotBase64 => f.write_str("the secret is not valid base64 or base64url"),
            SecretError::WhiteSpaceInside => {
                f.write_str("the secret has white space inside; write it on one line")
            }
            SecretError::Pem => f.write_str(
                "this is a PEM key, not a secret; write it as approov.keys with algorithm: ES256 or RS256 and public_key_file",
            ),
            SecretError::TooShort(found) => {
                write!(f, "the secret has {found} bytes; at least {MIN_SECRET_BYTES} are needed")
            }
        }
    }
}

impl std::error::Error for SecretError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(text: &str) -> Result<Vec<u8>, SecretError> {
        Secret::from_base64(text).map(|secret| secret.as_bytes().to_vec())
    }

    #[test]
    fn reads_both_alphabets_with_and_without_padding_and_any_byte() {
        let bytes: Vec<u8> = (0..=255).chain([0x0a]).collect();
        for engine in [&STANDARD, &URL_SAFE] {
            let padded = engine.encode(&bytes);
            for text in [padded.clone(), padded.trim_end_matches('=').into(), format!(" {padded}\n")] {
                assert_eq!(decoded(&text).as_ref(), Ok(&bytes), "{text}");
            }
        }
    }

    #[test]
    fn names_what_is_wrong() {
        for (text, error) in [
            ("", SecretError::Empty),
            (" \n", SecretError::Empty),
            ("c2hvcnQ=", SecretError::TooShort(5)),
            ("approov_base64_secret_here", SecretError::Placeholder),
            ("<your secret>", SecretError::Placeholder),
            ("-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----", SecretError::Pem),
            ("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", SecretError::Placeholder),
            ("k7+Wq2LxJp0dVt9sRb4mYh1nZc6uEa3fIH-Xk_IAHhVVHszj", SecretError::NotBase64),
            ("k7+Wq2LxJp0dVt9sRb4mYh1nZc6uEa3f\nIH+Xk+IAHhVVHszj", SecretError::WhiteSpaceInside),
        ] {
            assert_eq!(decoded(text), Err(error), "{text}");
        }
    }

    #[test]
    fn does_not_print() {
        let secret = Secret::from_base64("k7+Wq2LxJp0dVt9sRb4mYh1nZc6uEa3fIH+Xk+IAHhVVHszjDzeGobzN");
        assert_eq!(format!("{secret:?}"), "Ok(Secret(…))");
    }
}
