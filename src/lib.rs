//! approov-gateway
pub mod admin;
pub mod approov;
pub mod cli;
pub mod config;
pub mod policy;
pub mod proxy;
pub mod server;
pub mod telemetry;
pub mod upstream;

/// The version of this gateway.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
