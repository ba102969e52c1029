//! Tests from the outside, a module per topic.

// The helpers around the test functions are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod config;
