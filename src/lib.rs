//! approov-gateway lets only genuine mobile apps reach an API.
//!
//! # The life of a request
//!
//! 1. A [worker](server) accepts the connection ([`downstream`]), waits for the head of a request
//!    under a deadline, refuses what is malformed or ambiguous as bytes, and hands the rest to
//!    Pingora, which parses it. [`proxy::RequestContext`] takes the configuration in force, once: a
//!    reload never splits a request.
//! 2. `request_filter` in [`proxy`] finds the route ([`policy::RouteTable`]) and, unless that is open, has the token judged
//!    ([`approov::Verifier`]). A refused request is answered here (`proxy/answer.rs`); the origin
//!    hears nothing of it.
//! 3. `upstream_peer` chooses one of the origin's addresses ([`upstream`]), resolved beforehand and
//!    known to be alive; what a failure means is decided in `proxy/exchange.rs`.
//! 4. `upstream_request_filter` edits the header (`proxy/forward.rs`): the token goes, forwarding
//!    fields are the gateway's own, `Host` is the API's domain, and a secret tells the origin who
//!    asks. Bodies stream both ways.
//! 5. `response_filter` removes what concerned only the origin's connection.
//! 6. `logging` counts the verdict and its reason and writes the access log ([`telemetry`]).
//!
//! # Who knows whom
//!
//! ```text
//! main → cli → server → { downstream, admin } → proxy       know Pingora
//! proxy → { policy, approov }                  plain values in, plain values out
//! config → builds values of policy, approov, limits, tls, trusted_proxies
//! tls → rustls                                 bytes of files in, what serves a handshake out
//! approov → cryptography and the standard library
//! ```
//!
//! [`approov`], [`policy`], [`limits`] and [`trusted_proxies`] import no Pingora, no tokio, no
//! environment, no log and read no clock; a test holds that.

pub mod admin;
pub mod admission;
pub mod approov;
pub mod cli;
pub mod clock;
pub mod closed_set;
pub mod config;
pub mod downstream;
pub mod http;
pub mod limits;
pub mod origins;
pub mod policy;
pub mod proxy;
pub mod server;
pub mod telemetry;
pub mod tls;
pub mod trusted_proxies;
pub mod upstream;

/// The version of this gateway.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
