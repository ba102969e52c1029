//! The settings of one origin.
//!
//! - `address`: where to connect and how requests are spread;
//! - `connection`: TLS, HTTP version, timeouts and keep-alive;
//! - `health`: health checks and ejection;
//! - `request`: retries, capacity and the secret header.

mod address;
mod connection;
mod health;
mod request;

use std::net::SocketAddr;
use std::time::Duration;

use http::header::HOST;
use http::{HeaderName, HeaderValue};

pub use address::{Balance, OriginAddress, Target};
pub use connection::{Keepalive, OriginHttp, OriginTimeouts, OriginTls};
pub use health::{CheckKind, Ejection, HealthCheck};
pub use request::{Capacity, Retries, SecretHeader};

/// A protected API: one entry of `origins` in the configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The name in the file, in metrics and in logs.
    pub name: Box<str>,
    /// Host name or IP address, without the port.
    pub host: Box<str>,
    /// The TCP port of the host.
    pub port: u16,
    /// The value of the `Host` field: the host, with the port unless it is the scheme's default.
    pub authority: HeaderValue,
    /// Where to connect. Never empty.
    pub addresses: Vec<OriginAddress>,
    /// How an address is chosen for a request.
    pub balance: Balance,
    /// TLS with verification of certificate and name; `None` for clear text.
    pub tls: Option<OriginTls>,
    /// The version of HTTP, and its settings.
    pub http: OriginHttp,
    /// Time limits of connections and requests.
    pub timeouts: OriginTimeouts,
    /// Time between two resolutions of the host names.
    pub resolve_interval: Duration,
    /// When TCP keep-alive probes are sent.
    pub keepalive: Keepalive,
    /// Active health checks; `None` if there are none.
    pub health_check: Option<HealthCheck>,
    /// When a failing address gets no requests for a while.
    pub ejection: Ejection,
    /// Which requests are sent again; `None` if none are.
    pub retries: Option<Retries>,
    /// The limit on concurrent requests; `None` if there is no limit.
    pub capacity: Option<Capacity>,
    /// A header that proves to the origin that a request came through the gateway.
    pub secret_header: Option<SecretHeader>,
}

impl Origin {
    /// Time between two resolutions of host names, unless configured.
    pub const RESOLVE_INTERVAL: Duration = Duration::from_secs(30);

    /// An origin in clear text at `address` with the default settings.
    pub fn plain(name: &str, address: SocketAddr, authority: HeaderValue) -> Self {
        Self {
            name: name.into(),
            host: address.ip().to_string().into(),
            port: address.port(),
            authority,
            addresses: vec![OriginAddress { target: Target::Socket(address), weight: 1 }],
            balance: Balance::RoundRobin,
            tls: None,
            http: OriginHttp::H1,
            timeouts: OriginTimeouts::default(),
            resolve_interval: Self::RESOLVE_INTERVAL,
            keepalive: Keepalive::default(),
            health_check: None,
            ejection: Ejection::default(),
            retries: None,
            capacity: None,
            secret_header: None,
        }
    }

    /// Scheme, host and port, as clients of the origin write them.
    pub fn base_url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", String::from_utf8_lossy(self.authority.as_bytes()))
    }

    /// The fields that the gateway itself sets in every request to this origin, health checks
    /// included: `Host` and the secret header.
    pub fn own_fields(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        let secret = self.secret_header.iter().flat_map(SecretHeader::fields);
        std::iter::once((&HOST, &self.authority)).chain(secret)
    }
}
