//! Origins: their addresses, kept fresh off the request's path, and connections to them.
//!
//! A request [enters](Upstream::enter) (`admission`: so many at a time, a short queue), asks for a
//! [peer](Upstream::peer) (`endpoints`: which address; `health`: which of them are worth asking) and
//! tells what became of it; what it holds meanwhile is its [`Lease`]. Off the path, names are
//! resolved again (`address`) and addresses tried out (`checks`).
//!
//! Connections in clear text and HTTP/2 are Pingora's own; TLS with HTTP/1 is made here (`connector`,
//! `dialer`, `tls`, `stream`).

mod address;
mod admission;
mod budget;
mod checks;
mod connector;
mod dialer;
mod endpoints;
mod hash;
mod health;
mod lease;
mod peers;
mod stream;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use pingora_core::upstreams::peer::HttpPeer;

use crate::config::{Origin, OriginAddress, Target};
use crate::telemetry::{Metrics, OriginMetrics, OriginState, RetryReason, UpstreamErrorKind};

pub use address::{Resolver, SystemResolver};
pub use connector::OriginConnector;
pub use dialer::Dialers;
pub use endpoints::Requester;
pub use lease::Lease;
pub use peers::TUNNEL_IDLE;
pub use stream::OriginStream;
pub use tls::install_crypto_provider;

use address::Address;
use admission::Admission;
use budget::RetryBudget;
use dialer::{Dialer, Registered};
use endpoints::{Endpoint, Endpoints};
use peers::PeerTemplate;

/// The most attempts for one request: several addresses may be down, or a kept connection closed.
pub const MAX_ATTEMPTS: usize = 8;

/// What origins have in common.
#[derive(Clone)]
pub struct Surroundings {
    /// Where they are counted.
    pub metrics: Arc<Metrics>,
    /// Where those are kept that make their own connections.
    pub dialers: Dialers,
    /// Who knows the addresses of names.
    pub resolver: Arc<dyn Resolver>,
}

/// One origin with its present addresses.
pub struct Upstream {
    origin: Origin,
    metrics: OriginMetrics,
    resolver: Arc<dyn Resolver>,
    template: PeerTemplate,
    endpoints: ArcSwap<Endpoints>,
    /// The addresses of each target, in the order of the configuration.
    known: Mutex<Vec<Vec<Address>>>,
    /// Whether an address counts as down though it is the only one.
    is_watched: bool,
    turn: AtomicUsize,
    in_flight: AtomicUsize,
    admission: Option<Admission>,
    budget: Option<RetryBudget>,
    /// The beginning of this origin's time.
    started: Instant,
    _dialer: Option<Registered>,
    /// For tunnels, where silence is no fault.
    patient_dialer: Option<Registered>,
}

/// Why no address can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// The name has not been resolved.
    NoAddress,
    /// Every address is down, for this long at least.
    AllDown(Duration),
    /// As many requests wait as may.
    QueueFull,
    /// The request has waited for as long as it may.
    QueueTimeout,
}

impl Unavailable {
    /// As it is counted.
    pub fn kind(self) -> UpstreamErrorKind {
        match self {
            Unavailable::NoAddress => UpstreamErrorKind::Resolve,
            Unavailable::AllDown(_) => UpstreamErrorKind::AllDown,
            Unavailable::QueueFull => UpstreamErrorKind::QueueFull,
            Unavailable::QueueTimeout => UpstreamErrorKind::QueueTimeout,
        }
    }
}

