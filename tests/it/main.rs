//! Black-box tests, in one binary.
//!
//! | folder | tests |
//! |---|---|
//! | `core` | the library: configuration, tokens, architecture, dependencies |
//! | `gateway` | gateway processes on real sockets: what clients, origins and operators see |
//! | `adversarial` | attacks: a refused request does not reach the origin |
//! | `fleet` | several gateway processes as one |
//! | `lifecycle` | start, reload, upgrade and stop while requests are in progress |
//! | `harness` | the gateway process, origins and clients that the tests use |
//!
//! `harness/mod.rs` shows how to write a test.

// Helper functions outside `#[test]` functions panic too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod adversarial;
mod core;
mod fleet;
mod gateway;
mod harness;
mod lifecycle;
