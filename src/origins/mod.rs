//! Origins: the decisions about them, without sockets, tasks or clocks.

mod error;
mod retry;

pub use error::UpstreamErrorKind;
pub use retry::RetryReason;
