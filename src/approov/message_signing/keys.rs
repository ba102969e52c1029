//! The keys that sign requests: the installation's own, and the account's.

use std::fmt;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey};
use base64::Engine;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::signature::FixedSignature;
use crate::approov::Secret;
use crate::approov::secret::any_base64;

/// A SubjectPublicKeyInfo (RFC 5280 §4.1) of an uncompressed point on P-256, up to the point's
/// coordinates.
const SPKI_PREFIX: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

/// The longest `ipk` that can be good: 91 bytes in base64, with padding.
const MAX_ENCODED: usize = 124;

/// The coordinates of an installation's public key. They may still be off the curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InstallKey([u8; 64]);

impl InstallKey {
    /// Reads the claim `ipk`: base64 or base64url of a SubjectPublicKeyInfo on P-256.
    pub fn from_claim(text: &str) -> Option<Self> {
        if text.len() > MAX_ENCODED {
            return None;
        }
        let der = any_base64(text).decode(text).ok()?;
        let point = der.strip_prefix(&SPKI_PREFIX)?;
        point.try_into().ok().map(Self)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Prepares the key. `None` if the point is not on the curve.
    pub fn prepare(&self) -> Option<PreparedInstallKey> {
        let mut point = [4; 65];
        point[1..].copy_from_slice(&self.0);
        ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok().map(PreparedInstallKey)
    }
}

pub(super) struct PreparedInstallKey(ParsedPublicKey);

impl PreparedInstallKey {
    pub fn verifies(&self, base: &[u8], signature: &FixedSignature) -> bool {
        self.0.verify_sig(base, signature).is_ok()
    }
}

/// A secret key of the account, which apps obtain from Approov.
#[derive(Clone)]
pub struct AccountKey {
    id: Box<str>,
    /// An HMAC state that has already hashed the key.
    state: Hmac<Sha256>,
}

impl AccountKey {
    /// A key with this `id`. The claim `mskid` of a token names it.
    pub fn new(id: impl Into<Box<str>>, secret: &Secret) -> Self {
        Self { id: id.into(), state: crate::approov::keys::hmac_state(secret) }
    }

    /// The id that tokens name in `mskid`.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn verifies(&self, base: &[u8], signature: &[u8]) -> bool {
        let mut mac = self.state.clone();
        mac.update(base);
        mac.verify_slice(signature).is_ok()
    }
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountKey").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use serde_json::Value;

    use super::*;
    use crate::approov::message_signing::signature::{self, with_low_s};

    const VECTORS: &str = include_str!("../../../tests/vectors/message-signing.json");
    const IPK: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEJSm4DMcivAwvhM+KNce2C/X26cj3oGyUwWVUPuNuZHtd2qyVsM+0g7qX73Qh0Of6fn10AApLnl8vRQsvx94fZQ==";

    /// The published bases, keys and signatures, those of RFC 9421 Appendix B among them.
    #[test]
    fn published_signatures_verify_over_the_published_bases_and_over_no_other() {
        let vectors: Vec<Value> = serde_json::from_str(VECTORS).expect("the file is JSON");
        for vector in &vectors {
            let text = |name: &str| vector.get(name).and_then(Value::as_str);
            let base = text("signature_base").expect("a base");
            let field = vector["headers"]["Signature"].as_str().map(|field| field.split(':').nth(1));
            let encoded = text("signature_base64").or(field.flatten()).expect("a signature");
            let signature = signature::decode(encoded).expect("base64");
            let install = text("public_key_spki_base64").map(|ipk| {
                let key = InstallKey::from_claim(ipk).expect("a P-256 key");
                key.prepare().expect("on the curve")
            });
            let account = text("account_key_base64")
                .or(text("key_base64"))
                .map(|key| AccountKey::new("id", &Secret::from_base64(key).expect("long enough")));
            let verifies = |base: &[u8]| match (&install, &account) {
                (Some(key), None) => {
                    let (fixed, _) = signature::ecdsa(&signature).expect("64 bytes");
                    key.verifies(base, &fixed) && key.verifies(base, &with_low_s(fixed))
                }
                (None, Some(key)) => key.verifies(base, &signature),
                _ => panic!("one key: {vector}"),
            };
            assert!(verifies(base.as_bytes()), "{}", vector["source"]);
            assert!(!verifies(base.to_lowercase().as_bytes()), "{}", vector["source"]);
        }
        assert_eq!(vectors.len(), 7);
    }

    /// The published MAC is over the 64 ASCII bytes of the mini-SDK's key, not over what they encode.
    #[test]
    fn an_account_key_can_be_raw_text() {
        const KEY: &str = "j3AWy6oFGHg38nYTm9_KBhZUyDvLXyKfedt8bJGQxzos3C5_QXpgpy3J7ykrTS6G";
        let base = "\"@method\": POST\n\
            \"@target-uri\": https://api.example.com/v1/resource?b=2&a=1&b=1\n\
            \"approov-token\": Bearer token\n\
            \"content-type\": application/json\n\
            \"content-digest\": sha-256=:k6I5cakU5erL8KjSUVTNownDwccvu5kU1Hxg88toFYg=:\n\
            \"@signature-params\": (\"@method\" \"@target-uri\" \"approov-token\" \"content-type\" \
            \"content-digest\");alg=\"hmac-sha256\"";
        let mac = STANDARD.decode("IDc19QbWtWLmcnhctgT4DiC6UQgTyGzJmS5a3kL7Sqs=").expect("base64");
        let raw = AccountKey::new("j3AWy6", &Secret::from_bytes(KEY.as_bytes()).expect("64 bytes"));
        assert!(raw.verifies(base.as_bytes(), &mac));
        let decoded = AccountKey::new("j3AWy6", &Secret::from_base64(KEY).expect("48 bytes"));
        assert!(!decoded.verifies(base.as_bytes(), &mac));
    }

    #[test]
    fn an_installation_key_is_a_point_on_p256_and_nothing_else() {
        let good = STANDARD.decode(IPK).expect("base64");
        let url_safe = IPK.replace('+', "-").replace('/', "_");
        for text in [IPK, IPK.trim_end_matches('='), &url_safe] {
            assert!(InstallKey::from_claim(text).and_then(|key| key.prepare()).is_some(), "{text}");
        }
        let with = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut der = good.clone();
            change(&mut der);
            STANDARD.encode(der)
        };
        let on_p384 = with(&|der| der[15..23].copy_from_slice(&[6, 5, 0x2b, 0x81, 4, 0, 0x22, 0]));
        for (name, text) in [
            ("empty", String::new()),
            ("not base64", "*".repeat(124)),
            ("another curve", on_p384),
            ("a compressed point", with(&|der| der[26] = 2)),
            ("a byte more", with(&|der| der.push(0))),
            ("a byte less", with(&|der| der.truncate(90))),
            ("off the curve", with(&|der| der[90] ^= 1)),
            ("all zero", with(&|der| der[27..].fill(0))),
            ("beyond the field", with(&|der| der[27..].fill(0xff))),
            ("too long", IPK.repeat(2)),
        ] {
            assert!(InstallKey::from_claim(&text).and_then(|key| key.prepare()).is_none(), "{name}");
        }
    }
}
