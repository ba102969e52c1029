//! The one integration test binary; a module per topic.

mod judge;
mod token_attacks;
mod tokens;
mod vectors;
