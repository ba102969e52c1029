//! Why the store cannot be used.

use std::io;

use redis::{ErrorKind, RedisError, ServerErrorKind};

use super::explain::explain;

/// Why connecting to the store or an exchange with it failed.
pub enum SyncFailure {
    /// The store reports an error, or the connection breaks.
    Store(RedisError),
    /// It takes longer than its patience.
    TooSlow,
    /// It sends more than an exchange has.
    TooMuch,
    /// The answer is not one of the script.
    Garbage,
    /// The system has no certificates of authorities that can be read.
    NoAuthorities,
    /// The sentinels do not know the name of the store.
    UnknownToSentinels,
    /// The server that a sentinel names is not a primary.
    NotPrimary,
    /// A server that was expected to be a node of a cluster is not.
    NotCluster,
    /// No connection to the node of the cluster that has a bucket.
    NoClusterNode,
}

impl SyncFailure {
    /// Whether a cluster has refused a command because only some of its keys have moved to another server.
    pub fn is_half_moved(&self) -> bool {
        matches!(self, Self::Store(error) if error.kind() == ErrorKind::Server(ServerErrorKind::TryAgain))
    }

    /// The failure in words.
    pub fn explain(&self) -> &'static str {
        match self {
            Self::Store(error) => explain(error),
            Self::TooSlow => "it does not answer in time",
            Self::TooMuch => "it sends more than an exchange has; check the address",
            Self::Garbage => "its answer is not one of Redis; check the address",
            Self::NoAuthorities => {
                "the system has no certificates of authorities; install ca-certificates, or write ca_file"
            }
            Self::UnknownToSentinels => "no sentinel knows a server of this name",
            Self::NotPrimary => "the server that the sentinels name is not a primary yet",
            Self::NotCluster => "it is not a cluster; remove cluster: true",
            Self::NoClusterNode => "a node of the cluster cannot be reached",
        }
    }
}

impl From<RedisError> for SyncFailure {
    fn from(error: RedisError) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for SyncFailure {
    fn from(error: io::Error) -> Self {
        Self::Store(error.into())
    }
}
