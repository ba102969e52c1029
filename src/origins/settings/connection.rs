//! Connections to an origin: TLS, HTTP version, timeouts and keep-alive.

use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use crate::tls::Identity;

/// The TLS settings of an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginTls {
    /// The name that is sent (SNI, RFC 6066 §3) and that the certificate must be for.
    pub server_name: ServerName<'static>,
    /// Trusted authorities; `None` for those of the system.
    pub roots: Option<Vec<CertificateDer<'static>>>,
    /// The certificate that the gateway shows the origin.
    pub identity: Option<Identity>,
    /// The key of `identity` as bytes, which HTTP/2 connections need.
    pub identity_key: Option<Arc<PrivateKeyDer<'static>>>,
}

/// The HTTP version towards an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginHttp {
    /// HTTP/1.1.
    H1,
    /// HTTP/2; without TLS by prior knowledge (RFC 9113 §3.3).
    H2 {
        /// Concurrent requests on one connection.
        max_streams: usize,
        /// Time between two PING frames on a connection; `None` if none are sent.
        ping_interval: Option<Duration>,
    },
}

/// Time limits towards an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginTimeouts {
    /// TCP connection and TLS handshake together.
    pub connect: Duration,
    /// From the last byte of the request to the first byte of the response. Only used if it is
    /// shorter than `read`.
    pub first_byte: Option<Duration>,
    /// Between two reads, which includes the wait for the first byte of the response.
    pub read: Duration,
    /// The longest time between two writes.
    pub write: Duration,
    /// The whole request, with every attempt and every wait.
    pub total: Option<Duration>,
    /// How long an unused connection is kept for reuse.
    pub idle: Duration,
}

impl Default for OriginTimeouts {
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        Self {
            connect: Duration::from_secs(5),
            first_byte: None,
            read: minute,
            write: minute,
            total: None,
            idle: minute,
        }
    }
}

/// TCP keep-alive (RFC 1122 §4.2.3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence before the first probe.
    pub idle: Duration,
    /// The time between two probes.
    pub interval: Duration,
    /// Unanswered probes until the connection counts as broken.
    pub count: usize,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self { idle: Duration::from_secs(60), interval: Duration::from_secs(10), count: 6 }
    }
}
