//! What is known of a client's connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pingora_proxy::Session;

/// A client's connection, for as long as it lasts: shared by its stream and its requests.
#[derive(Debug)]
pub struct Connection {
    /// Who connected.
    pub peer: SocketAddr,
    is_tunnel: AtomicBool,
}

impl Connection {
    /// A connection from `peer`.
    pub fn new(peer: SocketAddr) -> Self {
        Self { peer, is_tunnel: AtomicBool::new(false) }
    }

    /// The connection of a request; none where the stream is not the gateway's own.
    pub(super) fn of(session: &Session) -> Option<&Self> {
        let digest = session.digest()?.proxy_digest.as_ref()?;
        digest.user_data.as_ref()?.downcast_ref::<Arc<Self>>().map(|connection| &**connection)
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
