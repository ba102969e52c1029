//! approov-gateway
pub mod approov;
pub mod cli;
pub mod config;
pub mod policy;
