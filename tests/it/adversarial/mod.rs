//! Attacks on the gateway, by kind. "Refused" means that the answer is 4xx, that not one byte reaches
//! the origin, and that the next honest request is served.
//!
//! | kind | where |
//! |---|---|
//! | upgrades, smuggling, paths, forged fields, methods, hosts | `http` |
//! | the same in HTTP/2 frames, and attacks that need frames | `frames` |
//! | slow senders, slow readers, silent clients | `slowness` |
//! | heads, fields, targets, tokens and bodies that are too large | `sizes` |
//! | floods of requests, connections and failures | `rates`, `connections`, `offenders` |
//! | the admin listener: floods, slow clients, pages in an operator's browser | `admin` |
//! | the token: algorithms, claims, segments, payloads, key ids, binding | `token` |
//! | streams that allow any amount of data and read none of it | `frames/unread_streams` |
//! | all kinds together, with 512 MiB of memory | `memory` |
//! | origins with malformed, late or unsolicited answers | `answers` |
//!
//! Failing origins are tested in `gateway::origin_failures` and `gateway::origins`, broken reloads and
//! successors in `lifecycle`, the content of logs in `secrecy`.

mod admin;
mod answers;
mod connections;
mod frames;
mod http;
mod memory;
mod offenders;
mod rates;
mod secrecy;
mod sizes;
mod slowness;
mod token;

use crate::harness::{Gateway, Message, Origin, Setup, config_before, get, tokens};

/// A gateway with these limits, which apply to the loopback addresses of the tests too. Its listener
/// speaks HTTP/1 and HTTP/2 in clear text.
fn limited(origin: &Origin, limits: &str) -> Gateway {
    configured(origin, &format!("limits: {{ allow: [], {limits} }}\n"))
}

/// A gateway with this configuration. Its listener speaks HTTP/1 and HTTP/2 in clear text.
fn configured(origin: &Origin, rest: &str) -> Gateway {
    let listeners = "listeners: [ { address: \"127.0.0.1:0\", h2c: true } ]\n";
    let config = config_before(origin, &format!("{listeners}{rest}"));
    Setup::bare().without("GATEWAY_LISTEN").config(&config).start()
}

fn hostile(target: &str) -> Message {
    Message::get(target).token(&tokens::wrongly_signed())
}

/// How many requests or connections this limit has refused.
fn refused(gateway: &Gateway, cause: &str) -> f64 {
    let labels = [("cause", cause), ("outcome", "refused")];
    gateway.metrics().sum("approov_gateway_limited_total", &labels)
}
