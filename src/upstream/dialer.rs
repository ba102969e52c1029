//! Connections to origins with HTTP/1. They are made here and not by Pingora's connector for two reasons:
//! answers are judged before Pingora parses them, and TLS sessions are resumed. Pingora's connector makes a
//! new TLS configuration for each connection if an origin has its own authority or client certificate.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use pingora_core::ErrorType;
use pingora_core::protocols::l4::ext::set_tcp_keepalive;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::upstreams::peer::{HttpPeer, Peer};
use pingora_core::{Error, OrErr, Result};
use rustls_pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::connection::{ExchangeLimits, OriginConnection};
use super::read_ahead::CommonShare;
use super::tls;
use super::transport::OriginTransport;
use crate::origins::{Origin, OriginHttp, OriginTimeouts};
use crate::telemetry::OriginMetrics;

/// All dialers, by the `group_key` of their peers. Shared by all workers.
#[derive(Clone, Default)]
pub struct Dialers(Arc<Registry>);

#[derive(Default)]
struct Registry {
    dialers: RwLock<HashMap<u64, Arc<Dialer>>>,
    /// The last number that was given.
    numbers: AtomicU64,
    common_share: CommonShare,
}

impl Dialers {
    /// Connects to a peer that has a dialer, within `limit`.
    ///
    /// # Errors
    /// If the connection cannot be made.
    pub(super) async fn connect(&self, peer: &HttpPeer, limit: Option<Duration>) -> Result<OriginConnection> {
        let dialer = self.0.dialers.read().get(&peer.group_key).cloned();
        let dialer =
            dialer.ok_or_else(|| Error::explain(ErrorType::InternalError, "a peer without dialer"))?;
        dialer.connect(peer, limit).await
    }

