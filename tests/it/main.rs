//! The gateway from outside: real processes on real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on has failed

mod harness;
mod http_attacks;
mod large_bodies;
mod observability;
mod origin_failures;
mod proxying;
mod refusals;
mod routes;
mod secrecy;
mod starting;
mod tls_origins;
mod workers;
