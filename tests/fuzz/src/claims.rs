//! Property: of correctly signed tokens with any header and claims, only good ones are accepted, and no
//! good one is refused if all JSON readers agree on its content.
//!
//! The first line of an input is the JOSE header, the rest the payload.

use std::sync::OnceLock;

use approov_gateway::approov::{Presented, Rejection, Strategy, TokenJudgement};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Map, Value};

use super::reference::{Demands, JudgedKey, Setup, is_bound, now};

const SECRET: &[u8] = b"\xfe\x00 the secret that signs whatever comes\xff";
const BOUND: &[u8] = b"Bearer user";
const PLAIN_HEADER: &[u8] = br#"{"alg":"HS256","typ":"JWT"}"#;

/// Objects with more members are refused.
const MAX_MEMBERS: usize = 64;

fn setups() -> &'static [Setup] {
    static SETUPS: OnceLock<Vec<Setup>> = OnceLock::new();
    SETUPS.get_or_init(|| {
        let strict = Demands {
            leeway: 60,
            issuers: vec!["issuer".into(), "second".into()],
            audiences: vec!["audience".into(), "second".into()],
            ..Demands::default()
        };
        let bound = Demands { strategy: Strategy::TokenBinding, ..Demands::default() };
        [Demands::default(), strict, bound]
            .into_iter()
            .map(|demands| Setup::new([JudgedKey::hs256(Some("hs"), SECRET)], demands))
            .collect()
    })
}

/// Checks the property of this module.
///
/// # Panics
/// If the property does not hold.
pub fn holds(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (header, payload) = (&data[..end], data.get(end + 1..).unwrap_or_default());
    let token = signed(header, payload);
    for setup in setups() {
        if verdict(setup, &token).rejection.is_none() {
            assert!(setup.is_good(token.as_bytes(), &[BOUND]), "accepted: {token}");
        }
    }
    let Ok(claims) = serde_json::from_slice::<Map<String, Value>>(payload) else { return };
    if claims.len() > MAX_MEMBERS {
        return;
    }
    // The new serialisation has each member once.
    let payload = serde_json::to_vec(&claims).expect("what was read can be written");
    let token = signed(PLAIN_HEADER, &payload);
    for setup in setups() {
        let TokenJudgement { rejection, device, accepted } = verdict(setup, &token);
        if rejection == Some(Rejection::OversizedToken) {
            continue;
        }
        let is_good = setup.are_good(&claims)
            && (setup.demands.strategy == Strategy::Token || is_bound(&claims, &[BOUND]));
        assert_eq!(rejection.is_none(), is_good, "{rejection:?}: {token}");
        let covered = token.rsplit_once('.').expect("three segments").0;
        let signed = accepted.map(|accepted| accepted.signed);
        assert_eq!(signed, is_good.then_some(covered.as_bytes()), "{token}");
        assert_eq!(device.id.as_deref(), claims.get("did").and_then(Value::as_str), "{token}");
        assert_eq!(device.response_code.as_deref(), claims.get("arc").and_then(Value::as_str), "{token}");
    }
}

fn signed(header: &[u8], payload: &[u8]) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = crypto::sign(signed.as_bytes(), &EncodingKey::from_secret(SECRET), Algorithm::HS256);
    format!("{signed}.{}", signature.expect("HMAC takes any message"))
}

fn verdict<'t>(setup: &Setup, token: &'t str) -> TokenJudgement<'t> {
    let token = Presented::Once(token.as_bytes());
    setup.verifier.verify(setup.demands.strategy, token, |_| Presented::Once(BOUND), now())
}
