//! What the loads of benches share.

#[path = "../compare/load/response.rs"]
pub mod response;
