//! What is tried against the gateway, by kind. "Refused" means a 4xx and not one byte at the origin,
//! and the next honest request is served.
//!
//! | kind | where |
//! |---|---|
//! | upgrades, smuggling, paths, forged fields, methods, hosts | `http` |
//! | the same by frames of HTTP/2, and what only frames can do | `frames` |
//! | slow senders, slow readers, silence | `slowness` |
//! | too much of anything | `sizes` |
//! | floods: by address, device, token; of connections; of failures | `rates`, `connections`, `offenders` |
//! | the token: algorithms, claims, segments, payloads, key ids, binding | `token` |
//! | origins that answer oddly, late, or to nobody | `answers` |
//!
//! Origins that fail are in `origin_failures` and `origins`, broken reloads and successors in
//! `lifecycle`, what logs hold in `secrecy`.

mod answers;
mod connections;
mod frames;
mod http;
mod offenders;
mod rates;
mod secrecy;
mod sizes;
mod slowness;
mod token;

use crate::harness::{Gateway, Message, Origin, Setup, config_before, get, tokens};

/// A gateway that takes this machine for one of the world's, with these limits. Its listener speaks
/// HTTP/2 as well.
fn limited(origin: &Origin, limits: &str) -> Gateway {
    configured(origin, &format!("limits: {{ allow: [], {limits} }}\n"))
}

/// The same with any configuration.
fn configured(origin: &Origin, rest: &str) -> Gateway {
    let listeners = "listeners: [ { address: \"127.0.0.1:0\", h2c: true } ]\n";
    let config = config_before(origin, &format!("{listeners}{rest}"));
    Setup::bare().without("GATEWAY_LISTEN").config(&config).start()
}

fn hostile(target: &str) -> Message {
    Message::get(target).token(&tokens::wrongly_signed())
}

/// A token of this device.
fn device(id: &str) -> String {
    tokens::with_claims(serde_json::json!({ "exp": tokens::in_seconds(3600), "did": id }))
}

/// How often a limit of this kind has refused.
fn refused(gateway: &Gateway, cause: &str) -> f64 {
    let labels = [("cause", cause), ("outcome", "refused")];
    gateway.metrics().sum("approov_gateway_limited_total", &labels)
}
