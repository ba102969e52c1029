//! What the loads of benches share.

#[allow(dead_code, reason = "not every load needs all of it")]
#[path = "../compare/load/response.rs"]
pub mod response;
