//! Origins: the protected APIs, as plain values, and the decisions about them.
//!
//! This room is pure: no sockets, tasks, clock, environment or log. [`Origin`] is one entry of
//! `origins` in the configuration, resolved and checked.

mod error;
mod retry;
mod settings;

pub use error::UpstreamErrorKind;
pub use retry::RetryReason;
pub use settings::{
    Balance, Capacity, CheckKind, Ejection, HealthCheck, Keepalive, Origin, OriginAddress, OriginHttp,
    OriginTimeouts, OriginTls, Retries, SecretHeader, Target,
};
