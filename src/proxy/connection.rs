//! What is known of a client's connection.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pingora_proxy::Session;

use crate::downstream::Listener;
use crate::tls::Certificate;

/// A client's connection, for as long as it lasts: shared by its stream and its requests.
pub struct Connection {
    /// Who connected.
    pub peer: SocketAddr,
    /// The client's address, where that is known of the connection: the peer, or whom a trusted proxy
    /// named in a PROXY header.
    pub client: IpAddr,
    /// Where it was accepted.
    pub listener: Arc<Listener>,
    /// What the handshake settled.
    pub tls: Option<TlsSession>,
    is_tunnel: AtomicBool,
}

/// What a TLS handshake settled.
#[derive(Clone, Debug)]
pub struct TlsSession {
    /// The version, such as `1.3`.
    pub version: &'static str,
    /// The client's certificate, verified.
    pub client_certificate: Option<Certificate>,
}

impl Connection {
    /// A connection accepted from `peer`, which is the client as far as anybody knows.
    pub fn new(peer: SocketAddr, listener: Arc<Listener>) -> Self {
        Self { peer, client: peer.ip(), listener, tls: None, is_tunnel: AtomicBool::new(false) }
    }

    /// The connection of a request; none where the stream is not the gateway's own.
    pub(super) fn of(session: &Session) -> Option<&Arc<Self>> {
        let digest = session.digest()?.proxy_digest.as_ref()?;
        digest.user_data.as_ref()?.downcast_ref::<Arc<Self>>()
    }

    /// From now on its bytes are no requests any more.
    pub(super) fn becomes_tunnel(&self) {
        self.is_tunnel.store(true, Ordering::Relaxed);
    }

    /// Whether its bytes are no requests any more.
    pub fn is_tunnel(&self) -> bool {
        self.is_tunnel.load(Ordering::Relaxed)
    }
}
