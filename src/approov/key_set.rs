//! Sets of keys (JWK Set, RFC 7517 §5).

use std::fmt;
use std::ops::RangeInclusive;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use zeroize::Zeroizing;

use super::algorithm::{Algorithm, KeyType};
use super::keys::{Key, KeyError};
use super::secret::Secret;

/// The longest text of a key set, in bytes.
pub const MAX_KEY_SET: usize = 256 * 1024;

/// The most keys of a set.
pub const MAX_KEYS: usize = 64;

/// Bytes of an RSA modulus of 2048 to 8192 bits.
const RSA_BYTES: RangeInclusive<usize> = 256..=1024;

/// Where the text of a key set comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySetSource {
    /// A file, which may hold secrets.
    File,
    /// A URL. Anyone can fetch it, so `oct` keys, which are secrets, are left out.
    Url,
}

/// The usable keys of a set.
#[derive(Debug)]
pub struct KeySet {
    keys: Vec<Key>,
    skipped: Vec<SkippedKey>,
}

/// A key of a set that is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedKey {
    /// The position in the set, from 0.
    pub position: usize,
    /// Why the key is not used.
    pub reason: SkipReason,
}

/// Why a key of a set is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// The key is not for signatures.
    OtherUse,
    /// The type, curve or algorithm of the key is not supported.
    Unsupported,
    /// The algorithm does not fit the type of the key, or a member is malformed.
    Malformed,
    /// The key is a private key.
    Private,
    /// The key is a secret, but the set comes from a URL.
    PublicSecret,
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SkipReason::OtherUse => "is not for signatures",
            SkipReason::Unsupported => "has a type, curve or algorithm that is not supported",
            SkipReason::Malformed => "is malformed, or its alg does not go with its type",
            SkipReason::Private => "is a private key, which must not be published",
            SkipReason::PublicSecret => "is a secret (oct), which must not come from a URL",
        })
    }
}

/// Why a text is not a usable key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySetError {
    /// The text is longer than [`MAX_KEY_SET`].
    TooLong,
    /// The text is not a JSON object with a list `keys`.
    NotAKeySet,
    /// The set has more than [`MAX_KEYS`] keys.
    TooManyKeys,
    /// No key of the set can be used.
    NoUsableKey,
}

impl fmt::Display for KeySetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeySetError::TooLong => write!(f, "the key set is longer than {MAX_KEY_SET} bytes"),
            KeySetError::NotAKeySet => {
                f.write_str("this is not a JWK set: a JSON object with a list \"keys\"")
            }
            KeySetError::TooManyKeys => write!(f, "the key set has more than {MAX_KEYS} keys"),
            KeySetError::NoUsableKey => f.write_str("the key set has no key that the gateway can use"),
        }
    }
}

impl std::error::Error for KeySetError {}

impl KeySet {
    /// Reads a set. Keys that cannot be used are left out, as RFC 7517 §5 asks.
    ///
    /// # Errors
    /// [`KeySetError`] names what is wrong without repeating any of the text.
    pub fn parse(text: &[u8], source: KeySetSource) -> Result<Self, KeySetError> {
        if text.len() > MAX_KEY_SET {
            return Err(KeySetError::TooLong);
        }
        let set: Value = serde_json::from_slice(text).map_err(|_| KeySetError::NotAKeySet)?;
        let list = set.get("keys").and_then(Value::as_array).ok_or(KeySetError::NotAKeySet)?;
        if list.len() > MAX_KEYS {
            return Err(KeySetError::TooManyKeys);
        }
        let (mut keys, mut skipped) = (Vec::new(), Vec::new());
        for (position, jwk) in list.iter().enumerate() {
            match key(jwk, source) {
                Ok(key) => keys.push(key),
                Err(reason) => skipped.push(SkippedKey { position, reason }),
            }
        }
        if keys.is_empty() { Err(KeySetError::NoUsableKey) } else { Ok(Self { keys, skipped }) }
    }

    /// The keys that can be used, in the order of the set.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Takes the usable keys out of the set.
    pub fn into_keys(self) -> Vec<Key> {
        self.keys
    }

