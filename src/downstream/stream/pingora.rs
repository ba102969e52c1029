//! The traits that Pingora asks of a stream.

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use http::StatusCode;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
    UniqueID, UniqueIDType,
};
use pingora_http::ResponseHeader;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::{ClientStream, LINGER, LINGER_BYTES};

#[async_trait]
impl Shutdown for ClientStream {
    async fn shutdown(&mut self) {
        if self.is_malformed {
            // A connection that is closed over unread bytes is reset, and the client may lose its answer.
            let _ = timeout(LINGER, self.linger(LINGER_BYTES)).await;
            return;
        }
        // The connection may be broken already.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for ClientStream {
    fn id(&self) -> UniqueIDType {
        self.transport.fd()
    }
}

impl Ssl for ClientStream {}

impl Peek for ClientStream {}

impl GetTimingDigest for ClientStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for ClientStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        // A connection that is served directly needs no digest, so none is kept.
        let data: Box<dyn Any + Send + Sync> = Box::new(self.connection.clone());
        let head = ResponseHeader::build(StatusCode::OK, Some(0)).ok()?;
        Some(Arc::new(ProxyDigest::new(Box::new(head), Some(data))))
    }
}

impl GetSocketDigest for ClientStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        let socket = SocketDigest::from_raw_fd(self.transport.fd());
        // The cell is new, so it is empty.
        let _ = socket.peer_addr.set(Some(self.connection.peer.into()));
        Some(Arc::new(socket))
    }
}
