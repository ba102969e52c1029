//! Where to connect, and how requests are spread.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::closed_set::closed_set;

/// One entry of `addresses`, or the domain itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginAddress {
    /// The name, address or path to connect to.
    pub target: Target,
    /// The share of the requests, relative to the other addresses.
    pub weight: usize,
}

/// The host, address or socket to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A host name, which may resolve to several addresses.
    Name {
        /// The name to resolve.
        host: Box<str>,
        /// The TCP port of the host.
        port: u16,
    },
    /// An IP address and port.
    Socket(SocketAddr),
    /// The path of a unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Name { host, port } => write!(f, "{host}:{port}"),
            Target::Socket(address) => address.fmt(f),
            Target::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

closed_set! {
    /// How requests are spread over the addresses.
    pub enum Balance {
        /// Every address in turn.
        RoundRobin => "round_robin",
        /// Of two random addresses, the one with fewer requests in flight.
        LeastLoaded => "least_loaded",
        /// A device (claim `did`) keeps its address; without a device, the client's address decides.
        Device => "device",
        /// A client address keeps its origin address.
        Address => "address",
    }
}
