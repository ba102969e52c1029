//! The one integration test binary; a module per topic.

mod judge;
mod token_attacks;
mod token_commands;
mod tokens;
mod vectors;
