//! Addresses of origins, and the resolution of names.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use async_trait::async_trait;
use pingora_core::protocols::l4::socket::SocketAddr as PeerAddress;

/// The target of a connection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Address {
    Inet(SocketAddr),
    Unix(Box<Path>),
}

impl Address {
    /// The address in Pingora's form. `None` if the path is too long for a socket.
    pub fn to_peer(&self) -> Option<PeerAddress> {
        match self {
            Address::Inet(address) => Some(PeerAddress::Inet(*address)),
            Address::Unix(path) => {
                std::os::unix::net::SocketAddr::from_pathname(path).ok().map(PeerAddress::Unix)
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Inet(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Finds the addresses of a host name.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// All addresses of `host`, with this port. Returns at least one.
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// The system's resolver. It runs on a thread for blocking work.
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        Ok(addresses)
    }
}
