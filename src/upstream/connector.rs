//! The place where Pingora asks for a connection that its own connector is not to make.

use std::any::Any;
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::connectors::http::custom::{Connection, Connector};
use pingora_core::upstreams::peer::{HttpPeer, Peer};
use pingora_core::{Error, ErrorType, Result};

use super::Dialers;

/// Connects as the peer's [dialer](Dialers) does. On what it returns Pingora speaks HTTP/1, and
/// keeps it for reuse like its own.
pub struct OriginConnector {
    dialers: Dialers,
}

impl OriginConnector {
    /// A connector for the origins of these dialers, now and later.
    pub fn new(dialers: Dialers) -> Self {
        Self { dialers }
    }
}

#[async_trait]
impl Connector for OriginConnector {
    /// No protocol but HTTP/1 is spoken over these connections.
    type Session = ();

    async fn get_http_session<P: Peer + Send + Sync + 'static>(
        &self,
        peer: &P,
    ) -> Result<(Connection<()>, bool)> {
        let peer: &HttpPeer = (peer as &(dyn Any + Send + Sync))
            .downcast_ref()
            .ok_or_else(|| Error::explain(ErrorType::InternalError, "a peer that is none of ours"))?;
        let dialer = self.dialers.of(peer);
        let dialer =
            dialer.ok_or_else(|| Error::explain(ErrorType::InternalError, "a peer without dialer"))?;
        let stream = dialer.connect(peer).await?;
        Ok((Connection::Stream(Box::new(stream)), false))
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