    /// The keys that were left out.
    pub fn skipped(&self) -> &[SkippedKey] {
        &self.skipped
    }
}

fn key(jwk: &Value, source: KeySetSource) -> Result<Key, SkipReason> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    if jwk.get("use").is_some_and(|purpose| purpose != "sig") {
        return Err(SkipReason::OtherUse);
    }
    if let Some(operations) = jwk.get("key_ops") {
        let verifies = operations.as_array().is_some_and(|list| list.iter().any(|one| one == "verify"));
        if !verifies {
            return Err(SkipReason::OtherUse);
        }
    }
    if jwk.get("d").is_some() {
        return Err(SkipReason::Private);
    }
    let algorithm = match jwk.get("alg") {
        None => None,
        Some(name) => {
            let name = name.as_str().ok_or(SkipReason::Malformed)?;
            Some(name.parse::<Algorithm>().map_err(|_| SkipReason::Unsupported)?)
        }
    };
    let of_type = |wanted, default| match algorithm {
        None => Ok(default),
        Some(algorithm) if algorithm.key_type() == wanted => Ok(algorithm),
        Some(_) => Err(SkipReason::Malformed),
    };
    let member = |name: &str| text(name).and_then(decode).ok_or(SkipReason::Malformed);
    let unusable = |_: KeyError| SkipReason::Malformed;
    let key = match text("kty") {
        Some("oct") if source == KeySetSource::Url => return Err(SkipReason::PublicSecret),
        Some("oct") => {
            let algorithm = of_type(KeyType::Secret, Algorithm::Hs256)?;
            let secret = Secret::from_bytes(&member("k")?).map_err(|_| SkipReason::Malformed)?;
            Key::from_secret(algorithm, &secret).map_err(unusable)?
        }
        Some("RSA") => {
            let algorithm = of_type(KeyType::Rsa, Algorithm::Rs256)?;
            let modulus = member("n")?;
            let significant = modulus.iter().skip_while(|byte| **byte == 0).count();
            if !RSA_BYTES.contains(&significant) {
                return Err(SkipReason::Malformed);
            }
            let key = rsa_public_key(&modulus, &member("e")?);
            Key::from_public_bytes(algorithm, &key).map_err(unusable)?
        }
        Some("EC") => {
            let curve = text("crv").ok_or(SkipReason::Malformed)?;
            let (of_curve, size) = Algorithm::ALL
                .into_iter()
                .find_map(|one| one.curve().filter(|(name, _)| *name == curve).map(|(_, size)| (one, size)))
                .ok_or(SkipReason::Unsupported)?;
            let (x, y) = (member("x")?, member("y")?);
            let fits = of_type(KeyType::Ec, of_curve)? == of_curve && x.len() == size && y.len() == size;
            if !fits {
                return Err(SkipReason::Malformed);
            }
            Key::from_public_bytes(of_curve, &[&[4], &x[..], &y[..]].concat()).map_err(unusable)?
        }
        _ => return Err(SkipReason::Unsupported),
    };
    match jwk.get("kid") {
        None => Ok(key),
        Some(Value::String(id)) => Ok(key.with_id(id.as_str())),
        Some(_) => Err(SkipReason::Malformed),
    }
}

fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok().map(Zeroizing::new)
}

/// An RSAPublicKey in DER (RFC 8017 §A.1.1).
fn rsa_public_key(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    der(0x30, &[der_integer(modulus), der_integer(exponent)].concat())
}

