//! Why an exchange with the store failed.

use redis::RedisError;

use super::explain::explain;

/// Why an exchange failed.
pub(super) enum SyncFailure {
    /// The store reports an error, or does not answer.
    Store(RedisError),
    /// The answer is not one of the script.
    Garbage,
}

impl SyncFailure {
    /// The failure in words.
    pub fn explain(&self) -> &'static str {
        match self {
            Self::Store(error) => explain(error),
            Self::Garbage => "its answer is not one of Redis; check the address",
        }
    }
}
