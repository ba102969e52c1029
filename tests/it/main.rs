//! Tests from the outside, a module per topic.

mod config;
