//! A protected API, as the rest of the gateway sees it.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use crate::tls::Identity;

/// A protected API: an entry of `origins` in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its name in the file, in metrics and in logs.
    pub name: Box<str>,
    /// Host name or IP address, without port.
    pub host: Box<str>,
    /// TCP port.
    pub port: u16,
    /// The value of the `Host` field: host, and port unless it is the scheme's own.
    pub authority: HeaderValue,
    /// Where to connect; at least one.
    pub addresses: Vec<OriginAddress>,
    /// Which address a request goes to.
    pub balance: Balance,
    /// TLS, with the certificate and name verified; none in clear text.
    pub tls: Option<OriginTls>,
    /// Which HTTP is spoken.
    pub http: OriginHttp,
    /// Time limits.
    pub timeouts: OriginTimeouts,
    /// How often host names are resolved again.
    pub resolve_interval: Duration,
    /// Probes on silent TCP connections.
    pub keepalive: Keepalive,
    /// How addresses are tried out.
    pub health_check: Option<HealthCheck>,
    /// When an address gets no requests for a while.
    pub ejection: Ejection,
    /// Which requests are sent again.
    pub retries: Option<Retries>,
    /// How many requests it gets at a time; none for any number.
    pub capacity: Option<Capacity>,
    /// By which it knows the gateway.
    pub secret_header: Option<SecretHeader>,
}

/// One entry of `addresses`, or the domain itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginAddress {
    /// Where.
    pub target: Target,
    /// Its share of the requests, relative to the other addresses.
    pub weight: usize,
}

/// What can be connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A host name, which may have several addresses.
    Name {
        /// The name.
        host: Box<str>,
        /// TCP port.
        port: u16,
    },
    /// An IP address and port.
    Socket(SocketAddr),
    /// A unix socket.
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

/// How requests are spread over the addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// Each in turn.
    RoundRobin,
    /// The one with fewer unfinished requests, of two.
    LeastLoaded,
    /// A device stays with its address (claim `did`); a client without one, by its own address.
    Device,
    /// A client's address stays with an address.
    Address,
}

impl Balance {
    /// Every way, with its word in the configuration.
    pub const ALL: [(&'static str, Balance); 4] = [
        ("round_robin", Balance::RoundRobin),
        ("least_loaded", Balance::LeastLoaded),
        ("device", Balance::Device),
        ("address", Balance::Address),
    ];
}

/// What an origin's certificate is held against, and what it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginTls {
    /// The name that is sent (SNI, RFC 6066 §3) and that the certificate must be for.
    pub server_name: ServerName<'static>,
    /// Trusted authorities; none for the system's.
    pub roots: Option<Vec<CertificateDer<'static>>>,
    /// The gateway's own certificate.
    pub identity: Option<Identity>,
    /// Its key as bytes, which HTTP/2 needs.
    pub identity_key: Option<Arc<PrivateKeyDer<'static>>>,
}

/// Which HTTP an origin is spoken to in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginHttp {
    /// HTTP/1.1.
    H1,
    /// HTTP/2; without TLS by prior knowledge (RFC 9113 §3.3).
    H2 {
        /// Requests at a time on one connection.
        max_streams: usize,
        /// How often a connection is tried out by a PING.
        ping_interval: Option<Duration>,
    },
}

/// Time limits towards an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginTimeouts {
    /// TCP connection and TLS handshake together.
    pub connect: Duration,
    /// From the request's last byte to the response's first, where that is less than `read`.
    pub first_byte: Option<Duration>,
    /// Between two reads, so also until the first byte of the response.
    pub read: Duration,
    /// Between two writes.
    pub write: Duration,
    /// The whole request, attempts and waiting included.
    pub total: Option<Duration>,
    /// How long an unused connection is kept for reuse.
    pub idle: Duration,
}

/// TCP keep-alive (RFC 1122 §4.2.3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence before the first probe.
    pub idle: Duration,
    /// Between two probes.
    pub interval: Duration,
    /// Unanswered probes until the connection counts as broken.
    pub count: usize,
}

/// How the addresses of an origin are tried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is tried.
    pub kind: CheckKind,
    /// From one check to the next.
    pub interval: Duration,
    /// How long one may take.
    pub timeout: Duration,
    /// Checks passed in a row until an address is used again.
    pub healthy_threshold: usize,
    /// Checks failed in a row until an address is not used any more.
    pub unhealthy_threshold: usize,
}

/// What a health check tries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// Whether a connection is accepted.
    Tcp,
    /// Whether a GET is answered with one of the statuses.
    Http {
        /// The request's target.
        path: Box<str>,
        /// Which answers are good.
        statuses: Vec<RangeInclusive<u16>>,
    },
}

/// When an address that fails gets no requests for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// Whether that goes for the only address as well.
    pub single: bool,
    /// Connections in a row that could not be made; 0 for any number.
    pub connect_failures: usize,
    /// Requests in a row that it has taken and not answered in time; 0 for any number.
    pub timeouts: usize,
    /// Failed exchanges and 5xx answers in a row; 0 for any number.
    pub errors: usize,
    /// The first time; each further one in a row is twice as long.
    pub base_time: Duration,
    /// The longest time.
    pub max_time: Duration,
}

/// Which requests are sent again that may have reached the origin: idempotent ones only
/// (RFC 9110 §9.2.2), and only before the client has had a byte of the response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retries {
    /// The most times.
    pub attempts: usize,
    /// After a connection that broke, or an answer that was no HTTP.
    pub on_error: bool,
    /// After a read that timed out.
    pub on_timeout: bool,
    /// After these answers.
    pub statuses: Vec<u16>,
    /// How many for each hundred requests.
    pub budget_percent: usize,
}

/// How many requests an origin gets at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Requests at a time.
    pub max_in_flight: usize,
    /// Requests that may wait.
    pub queue: usize,
    /// How long one may wait.
    pub queue_timeout: Duration,
}

/// A field by which an origin knows that a request comes from the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretHeader {
    /// The field.
    pub name: HeaderName,
    /// Its value; sensitive, so that `Debug` does not show it.
    pub value: HeaderValue,
    /// During a rotation: the field and value that will take its place.
    pub next: Option<(HeaderName, HeaderValue)>,
}

impl SecretHeader {
    /// Every field that a request gets.
    pub fn fields(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        let next = self.next.iter().map(|(name, value)| (name, value));
        std::iter::once((&self.name, &self.value)).chain(next)
    }
}
