//! Tests from the outside, in one binary, a module per topic: the verification core through the
//! library, the gateway as real processes on real sockets.

// The helpers around the test functions are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod adversarial;
mod architecture;
mod clients;
mod commands;
mod config;
mod corpus;
mod dependencies;
mod harness;
mod http2;
mod judge;
mod large_bodies;
mod lifecycle;
mod limits;
mod observability;
mod origin_failures;
mod origins;
mod proxying;
mod refusals;
mod routes;
mod secrecy;
mod starting;
mod tls;
mod tls_origins;
mod token_commands;
mod tokens;
mod vectors;
mod workers;
