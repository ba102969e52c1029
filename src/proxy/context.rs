//! What is known of one request while it lasts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use http::HeaderValue;
use pingora_http::RequestHeader;
use pingora_proxy::Session;

use super::answer::Notes;
use super::client::Client;
use super::record::Sent;
use super::{Connection, Shared, Snapshot, TlsSession};
use crate::admission::{ClientKey, RateFields, Refusal};
use crate::approov::{Device, Rejection};
use crate::downstream::BodyWatch;
use crate::limits::{Cause, Outcome, Permit};
use crate::policy::{Route, Verdict};
use crate::telemetry::RouteMetrics;
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
    /// The limit that it has exceeded.
    pub(super) limited: Option<Refusal>,
    /// What the client is told of a rate that it keeps within.
    pub(super) rate: Option<Box<RateFields>>,
    /// Counts it as on its way to the origin.
    pub(super) permit: Option<Permit>,
    /// Its address has just been banned.
    pub(super) ends_connection: bool,
    /// Where its body is waited for under a watch: what is needed to tell of it, should it be dropped.
    pub(super) watched: Option<Box<Watched>>,
    /// How many bytes of its body have come.
    body_bytes: u64,
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
            limited: None,
            rate: None,
            permit: None,
            ends_connection: false,
            watched: None,
            body_bytes: 0,
            error: None,
            _in_flight: InFlight(in_flight),
        }
    }

    pub(super) fn route(&self) -> Option<&Route> {
        self.route.map(|index| &self.snapshot.routes.routes()[index])
    }

    /// What the handshake of its connection settled, if there was one.
    pub(super) fn tls(&self) -> Option<&TlsSession> {
        self.connection.as_ref()?.tls.as_ref()
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

    /// Who sent it, as limits see it.
    pub(super) fn visitor(&self) -> Option<ClientKey> {
        let address = self.client.as_ref()?.address;
        let proxies =
            self.connection.as_ref().and_then(|connection| connection.listener.trusted_proxies.as_ref());
        let is_proxy = proxies.is_some_and(|proxies| proxies.trusts(address));
        Some(self.snapshot.limits.client_key(address, is_proxy))
    }

    /// Whether nothing more is wanted from its client.
    pub(super) fn is_unwelcome(&self) -> bool {
        self.ends_connection || self.limited.as_ref().is_some_and(Refusal::is_of_address)
    }

    /// Ends the client's connection behind the answer; not that of a proxy, on which others come.
    pub(super) fn end_connection(&self, session: &mut Session) {
        if let (Some(connection), Some(client)) = (&self.connection, &self.client)
            && connection.client.to_canonical() == client.address
        {
            session.set_keepalive(None);
            connection.end();
        }
    }

    /// What an answer of the gateway's own says besides.
    pub(super) fn notes(&self) -> Notes<'_> {
        let limited = self.limited.as_ref().filter(|limited| !limited.is_observed);
        Notes {
            hsts: self.hsts(),
            retry_after: self.retry_after.or(limited.and_then(|limited| limited.retry_after)),
            rate: limited.and_then(|limited| limited.rate.as_deref()),
        }
    }

    /// More of the body has come. Whether it is more than may come.
    pub(super) fn takes_too_much(&mut self, length: usize, is_end: bool) -> bool {
        self.body_bytes += length as u64;
        if let Some(watched) = &self.watched {
            watched.watch.came(length, is_end);
        }
        let most = self.route.map_or(u64::MAX, |route| self.snapshot.limits.body_bytes(route));
        !self.is_tunnel && self.body_bytes > most
    }

    /// Its body may come as slowly as it likes.
    pub(super) fn watch_no_longer(&mut self) {
        if let Some(watched) = &self.watched {
            watched.watch.ends();
        }
    }

    /// Its body came too slowly, and nobody waits for it any more.
    fn dropped(&mut self, watched: &Watched) {
        let Watched { shared, request, .. } = watched;
        let limited = Refusal::by(Cause::BodyTime);
        shared.metrics.limited(limited.cause, Outcome::Refused);
        self.limited = Some(limited);
        self.error = Some("client_timeout");
        let sent =
            Sent { request_bytes: usize::try_from(self.body_bytes).unwrap_or(usize::MAX), ..Sent::default() };
        shared.record(request, sent, self);
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

/// A request with a body that may come too slowly.
pub(super) struct Watched {
    pub watch: Arc<BodyWatch>,
    pub shared: Arc<Shared>,
    pub request: RequestHeader,
}

impl Drop for RequestContext {
    fn drop(&mut self) {
        if let Some(watched) = self.watched.take() {
            self.dropped(&watched);
        }
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
