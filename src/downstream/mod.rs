//! The clients' side: from an accepted socket to requests.
//!
//! Each worker accepts from every listener and serves each connection in a task of its own:
//!
//! 1. `accept`: sockets, within the limits, counted for as long as they live;
//! 2. `greeting`: a trusted proxy's word of the client, and the TLS handshake;
//! 3. `http1`: the head of a request is waited for under a deadline, within bounds, and judged as
//!    bytes ([`crate::http`]); what is no request is answered here. `stream` hands Pingora this one request,
//!    and after it the next;
//! 4. `http2`: requests side by side on one connection, within bounds.

mod accept;
mod body_watch;
mod deadline;
mod greeting;
mod head_watch;
mod http1;
mod http2;
mod listener;
mod pace;
mod settings;
mod stall;
mod stream;
mod transport;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pingora_proxy::HttpProxy;

use crate::admission::ProtocolLimits;
use crate::limits::Permit;
use crate::proxy::{Gateway, Shared};
use crate::upstream::OriginConnector;

pub use accept::accept;
pub use listener::{Listener, SharedListener};
pub use settings::{Hsts, ListenerSettings};

pub(crate) use body_watch::BodyWatch;

/// The proxy of a worker.
pub type Proxy = HttpProxy<Gateway, OriginConnector>;

/// What all connections of one worker share.
pub struct Worker {
    /// Answers requests, over a pool of connections to the origins.
    pub proxy: Arc<Proxy>,
    /// The configuration in force, and the access log.
    pub shared: Arc<Shared>,
    /// Open connections.
    pub open: AtomicUsize,
}

impl Worker {
    /// What connections keep to now.
    fn bounds(&self) -> ProtocolLimits {
        self.shared.snapshot.load().limits.protocol
    }
}

/// Counts a connection for as long as it lives.
struct Open {
    worker: Arc<Worker>,
    permit: Permit,
}

impl Open {
    fn new(worker: &Arc<Worker>, permit: Permit) -> Self {
        worker.open.fetch_add(1, Ordering::Relaxed);
        Self { worker: worker.clone(), permit }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.worker.open.fetch_sub(1, Ordering::Release);
    }
}