impl Upstream {
    /// An origin whose names have not been resolved yet; addresses need no resolving.
    ///
    /// # Errors
    /// When its certificates cannot be used; the configuration has been checked for that.
    pub fn new(origin: Origin, surroundings: &Surroundings) -> Result<Arc<Self>, rustls::Error> {
        let dialer = Dialer::register(&origin, &surroundings.dialers)?;
        let known = origin.addresses.iter().map(known_at_once).collect();
        let upstream = Arc::new(Self {
            metrics: surroundings.metrics.origin(&origin.name),
            resolver: surroundings.resolver.clone(),
            template: PeerTemplate::new(&origin, dialer.as_ref()),
            endpoints: ArcSwap::default(),
            known: Mutex::new(known),
            is_watched: origin.ejection.single || origin.health_check.is_some(),
            turn: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            admission: origin.capacity.map(Admission::new),
            budget: origin.retries.as_ref().map(|retries| RetryBudget::new(retries.budget_percent)),
            started: Instant::now(),
            _dialer: dialer,
            patient_dialer: Dialer::register_patient(&origin, &surroundings.dialers)?,
            origin,
        });
        upstream.refresh();
        let state: Arc<dyn OriginState> = upstream.clone();
        surroundings.metrics.watch_origin(&state);
        Ok(upstream)
    }

    /// Its configuration.
    pub fn origin(&self) -> &Origin {
        &self.origin
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

    /// Resolves the names once. A failure keeps the addresses known so far.
    pub async fn resolve(&self) {
        for (index, address) in self.origin.addresses.iter().enumerate() {
            let Target::Name { host, port } = &address.target else { continue };
            match self.resolver.resolve(host, *port).await {
                Ok(found) => self.known.lock()[index] = sorted(found),
                Err(error) => {
                    self.count(UpstreamErrorKind::Resolve);
                    let known = self.known.lock()[index].len();
                    log::warn!(
                        "origin {}: cannot resolve {host}: {error}; {known} earlier addresses stay in use",
                        self.origin.name,
                    );
                }
            }
        }
        self.refresh();
    }

    /// Resolves the names again and again, for ever.
    pub async fn keep_resolved(&self) {
        let is_name = |address: &OriginAddress| matches!(address.target, Target::Name { .. });
        while self.origin.addresses.iter().any(is_name) {
            tokio::time::sleep(self.origin.resolve_interval).await;
            self.resolve().await;
        }
    }

    /// Makes what is known now the endpoints, if that is a change. An address that stays keeps
    /// what is known of it.
    fn refresh(&self) {
        let known = self.known.lock();
        let present = self.endpoints.load();
        let wanted: Vec<(&Address, usize)> = self
            .origin
            .addresses
            .iter()
            .zip(&*known)
            .flat_map(|(configured, found)| found.iter().map(|address| (address, configured.weight)))
            .collect();
        let is_same = |endpoint: &Arc<Endpoint>, (address, weight): (&Address, usize)| {
            endpoint.address == *address && endpoint.weight == weight
        };
        if present.list().len() == wanted.len()
            && present.list().iter().zip(&wanted).all(|(endpoint, wanted)| is_same(endpoint, *wanted))
        {
            return;
        }
        let addresses: Vec<String> = wanted.iter().map(|(address, _)| address.to_string()).collect();
        log::info!("origin {}: {} has {}", self.origin.name, self.origin.host, addresses.join(", "));
        let endpoint = |(address, weight): (&Address, usize)| {
            let kept = present.list().iter().find(|endpoint| is_same(endpoint, (address, weight)));
            kept.cloned().or_else(|| {
                Some(Arc::new(Endpoint::new(address.clone(), weight, self.template.at(address)?)))
            })
        };
        let list = wanted.into_iter().filter_map(endpoint).collect();
        self.endpoints.store(Arc::new(Endpoints::new(list)));
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }
}

fn known_at_once(address: &OriginAddress) -> Vec<Address> {
    match &address.target {
        Target::Name { .. } => Vec::new(),
        Target::Socket(socket) => vec![Address::Inet(*socket)],
        Target::Unix(path) => vec![Address::Unix(path.as_path().into())],
    }
}

/// An answer in another order is no change.
fn sorted(mut addresses: Vec<SocketAddr>) -> Vec<Address> {
    addresses.sort_unstable();
    addresses.dedup();
    addresses.into_iter().map(Address::Inet).collect()
}
