//! Connections to origins, and their addresses, which are kept up to date outside of requests.
//!
//! A request enters (`admission`: a limit and a short queue), gets an address (`endpoints` chooses, `health` says
//! which are usable) and reports its result.
//! Meanwhile it holds a [`Lease`]. Outside of requests, names are resolved again (`address`) and addresses
//! are tested (`checks`).
//!
//! Connections with HTTP/1 are made here (`dialer`, `tls`, `connection`). A direct exchange takes them from its
//! own `pool`. Pingora gets them (`connector`) as a `stream` that judges every answer (`answers`) before
//! Pingora parses it. Connections with HTTP/2 are Pingora's own.

mod address;
mod admission;
mod answers;
mod budget;
mod checks;
mod connection;
mod connector;
mod dialer;
mod endpoints;
mod explain;
mod fetch;
mod hash;
mod health;
mod known_failures;
mod lease;
mod next_request;
mod peers;
mod pool;
mod read_ahead;
mod report;
mod resolution;
mod stream;
#[cfg(test)]
mod tests;
mod tls;
mod transport;
mod unavailable;
mod warnings;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, Result};

use crate::clock;
use crate::origins::{Origin, UpstreamErrorKind};
use crate::telemetry::{Metrics, OriginMetrics, OriginState};

pub use address::{Resolver, SystemResolver};
pub use connection::{OriginConnection, SpeaksTls};
pub use connector::OriginConnector;
pub use dialer::Dialers;
pub use endpoints::{ClientIdentity, Endpoint};
pub use fetch::{Document, Fetcher};
pub use health::ExchangeFailure;
pub use lease::Lease;
pub use next_request::NextRequest;
pub use peers::TUNNEL_IDLE;
pub use pool::Pool;
pub use read_ahead::AnswerProgress;
pub use transport::NotSent;
pub use unavailable::Unavailable;

use address::Address;
use admission::Admission;
use budget::RetryBudget;
use dialer::{Dialer, Registered};
use endpoints::Endpoints;
use explain::{AskedServer, ServerKind, explain};
use known_failures::{KnownFailure, KnownFailures};
use peers::PeerTemplate;
use resolution::known_at_once;
use warnings::{Turn, Warnings};

/// The largest number of attempts of one request. An attempt fails if an address is down or a kept connection
/// was closed.
pub const MAX_ATTEMPTS: usize = 8;

/// What the origins of all configurations share.
#[derive(Clone)]
pub struct UpstreamContext {
    /// Counts what happens at origins.
    pub metrics: Arc<Metrics>,
    /// The dialers of all origins.
    pub dialers: Dialers,
    /// Resolves host names.
    pub resolver: Arc<dyn Resolver>,
}

/// One origin with its current addresses.
pub struct Upstream {
    origin: Origin,
    metrics: Arc<OriginMetrics>,
    resolver: Arc<dyn Resolver>,
    dialers: Dialers,
    template: PeerTemplate,
    endpoints: ArcSwap<Endpoints>,
    /// The addresses of each target, in the order of the configuration.
    known: Mutex<Vec<Vec<Address>>>,
    /// Whether the only address of the origin can count as down.
    is_watched: bool,
    turn: AtomicUsize,
    in_flight: AtomicUsize,
    admission: Option<Admission>,
    budget: Option<RetryBudget>,
    /// The start of the origin's clock.
    started: Instant,
    _dialer: Option<Registered>,
    /// The dialer for tunnels, which may be silent.
    patient_dialer: Option<Registered>,
    warnings: Warnings,
    known_failures: KnownFailures,
}