fn der_integer(number: &[u8]) -> Vec<u8> {
    let start = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    let digits = &number[start..];
    // A leading zero keeps the number positive.
    let sign: &[u8] = if digits.first().is_none_or(|first| *first >= 0x80) { &[0] } else { &[] };
    der(0x02, &[sign, digits].concat())
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut header = vec![tag];
    if let (true, Ok(length)) = (content.len() < 0x80, u8::try_from(content.len())) {
        header.push(length);
    } else {
        let length = content.len().to_be_bytes();
        let start = length.iter().position(|byte| *byte != 0).unwrap_or(length.len() - 1);
        let digits = &length[start..];
        // At most 8 digits in base 256.
        header.push(0x80 | digits.len() as u8);
        header.extend_from_slice(digits);
    }
    [&header[..], content].concat()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(keys: &Value, source: KeySetSource) -> Result<KeySet, KeySetError> {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes(), source)
    }

    /// The point of the published installation key.
    fn point(kid: &str) -> Value {
        let der = base64::engine::general_purpose::STANDARD
            .decode("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEJSm4DMcivAwvhM+KNce2C/X26cj3oGyUwWVUPuNuZHtd2qyVsM+0g7qX73Qh0Of6fn10AApLnl8vRQsvx94fZQ==")
            .expect("base64");
        let (x, y) = der[27..].split_at(32);
        json!({"kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
               "kid": kid})
    }

    #[test]
    fn the_type_of_a_key_decides_its_algorithm() {
        let secret = URL_SAFE_NO_PAD.encode((0..64).collect::<Vec<u8>>());
        let keys = json!([
            point("a"),
            {"kty": "oct", "k": secret},
            {"kty": "oct", "k": secret, "alg": "HS512", "kid": "b"},
        ]);
        let set = parse(&keys, KeySetSource::File).expect("a key set");
        let found: Vec<_> = set.keys().iter().map(|key| (key.id(), key.algorithm())).collect();
        let expected =
            [(Some("a"), Algorithm::Es256), (None, Algorithm::Hs256), (Some("b"), Algorithm::Hs512)];
        assert_eq!(found, expected);
    }

    #[test]
    fn keys_that_cannot_be_used_are_left_out_with_a_reason() {
        let with = |name: &str, value: Value| {
            let mut key = point("k");
            key[name] = value;
            key
        };
        for (key, reason) in [
            (json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode([7; 32])}), SkipReason::PublicSecret),
            (with("use", json!("enc")), SkipReason::OtherUse),
            (with("key_ops", json!(["sign"])), SkipReason::OtherUse),
            (with("d", json!("AA")), SkipReason::Private),
            (with("alg", json!("ES384")), SkipReason::Malformed),
            (with("alg", json!("HS256")), SkipReason::Malformed),
            (with("alg", json!("none")), SkipReason::Unsupported),
            (with("alg", json!(1)), SkipReason::Malformed),
            (with("kid", json!(1)), SkipReason::Malformed),
            (with("x", json!(URL_SAFE_NO_PAD.encode([1; 32]))), SkipReason::Malformed),
            (with("x", json!("AA")), SkipReason::Malformed),
            (with("crv", json!("secp256k1")), SkipReason::Unsupported),
            (with("kty", json!("OKP")), SkipReason::Unsupported),
            (json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"}), SkipReason::Malformed),
            (json!("key"), SkipReason::Unsupported),
        ] {
            let set = parse(&json!([key, point("good")]), KeySetSource::Url).expect("one good key");
            assert_eq!(set.keys().len(), 1, "{key}");
            assert_eq!(set.skipped(), [SkippedKey { position: 0, reason }], "{key}");
        }
    }

    #[test]
    fn refuses_what_is_no_key_set() {
        let long = format!("{}{{\"keys\":[]}}", " ".repeat(MAX_KEY_SET));
        let many: Vec<_> = (0..=MAX_KEYS).map(|_| point("a")).collect();
        for (text, error) in [
            (String::new(), KeySetError::NotAKeySet),
            ("[]".into(), KeySetError::NotAKeySet),
            ("{\"keys\":{}}".into(), KeySetError::NotAKeySet),
            ("<html>".into(), KeySetError::NotAKeySet),
            ("{\"keys\":[]}".into(), KeySetError::NoUsableKey),
            (long, KeySetError::TooLong),
            (json!({ "keys": many }).to_string(), KeySetError::TooManyKeys),
        ] {
            assert_eq!(KeySet::parse(text.as_bytes(), KeySetSource::Url).err(), Some(error));
        }
    }
}
