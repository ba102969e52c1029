//! The clients' side: from an accepted socket to requests.
//!
//! Each worker accepts from every listener and serves each connection in a task of its own:
//!
//! 1. `accept`: sockets, counted for as long as they live;
//! 2. `http1`: the head of a request is waited for under a deadline, within bounds, and judged as
//!    bytes (`head`); what is no request is answered here;
//! 3. `stream`: hands Pingora this one request, and after it the next.

mod accept;
mod deadline;
mod head;
mod http1;
mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pingora_proxy::HttpProxy;

use crate::proxy::{Gateway, Shared};

pub use accept::accept;
pub use head::{Body, Head, HeadFault, HeadLimits, HeadReader, RequestLine};
pub(crate) use head::{is_host, is_target_byte};

/// The proxy of a worker.
pub type Proxy = HttpProxy<Gateway>;

/// What all connections of one worker share.
pub struct Worker {
    /// Answers requests, over a pool of connections to the origins.
    pub proxy: Arc<Proxy>,
    /// The configuration in force, and the access log.
    pub shared: Arc<Shared>,
    /// Open connections.
    pub open: AtomicUsize,
}

/// Counts a connection for as long as it lives.
struct Open(Arc<Worker>);

impl Open {
    fn new(worker: &Arc<Worker>) -> Self {
        worker.open.fetch_add(1, Ordering::Relaxed);
        Self(worker.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Release);
    }
}
