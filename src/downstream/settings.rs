//! The settings of a listener.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::tls::ServerTls;
use crate::trusted_proxies::TrustedProxies;

/// A public listener: one entry of `listeners` in the configuration file.
#[derive(Clone, Debug)]
pub struct ListenerSettings {
    /// Address and port; port 0 takes any free port.
    pub address: SocketAddr,
    /// Whether HTTP/2 in clear text is accepted from clients that start with its preface.
    pub h2c: bool,
    /// TLS; `None` for plain HTTP.
    pub tls: Option<ServerTls>,
    /// The files that `tls` was read from.
    pub tls_files: Vec<PathBuf>,
    /// The proxies in front of the listener, and where they name the client's address.
    pub trusted_proxies: Option<TrustedProxies>,
    /// Whether requests without TLS are redirected to `https://`.
    pub redirect_to_https: bool,
    /// `Strict-Transport-Security` in answers to requests with TLS.
    pub hsts: Option<Hsts>,
}

impl ListenerSettings {
    /// A listener that speaks plain HTTP and trusts no proxy.
    pub fn plain(address: SocketAddr) -> Self {
        Self {
            address,
            h2c: false,
            tls: None,
            tls_files: Vec::new(),
            trusted_proxies: None,
            redirect_to_https: false,
            hsts: None,
        }
    }
}

/// HTTP Strict Transport Security (RFC 6797). `Display` writes the field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hsts {
    /// How long clients remember to use TLS. They cannot be told to forget it earlier.
    pub max_age: Duration,
    /// Whether it applies to every name below the host's, too.
    pub include_subdomains: bool,
    /// Whether the host agrees to be in the lists that browsers are shipped with.
    pub preload: bool,
}

impl fmt::Display for Hsts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "max-age={}", self.max_age.as_secs())?;
        if self.include_subdomains {
            f.write_str("; includeSubDomains")?;
        }
        if self.preload {
            f.write_str("; preload")?;
        }
        Ok(())
    }
}
