//! Property: of any text as a key set, only keys that fit their own type are used, and no secret of a
//! set from a URL. A key on a known point is used unless something is odd about it.

use std::sync::OnceLock;

use approov_gateway::approov::{Algorithm, KeySet, KeySetError, KeySetSource, KeyType, MAX_KEYS};
use serde_json::{Value, json};

fn key_type(jwk: &Value) -> Option<KeyType> {
    match jwk.get("kty")?.as_str()? {
        "oct" => Some(KeyType::Secret),
        "RSA" => Some(KeyType::Rsa),
        "EC" => Some(KeyType::Ec),
        _ => None,
    }
}

/// What must be true of a key that is used.
fn assert_fits(jwk: &Value, algorithm: Algorithm, id: Option<&str>, source: KeySetSource) {
    assert_eq!(key_type(jwk), Some(algorithm.key_type()), "{jwk}");
    assert!(source == KeySetSource::File || algorithm.key_type() != KeyType::Secret, "{jwk}");
    if let Some(name) = jwk.get("alg") {
        assert_eq!(name.as_str(), Some(algorithm.label()), "{jwk}");
    }
    let curve = match algorithm {
        Algorithm::Es256 => Some("P-256"),
        Algorithm::Es384 => Some("P-384"),
        Algorithm::Es512 => Some("P-521"),
        _ => None,
    };
    assert!(curve.is_none_or(|curve| jwk["crv"] == curve), "{jwk}");
    assert_eq!(jwk.get("kid").map(|kid| kid.as_str().expect("text")), id, "{jwk}");
    assert!(jwk.get("d").is_none(), "a private key is used");
    assert!(jwk.get("use").is_none_or(|purpose| purpose == "sig"), "{jwk}");
}

/// The coordinates of a point on P-256.
const POINT: [&str; 2] =
    ["JSm4DMcivAwvhM-KNce2C_X26cj3oGyUwWVUPuNuZHs", "XdqslbDPtIO6l-90IdDn-n59dAAKS55fL0ULL8feH2U"];

/// Whether the key must be used, wherever it comes from.
fn is_plain(jwk: &Value) -> bool {
    let is = |name: &str, value: &str| jwk.get(name).is_some_and(|found| found == value);
    let is_absent_or = |name: &str, value: &str| jwk.get(name).is_none_or(|found| found == value);
    is("kty", "EC")
        && is("crv", "P-256")
        && is("x", POINT[0])
        && is("y", POINT[1])
        && is_absent_or("alg", "ES256")
        && is_absent_or("use", "sig")
        && jwk.get("kid").is_none_or(Value::is_string)
        && jwk.get("key_ops").is_none()
        && jwk.get("d").is_none()
}

/// Checks the property of this module.
///
/// # Panics
/// If the property does not hold.
pub fn holds(data: &[u8]) {
    static IS_SOUND: OnceLock<bool> = OnceLock::new();
    let is_sound = || {
        let [x, y] = POINT;
        let set = json!({ "keys": [{ "kty": "EC", "crv": "P-256", "x": x, "y": y }] }).to_string();
        KeySet::parse(set.as_bytes(), KeySetSource::Url).is_ok_and(|set| set.keys().len() == 1)
    };
    assert!(IS_SOUND.get_or_init(is_sound), "a good key is refused");
    let list = serde_json::from_slice::<Value>(data).ok();
    let list = list.as_ref().and_then(|set| set.get("keys")).and_then(Value::as_array);
    for source in [KeySetSource::File, KeySetSource::Url] {
        match (KeySet::parse(data, source), list) {
            (Ok(set), Some(list)) => {
                assert_eq!(set.keys().len() + set.skipped().len(), list.len());
                assert!(!set.keys().is_empty() && list.len() <= MAX_KEYS);
                let is_skipped =
                    |index: &usize| set.skipped().iter().any(|skipped| skipped.position == *index);
                for (index, jwk) in list.iter().enumerate() {
                    assert!(!is_plain(jwk) || !is_skipped(&index), "a good key is left out: {jwk}");
                }
                let used = (0..list.len()).filter(|index| !is_skipped(index));
                for (index, key) in used.zip(set.keys()) {
                    assert_fits(&list[index], key.algorithm(), key.id(), source);
                }
            }
            (Ok(_), None) => panic!("a text without a list of keys is used"),
            (Err(KeySetError::NotAKeySet), Some(_)) => panic!("a list of keys is overlooked"),
            (Err(KeySetError::NoUsableKey), Some(list)) => assert!(!list.iter().any(is_plain), "{list:?}"),
            (Err(_), _) => {}
        }
    }
}
