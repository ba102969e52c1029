//! The hook through which Pingora gets connections that the gateway makes itself.

use std::any::Any;
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::connectors::http::custom::{Connection, Connector};
use pingora_core::upstreams::peer::{HttpPeer, Peer};
use pingora_core::{Error, ErrorType, Result};

use super::Dialers;
use super::stream::OriginStream;

/// Connects with the dialer of the peer ([`Dialers`]). Pingora speaks HTTP/1 over the connection and pools it
/// like its own.
pub struct OriginConnector {
    dialers: Dialers,
}

impl OriginConnector {
    /// A connector for all origins of these dialers, including those that register later.
    pub fn new(dialers: Dialers) -> Self {
        Self { dialers }
    }
}

#[async_trait]
impl Connector for OriginConnector {
    /// Unused: these connections speak HTTP/1 only.
    type Session = ();

    async fn get_http_session<P: Peer + Send + Sync + 'static>(
        &self,
        peer: &P,
    ) -> Result<(Connection<()>, bool)> {
        let peer: &HttpPeer = (peer as &(dyn Any + Send + Sync))
            .downcast_ref()
            .ok_or_else(|| Error::explain(ErrorType::InternalError, "a peer of another connector"))?;
        let connection = self.dialers.connect(peer, peer.total_connection_timeout()).await?;
        Ok((Connection::Stream(Box::new(OriginStream::new(connection, self.dialers.common_share())?)), false))
    }

    async fn reused_http_session<P: Peer + Send + Sync + 'static>(&self, _peer: &P) -> Option<()> {
        None
    }

    async fn release_http_session<P: Peer + Send + Sync + 'static>(
        &self,
        _session: (),
        _peer: &P,
        _idle_timeout: Option<Duration>,
    ) {
    }
}