impl Upstream {
    /// An origin. Its names are not resolved yet.
    ///
    /// # Errors
    /// If its certificates cannot be used. The configuration has been checked for that.
    pub fn new(origin: Origin, context: &UpstreamContext) -> std::result::Result<Arc<Self>, rustls::Error> {
        let metrics = Arc::new(context.metrics.origin(&origin.name));
        let dialer = Dialer::register(&origin, &context.dialers, &metrics)?;
        let known = origin.addresses.iter().map(known_at_once).collect();
        let upstream = Arc::new(Self {
            resolver: context.resolver.clone(),
            dialers: context.dialers.clone(),
            template: PeerTemplate::new(&origin, dialer.as_ref()),
            endpoints: ArcSwap::default(),
            known: Mutex::new(known),
            is_watched: origin.ejection.single || origin.health_check.is_some(),
            turn: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            admission: origin.capacity.map(Admission::new),
            budget: origin.retries.as_ref().map(|retries| RetryBudget::new(retries.budget_percent)),
            started: clock::now(),
            _dialer: dialer,
            patient_dialer: Dialer::register_patient(&origin, &context.dialers, &metrics)?,
            warnings: Warnings::default(),
            known_failures: KnownFailures::default(),
            metrics,
            origin,
        });
        upstream.refresh();
        let state: Arc<dyn OriginState> = upstream.clone();
        context.metrics.watch_origin(&state);
        Ok(upstream)
    }

    /// The settings of this origin.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// A new connection to an address, made within `limit`.
    ///
    /// # Errors
    /// If the connection cannot be made.
    pub(crate) async fn connect(&self, endpoint: &Endpoint, limit: Duration) -> Result<OriginConnection> {
        self.dialers.connect(&endpoint.peer, Some(limit)).await
    }

    /// Prepares a peer for a tunnel (WebSocket).
    pub fn make_tunnel(&self, peer: &mut HttpPeer) {
        peer.options.read_timeout = Some(TUNNEL_IDLE);
        if let Some(dialer) = &self.patient_dialer {
            peer.group_key = dialer.key();
        }
    }

    /// Counts a failure of this origin.
    pub fn count(&self, kind: UpstreamErrorKind) {
        self.metrics.failed(kind);
    }

    /// An answer with this status has begun, so long after the request was sent.
    pub fn answered_after(&self, status: http::StatusCode, time: Duration) {
        self.metrics.answered(status.as_u16().into(), time);
    }

    /// Explains a failed exchange in words, and warns about it unless it did so a short time ago. `address` is
    /// the address that was asked; `None` if the origin has none. `is_out_of_time` tells that the origin's
    /// total time has passed.
    pub fn explain(&self, error: &Error, address: Option<&str>, is_out_of_time: bool) -> String {
        let passed_total = self.origin.timeouts.total.filter(|_| is_out_of_time);
        let asked = AskedServer { passed_total, ..self.asked(address.unwrap_or(&self.origin.host)) };
        let explanation = explain(error, asked);
        let (name, message) = (&self.origin.name, explanation.message);
        if let Some(address) = address {
            self.note(address, &message);
        }
        match self.warnings.turn(address.unwrap_or_default(), explanation.cause, clock::now()) {
            Turn::No => {}
            Turn::Warn { silent: 0 } => log::warn!("origin {name}: {message}"),
            Turn::Warn { silent } => {
                log::warn!("origin {name}: {message} ({silent} more times since the last warning)");
            }
        }
        message
    }

    /// Remembers how an address has failed.
    fn note(&self, address: &str, message: &str) {
        let (message, answers) = (message.to_owned(), self.metrics.answers());
        self.known_failures
            .note(address, KnownFailure { message, at: clock::now(), answers, is_over: false });
    }

    fn explanation(&self, error: &Error, address: &str) -> String {
        explain(error, self.asked(address)).message
    }

    fn asked<'a>(&'a self, address: &'a str) -> AskedServer<'a> {
        AskedServer {
            address,
            domain: self.origin.authority.to_str().unwrap_or(&self.origin.host),
            server: ServerKind::Origin(&self.origin.name),
            is_tls: self.origin.tls.is_some(),
            has_own_authorities: self.origin.tls.as_ref().is_some_and(|tls| tls.roots.is_some()),
            timeouts: &self.origin.timeouts,
            passed_total: None,
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(clock::since(self.started).as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }
}