    /// A number that was not given before. It is not 0, the key of peers without a dialer.
    pub(super) fn next_number(&self) -> u64 {
        self.0.numbers.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// What all exchanges of the process share for reading answers ahead.
    pub(super) fn common_share(&self) -> CommonShare {
        self.0.common_share.clone()
    }

    /// Registers a dialer until the return value is dropped.
    fn register(&self, dialer: Dialer) -> Registered {
        let key = self.next_number();
        self.0.dialers.write().insert(key, Arc::new(dialer));
        Registered { registry: self.0.clone(), key }
    }
}

/// A dialer in the registry.
pub(super) struct Registered {
    registry: Arc<Registry>,
    key: u64,
}

impl Registered {
    /// The `group_key` of the dialer's peers.
    pub fn key(&self) -> u64 {
        self.key
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.registry.dialers.write().remove(&self.key);
    }
}

/// TLS with verification of this name.
type Tls = (TlsConnector, ServerName<'static>);

/// How to connect to an origin.
pub(super) struct Dialer {
    tls: Option<Tls>,
    limits: ExchangeLimits,
    /// `None` if the server is not an origin.
    metrics: Option<Arc<OriginMetrics>>,
}

impl Dialer {
    /// A dialer for a server that is not an origin, without time limits.
    pub fn detached(server: &Origin) -> Result<Self, rustls::Error> {
        Ok(Self { tls: tls_of(server)?, limits: ExchangeLimits::default(), metrics: None })
    }

    /// Registers the dialer of `origin`; `None` if Pingora's connector is used.
    pub fn register(
        origin: &Origin,
        dialers: &Dialers,
        metrics: &Arc<OriginMetrics>,
    ) -> Result<Option<Registered>, rustls::Error> {
        let OriginTimeouts { first_byte, total, .. } = origin.timeouts;
        let tls = match (&origin.tls, origin.http) {
            (_, OriginHttp::H1) => tls_of(origin)?,
            // Registered for its key only: connections with another authority or certificate must not be shared.
            (Some(_), OriginHttp::H2 { .. }) => None,
            (None, OriginHttp::H2 { .. }) => return Ok(None),
        };
        let limits = ExchangeLimits { first_byte, total };
        Ok(Some(dialers.register(Dialer { tls, limits, metrics: Some(metrics.clone()) })))
    }

    /// Registers a dialer without time limits, for tunnels; `None` if the usual one has no limits.
    pub fn register_patient(
        origin: &Origin,
        dialers: &Dialers,
        metrics: &Arc<OriginMetrics>,
    ) -> Result<Option<Registered>, rustls::Error> {
        let OriginTimeouts { first_byte, total, .. } = origin.timeouts;
        if origin.http != OriginHttp::H1 || (first_byte.is_none() && total.is_none()) {
            return Ok(None);
        }
        let (tls, limits) = (tls_of(origin)?, ExchangeLimits::default());
        Ok(Some(dialers.register(Dialer { tls, limits, metrics: Some(metrics.clone()) })))
    }

    /// Connects within `limit`.
    pub async fn connect(&self, peer: &HttpPeer, limit: Option<Duration>) -> Result<OriginConnection> {
        let mut step = Step::Transport;
        let connecting = self.connect_slowly(peer, &mut step);
        let Some(limit) = limit else { return connecting.await };
        match timeout(limit, connecting).await {
            Ok(connected) => connected,
            Err(_) => {
                let etype = match step {
                    Step::Transport => ErrorType::ConnectTimedout,
                    Step::Tls => ErrorType::TLSHandshakeTimedout,
                };
                Error::e_explain(etype, format!("connecting to {}", peer.address()))
            }
        }
    }

    async fn connect_slowly(&self, peer: &HttpPeer, step: &mut Step) -> Result<OriginConnection> {
        match peer.address() {
            SocketAddr::Inet(address) => {
                let socket = TcpStream::connect(address).await.map_err(transport_error)?;
                socket.set_nodelay(true).or_err(ErrorType::ConnectError, "setting nodelay")?;
                if let Some(keepalive) = peer.tcp_keepalive() {
                    set_tcp_keepalive(&socket, keepalive)?;
                }
                *step = Step::Tls;
                self.encrypt(socket).await
            }
            SocketAddr::Unix(address) => {
                let path = address.as_pathname().unwrap_or(std::path::Path::new(""));
                let socket = UnixStream::connect(path).await.map_err(transport_error)?;
                *step = Step::Tls;
                self.encrypt(socket).await
            }
        }
    }

    async fn encrypt<S>(&self, socket: S) -> Result<OriginConnection>
    where
        S: OriginTransport + AsRawFd + 'static,
    {
        let descriptor = socket.as_raw_fd();
        let transport: Box<dyn OriginTransport> = match &self.tls {
            None => Box::new(socket),
            Some((connector, name)) => {
                Box::new(connector.connect(name.clone(), socket).await.map_err(tls_error)?)
            }
        };
        Ok(OriginConnection::new(transport, descriptor, self.limits, self.metrics.clone()))
    }
}

/// TLS as the settings of a server ask for it.
fn tls_of(server: &Origin) -> Result<Option<Tls>, rustls::Error> {
    let Some(tls) = &server.tls else { return Ok(None) };
    let connector = TlsConnector::from(Arc::new(tls::client_config(tls)?));
    Ok(Some((connector, tls.server_name.clone())))
}

/// The current step of connecting.
enum Step {
    Transport,
    Tls,
}

fn transport_error(error: io::Error) -> Box<Error> {
    let etype = match error.kind() {
        io::ErrorKind::ConnectionRefused => ErrorType::ConnectRefused,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => ErrorType::ConnectNoRoute,
        io::ErrorKind::TimedOut => ErrorType::ConnectTimedout,
        _ => ErrorType::ConnectError,
    };
    Error::because(etype, "connecting to the origin", error)
}

fn tls_error(error: io::Error) -> Box<Error> {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    let etype = match cause {
        Some(rustls::Error::InvalidCertificate(_)) => ErrorType::InvalidCert,
        _ => ErrorType::TLSHandshakeFailure,
    };
    Error::because(etype, "in the TLS handshake with the origin", error)
}
