//! Property: a signature over a request is accepted only if the crate `sfv` reads its input as one that
//! covers method, target and token, is in time and names no other algorithm.
//!
//! The lines of an input are the value of the label `account` in `Signature-Input`, the target of the
//! request, and the value of the field `x-a`. The signature is right for the base that this file builds by
//! itself.

use std::sync::OnceLock;
use std::time::Duration;

use approov_gateway::approov::message_signing::{AccountKey, Message, Rules, SignatureResult};
use approov_gateway::approov::{Key, Presented, Secret, SigningClaims, Strategy, UnixTime, Verifier};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sfv::{BareItem, InnerList, ListEntry};
use sha2::Sha256;

const NOW: i64 = 1_744_292_750;
const TOKEN: &str = "a.token.here";
const SECRET: &[u8] = b"the secret of the fuzz targets, with some bytes";

fn now() -> UnixTime {
    UnixTime::since_epoch(Duration::from_secs(NOW.unsigned_abs()))
}

/// The rules, and the claims of a token that names the key.
fn world() -> &'static (Rules, SigningClaims) {
    static WORLD: OnceLock<(Rules, SigningClaims)> = OnceLock::new();
    WORLD.get_or_init(|| {
        let secret = Secret::from_bytes(SECRET).expect("long enough");
        let claims = serde_json::json!({ "exp": NOW + 60, "mskid": "k" });
        let key = jsonwebtoken::EncodingKey::from_secret(SECRET);
        let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).expect("a token");
        let verifier = Verifier::new(vec![Key::hs256(&secret)]);
        let token = Presented::Once(token.as_bytes());
        let judged = verifier.verify(Strategy::Token, token, |_| Presented::Missing, now());
        let claims = judged.accepted.expect("a good token").payload.signing();
        let rules = Rules {
            token_header: "approov-token".into(),
            account_keys: vec![AccountKey::new("k", &secret)],
            public_origins: Vec::new(),
            max_age: 60,
            skew: 60,
            requires_digest: false,
        };
        (rules, claims)
    })
}

/// The list of the label `account`, by `sfv`.
fn reference(input: &str) -> Option<InnerList> {
    let members = sfv::Parser::parse_dictionary(input.as_bytes()).ok()?;
    let mut members = members.into_iter();
    match (members.next()?, members.next()) {
        ((key, ListEntry::InnerList(list)), None) if key.as_str() == "account" => Some(list),
        _ => None,
    }
}

/// The names of the covered components. `None` if one is unknown here.
fn names(list: &InnerList) -> Option<Vec<&str>> {
    let name = |item: &sfv::Item| match &item.bare_item {
        BareItem::String(name) if item.params.is_empty() => Some(name.as_str().to_owned()),
        _ => None,
    };
    let known = [
        "@method",
        "@target-uri",
        "@authority",
        "@scheme",
        "@path",
        "@query",
        "@request-target",
        "approov-token",
        "x-a",
    ];
    list.items
        .iter()
        .map(|item| known.into_iter().find(|known| Some(*known) == name(item).as_deref()))
        .collect()
}

fn base(names: &[&str], input: &str, target: &str, extra: Option<&str>) -> Option<String> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut base = String::new();
    for name in names {
        let value = match *name {
            "@method" => "GET".to_owned(),
            "@target-uri" => format!("http://api.test{target}"),
            "@authority" => "api.test".to_owned(),
            "@scheme" => "http".to_owned(),
            "@path" => path.to_owned(),
            "@query" => format!("?{query}"),
            "@request-target" => target.to_owned(),
            "x-a" => extra?.trim().to_owned(),
            _ => TOKEN.to_owned(),
        };
        base += &format!("\"{name}\": {value}\n");
    }
    Some(base + &format!("\"@signature-params\": {input}"))
}

/// Whether the parameters and the coverage are good.
fn is_good(list: &InnerList, names: &[&str]) -> bool {
    let integer = |name: &str| match list.params.get(name) {
        Some(BareItem::Integer(number)) => Some(*number),
        _ => None,
    };
    let covers = |name: &str| names.contains(&name);
    let target = covers("@target-uri") || (covers("@authority") && covers("@path") && covers("@query"));
    let algorithm = match list.params.get("alg") {
        None => true,
        Some(BareItem::String(name)) => name.as_str() == "hmac-sha256",
        Some(_) => false,
    };
    let Some(created) = integer("created") else { return false };
    let end = integer("expires").map_or(created + 60, |expires| expires.min(created + 60)) + 60;
    let unique = names.iter().collect::<std::collections::HashSet<_>>().len() == names.len();
    covers("@method")
        && target
        && covers("approov-token")
        && algorithm
        && created - 60 <= NOW
        && NOW < end
        && unique
}

/// An input that is accepted.
const GOOD: &[u8] = b"(\"@method\" \"@target-uri\" \"approov-token\");created=1744292750\n/x";

/// Checks the property of this module.
///
/// # Panics
/// If the property does not hold.
pub fn holds(data: &[u8]) {
    static IS_SOUND: OnceLock<bool> = OnceLock::new();
    assert!(IS_SOUND.get_or_init(|| accepts(GOOD)), "a right signature is refused");
    accepts(data);
}

/// Whether the right signature is accepted.
fn accepts(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.split('\n');
    let input = lines.next().unwrap_or_default();
    let is_target = |target: &&str| {
        target.starts_with('/') && target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
    };
    let target = lines.next().filter(is_target).unwrap_or("/");
    let extra = lines.next();
    let field = format!("account={input}");
    let list = reference(&field);
    let names = list.as_ref().and_then(names);
    let base = names.as_ref().and_then(|names| base(names, input.trim_end(), target, extra));
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).expect("a key of any length");
    mac.update(base.as_deref().unwrap_or_default().as_bytes());
    let mut signature = mac.finalize().into_bytes().to_vec();

    let (rules, claims) = world();
    let judge = |signature: &[u8]| {
        let mut fields = vec![
            ("approov-token".to_owned(), TOKEN.into()),
            ("signature-input".to_owned(), field.clone().into_bytes()),
            ("signature".to_owned(), format!("account=:{}:", STANDARD.encode(signature)).into_bytes()),
        ];
        fields.extend(extra.map(|value| ("x-a".to_owned(), value.as_bytes().to_vec())));
        let message = Message {
            method: b"GET",
            is_secure: false,
            authority: b"api.test",
            target: target.as_bytes(),
            fields: &fields,
            has_body: false,
        };
        rules.verify(&message, claims, now())
    };
    let judged = judge(&signature);
    if judged.rejection.is_none() {
        assert_eq!(judged.result, SignatureResult::Valid);
        let good = list.as_ref().zip(names.as_ref()).is_some_and(|(list, names)| is_good(list, names));
        assert!(good && base.is_some(), "accepted: {field:?}");
    }
    signature[0] ^= 1;
    assert!(judge(&signature).rejection.is_some(), "a wrong signature is accepted");
    judged.rejection.is_none()
}
