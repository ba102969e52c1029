//! Tests of the library: the configuration, the verification of tokens, and the rules that the
//! source code keeps.

mod architecture;
mod comments;
mod config;
mod corpus;
mod dependencies;
mod documents;
mod judge;
pub mod message_signing;
mod migrate;
mod reference;
mod schema;
mod token_commands;
pub mod tokens;
mod vectors;
mod verified_signatures;
