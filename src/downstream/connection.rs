//! What the gateway knows about a client's connection.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use pingora_core::protocols::Digest;

use super::Listener;
use crate::clock;
use crate::tls::Certificate;

/// A client's connection, shared by its stream and its requests for as long as it lasts.
pub struct Connection {
    /// The address that connected to the gateway.
    pub peer: SocketAddr,
    /// The client's address, as far as the connection tells it: the peer's address, or the address
    /// that a trusted proxy named in a PROXY header.
    pub client: IpAddr,
    /// The listener that accepted the connection, as it was configured at that time.
    pub listener: Arc<Listener>,
    /// The result of the TLS handshake; `None` without TLS.
    pub tls: Option<Box<TlsSession>>,
    /// Set when the connection becomes a tunnel: how long the tunnel may be silent.
    tunnel_idle: OnceLock<Duration>,
    is_ended: AtomicBool,
}

/// The result of a TLS handshake.
#[derive(Clone, Debug)]
pub struct TlsSession {
    /// The version of TLS, such as `1.3`.
    pub version: &'static str,
    /// The client's certificate, which was verified in the handshake.
    pub client_certificate: Option<Certificate>,
}

impl TlsSession {
    /// The client's certificate while it is valid. A connection may outlast the certificate.
    pub fn valid_certificate(&self) -> Option<&Certificate> {
        self.client_certificate.as_ref().filter(|shown| shown.is_valid_at(clock::unix_seconds()))
    }
}

impl Connection {
    /// A connection accepted from `peer`. The peer is the client until a PROXY header says otherwise.
    pub fn new(peer: SocketAddr, listener: Arc<Listener>) -> Self {
        Self {
            peer,
            client: peer.ip(),
            listener,
            tls: None,
            tunnel_idle: OnceLock::new(),
            is_ended: AtomicBool::new(false),
        }
    }

    /// The connection that a session of Pingora runs on. `None` if the stream under the session is
    /// not a [`super::ClientStream`].
    pub fn of(digest: &Digest) -> Option<&Arc<Self>> {
        digest.proxy_digest.as_ref()?.user_data.as_ref()?.downcast_ref::<Arc<Self>>()
    }

    /// The client's address. `None` if a trusted proxy connected, which speaks for many clients.
    pub fn known_client(&self) -> Option<IpAddr> {
        let proxies = self.listener.trusted_proxies.as_ref();
        let is_proxy = proxies.is_some_and(|proxies| proxies.trusts(self.client));
        (!is_proxy).then_some(self.client)
    }

    /// The connection becomes a tunnel: its bytes are no longer HTTP/1. The tunnel is closed after it
    /// was silent for `idle`.
    pub fn become_tunnel(&self, idle: Duration) {
        // A connection becomes a tunnel once and stays one.
        let _ = self.tunnel_idle.set(idle);
    }

    /// How long the tunnel may be silent; `None` if the connection is not a tunnel.
    pub fn tunnel_idle(&self) -> Option<Duration> {
        self.tunnel_idle.get().copied()
    }

    /// Asks for the end of the connection: its client is banned or denied.
    pub fn end(&self) {
        self.is_ended.store(true, Ordering::Relaxed);
    }

    /// Whether [`Connection::end`] was called.
    pub fn is_ended(&self) -> bool {
        self.is_ended.load(Ordering::Relaxed)
    }
}
