//! The one integration test binary; a module per topic. The verification core through the
//! library; the gateway from outside, as real processes on real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on has failed

mod harness;
mod http_attacks;
mod judge;
mod large_bodies;
mod observability;
mod origin_failures;
mod proxying;
mod refusals;
mod routes;
mod secrecy;
mod starting;
mod tls_origins;
mod token_attacks;
mod token_commands;
mod tokens;
mod vectors;
mod workers;
