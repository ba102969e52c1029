//! The one integration test binary; a module per topic.

// clippy knows test functions, but not the helpers beside them.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod binding_attacks;
mod claim_attacks;
mod form_attacks;
mod header_attacks;
mod judge;
mod token_commands;
mod tokens;
mod vectors;
