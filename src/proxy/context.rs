//! What is known of one request while it lasts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use http::HeaderValue;

use super::client::Client;
use super::{Connection, Snapshot};
use crate::approov::{Device, Rejection};
use crate::policy::Route;
use crate::telemetry::{RouteMetrics, Verdict};
use crate::upstream::{Lease, Upstream};

/// The state of one request. It holds the configuration that was in force at its start, so that a
/// reload never splits a request.
pub struct RequestContext {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) started: Instant,
    /// The connection it came on.
    pub(super) connection: Option<Arc<Connection>>,
    /// Who sent it.
    pub(super) client: Option<Client>,
    /// Position of the route taken.
    pub(super) route: Option<usize>,
    pub(super) verdict: Verdict,
    pub(super) rejection: Option<Rejection>,
    pub(super) device: Device,
    /// A WebSocket handshake, so that long silence is no fault.
    pub(super) is_tunnel: bool,
    /// How often an address of the origin was asked for.
    pub(super) attempts: usize,
    /// What it holds of the origin.
    lease: Lease,
    /// When the client may ask again, in seconds, where the origin cannot be asked.
    pub(super) retry_after: Option<u64>,
    /// The first failure, for the access log.
    pub(super) error: Option<&'static str>,
    _in_flight: InFlight,
}

impl RequestContext {
    pub(super) fn new(snapshot: Arc<Snapshot>, in_flight: Arc<AtomicUsize>) -> Self {
        in_flight.fetch_add(1, Ordering::Relaxed);
        Self {
            snapshot,
            started: Instant::now(),
            connection: None,
            client: None,
            route: None,
            // Until a route says otherwise.
            verdict: Verdict::Denied,
            rejection: None,
            device: Device::default(),
            is_tunnel: false,
            attempts: 0,
            lease: Lease::default(),
            retry_after: None,
            error: None,
            _in_flight: InFlight(in_flight),
        }
    }

    pub(super) fn route(&self) -> Option<&Route> {
        self.route.map(|index| &self.snapshot.routes.routes()[index])
    }

    /// Whether it came in clear text where only TLS is wanted.
    pub(super) fn is_to_be_redirected(&self) -> bool {
        let is_wanted =
            self.connection.as_ref().is_some_and(|connection| connection.listener.redirect_to_https);
        is_wanted && self.client.as_ref().is_some_and(|client| !client.is_secure)
    }

    /// `Strict-Transport-Security` (RFC 6797 §7.2: over TLS only).
    pub(super) fn hsts(&self) -> Option<&HeaderValue> {
        let is_secure = self.client.as_ref().is_some_and(|client| client.is_secure);
        self.connection.as_ref().filter(|_| is_secure)?.listener.hsts.as_ref()
    }

    pub(super) fn metrics(&self) -> &RouteMetrics {
        match self.route {
            Some(index) => &self.snapshot.route_metrics[index],
            None => &self.snapshot.unrouted_metrics,
        }
    }

    /// The origin of the route, what the request holds of it, and who asks.
    pub(super) fn origin(&mut self) -> Option<(&Upstream, &mut Lease, &Device)> {
        let route = &self.snapshot.routes.routes()[self.route?];
        Some((&self.snapshot.upstreams[route.origin], &mut self.lease, &self.device))
    }
}

impl Drop for RequestContext {
    fn drop(&mut self) {
        let lease = std::mem::take(&mut self.lease);
        if let Some((upstream, _, _)) = self.origin() {
            upstream.release(lease);
        }
    }
}

/// Counts a request as unfinished for as long as it lives.
struct InFlight(Arc<AtomicUsize>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}
