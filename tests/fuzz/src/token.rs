//! Property: with any bytes as the token and as values of the bound header, only good tokens are
//! accepted.
//!
//! The first line of an input is the value of the token header. Each further line is a value of the
//! bound header.

use std::sync::OnceLock;

use approov_gateway::approov::{Device, Presented, Rejection, Strategy};

use super::reference::{Demands, JudgedKey, Setup, now};

const SECRET: &[u8] = b"\x00\xff\x80 the secret of the fuzz targets, any bytes\n";
const SECOND_SECRET: &[u8] = b"another secret, for the key without a kid";
const RS256: &str = include_str!("../keys/rs256.pem");
const ES256: &str = include_str!("../keys/es256.pem");

fn setups() -> &'static [Setup] {
    static SETUPS: OnceLock<Vec<Setup>> = OnceLock::new();
    SETUPS.get_or_init(|| {
        let named = || {
            [
                JudgedKey::hs256(Some("hs"), SECRET),
                JudgedKey::rs256(Some("rs"), RS256),
                JudgedKey::es256(Some("es"), ES256),
                JudgedKey::hs256(None, SECOND_SECRET),
            ]
        };
        let nameless =
            [JudgedKey::hs256(None, SECRET), JudgedKey::rs256(None, RS256), JudgedKey::es256(None, ES256)];
        let bound = Demands { strategy: Strategy::TokenBinding, ..Demands::default() };
        let strict = Demands {
            prefix: "Bearer",
            leeway: 60,
            issuers: vec!["issuer".into()],
            audiences: vec!["audience".into(), "second".into()],
            ..Demands::default()
        };
        vec![
            Setup::new(named(), Demands::default()),
            Setup::new(named(), bound),
            Setup::new(nameless, Demands { prefix: "Bearer", ..Demands::default() }),
            Setup::new(named(), strict),
        ]
    })
}

/// Checks the property of this module.
///
/// # Panics
/// If the property does not hold.
pub fn holds(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let value = lines.next().unwrap_or_default();
    let bound: Vec<&[u8]> = lines.collect();
    for (index, setup) in setups().iter().enumerate() {
        let presented = Presented::from_values(bound.iter().copied());
        let verdict =
            setup.verifier.verify(setup.demands.strategy, Presented::Once(value), |_| presented, now());
        match verdict.rejection {
            None => assert!(setup.is_good(value, &bound), "setup {index} accepts"),
            Some(rejection) if rejection <= Rejection::BadSignature => {
                assert_eq!(
                    verdict.device,
                    Device::default(),
                    "setup {index} reports a device of an unsigned token"
                );
            }
            Some(_) => {}
        }
    }
}
