//! Settings of the admin listener: `admin` in the configuration file.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};

use crate::tls::Identity;

/// The settings of the admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminSettings {
    /// The address or unix socket of the listener.
    pub address: AdminAddress,
    /// The certificate of the listener; clear text without it.
    pub tls: Option<Identity>,
    /// What changes must show; without it, only this machine may change anything over TCP.
    pub token: Option<AdminToken>,
    /// Another listener that answers probes and nothing else.
    pub health_address: Option<SocketAddr>,
    /// Names by which clients may ask, besides addresses, `localhost` and the machine's name.
    pub names: Vec<Box<str>>,
}

/// Where and how to ask the admin listener of a running gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminEndpoint {
    /// The address of the listener.
    pub address: AdminAddress,
    /// Whether it speaks TLS, as configured. Until a reload the gateway may do otherwise.
    pub is_tls: bool,
}

impl From<SocketAddr> for AdminSettings {
    fn from(address: SocketAddr) -> Self {
        Self {
            address: AdminAddress::Tcp(address),
            tls: None,
            token: None,
            health_address: None,
            names: Vec::new(),
        }
    }
}

impl AdminSettings {
    /// The scheme of URLs of the listener.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

/// Where the admin listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    /// IP address and port; port 0 takes any free port.
    Tcp(SocketAddr),
    /// A unix socket, which only the gateway's user and root can use.
    Unix(PathBuf),
}

/// The prefix of a unix socket's path.
const UNIX: &str = "unix:";

impl AdminAddress {
    /// The address and port, if it is one.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

impl FromStr for AdminAddress {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        match text.strip_prefix(UNIX) {
            Some(path) if path.starts_with('/') && !path.contains('\0') => Ok(Self::Unix(path.into())),
            Some(_) => Err(NotAnAddress),
            None => text.parse().map(Self::Tcp).map_err(|_| NotAnAddress),
        }
    }
}

/// A text that is neither an IP address with port nor `unix:` with an absolute path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnAddress;

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

/// The token that changes must show. Only its hash is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminToken([u8; 32]);

impl AdminToken {
    /// The token of this text.
    pub fn new(text: &str) -> Self {
        Self(hash(text.as_bytes()))
    }

    /// Whether `shown` is the token. Takes the same time wherever the two differ.
    pub(super) fn is(&self, shown: &[u8]) -> bool {
        verify_slices_are_equal(&self.0, &hash(shown)).is_ok()
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(..)")
    }
}

fn hash(text: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, text).as_ref());
    hash
}
