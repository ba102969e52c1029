//! The connections of one worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use pingora_core::apps::ServerApp;
use pingora_core::protocols::Stream;
use pingora_core::server::ShutdownWatch;
use pingora_proxy::HttpProxy;

use crate::proxy::Gateway;

/// Hands every connection to the proxy, and counts them.
///
/// Pingora's own clean-up at shutdown cuts every waiting connection, also one whose next request
/// is on its way. Here there is none: each may send that request, and gets `Connection: close`
/// with the answer. What stays silent ends with the process.
pub(super) struct Connections {
    proxy: Arc<HttpProxy<Gateway>>,
    open: Arc<AtomicUsize>,
}

impl Connections {
    /// Counts in `open`.
    pub fn new(proxy: HttpProxy<Gateway>, open: Arc<AtomicUsize>) -> Self {
        Self { proxy: Arc::new(proxy), open }
    }
}

#[async_trait]
impl ServerApp for Connections {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let _open = Open::new(&self.open);
        self.proxy.process_new(stream, shutdown).await
    }

    async fn cleanup(&self) {}
}

/// Counts a connection for as long as it lives.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(open.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}
