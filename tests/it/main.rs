//! Tests from the outside, in one binary, a module per topic.

// The helpers around the test functions are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod config;
mod judge;
mod token_attacks;
mod token_commands;
mod tokens;
mod vectors;
