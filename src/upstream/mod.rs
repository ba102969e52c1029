//! Connections to origins, and their addresses, which are kept up to date outside of requests.
//!
//! A request [enters](Upstream::enter) (`admission`: a limit and a short queue), gets a
//! [peer](Upstream::peer) (`endpoints` chooses, `health` says which are usable) and reports its result.
//! Meanwhile it holds a [`Lease`]. Outside of requests, names are resolved again (`address`) and addresses
//! are tested (`checks`).
//!
//! Connections with HTTP/1 are made here (`connector`, `dialer`, `tls`, `stream`), so that every answer is
//! judged (`answers`) before Pingora parses it. Connections with HTTP/2 are Pingora's own.

mod address;
mod admission;
mod answers;
mod budget;
mod checks;
mod connector;
mod dialer;
mod endpoints;
mod explain;
mod fetch;
mod hash;
mod health;
mod lease;
mod next_request;
mod peers;
mod stream;
mod tls;
mod transport;
mod warnings;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use pingora_core::Error;
use pingora_core::upstreams::peer::HttpPeer;

use crate::clock;
use crate::origins::{Origin, OriginAddress, RetryReason, Target, UpstreamErrorKind};
use crate::telemetry::{Metrics, OriginMetrics, OriginState};

pub use address::{Resolver, SystemResolver};
pub use connector::OriginConnector;
pub use dialer::Dialers;
pub use endpoints::ClientIdentity;
pub use fetch::{Document, Fetcher};
pub use health::ExchangeFailure;
pub use lease::Lease;
pub use next_request::NextRequest;
pub use peers::TUNNEL_IDLE;
pub use stream::OriginStream;
pub use stream::SpeaksTls;
pub use transport::NotSent;

use address::Address;
use admission::Admission;
use budget::RetryBudget;
use dialer::{Dialer, Registered};
use endpoints::{Endpoint, Endpoints};
use explain::{AskedServer, ServerKind, explain};
use peers::PeerTemplate;
use warnings::{Turn, Warnings};

/// The largest number of attempts of one request. An attempt fails if an address is down or a kept connection
/// was closed.
pub const MAX_ATTEMPTS: usize = 8;

/// What all origins share.
#[derive(Clone)]
pub struct UpstreamContext {
    /// The metrics.
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
}

/// Why a request gets no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// The name has not been resolved.
    NoAddress,
    /// Every address is down, for at least this long.
    AllDown(Duration),
    /// The queue is full.
    QueueFull,
    /// The request has waited too long.
    QueueTimeout,
}

impl Unavailable {
    /// The kind under which it is counted.
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
    /// An origin. Its names are not resolved yet.
    ///
    /// # Errors
    /// If its certificates cannot be used. The configuration has been checked for that.
    pub fn new(origin: Origin, surroundings: &UpstreamContext) -> Result<Arc<Self>, rustls::Error> {
        let metrics = Arc::new(surroundings.metrics.origin(&origin.name));
        let dialer = Dialer::register(&origin, &surroundings.dialers, &metrics)?;
        let known = origin.addresses.iter().map(known_at_once).collect();
        let upstream = Arc::new(Self {
            resolver: surroundings.resolver.clone(),
            dialers: surroundings.dialers.clone(),
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
            patient_dialer: Dialer::register_patient(&origin, &surroundings.dialers, &metrics)?,
            warnings: Warnings::default(),
            metrics,
            origin,
        });
        upstream.refresh();
        let state: Arc<dyn OriginState> = upstream.clone();
        surroundings.metrics.watch_origin(&state);
        Ok(upstream)
    }

    /// The settings.
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

    /// An answer with this status has begun, so long after the request was sent.
    pub fn answered_after(&self, status: http::StatusCode, time: Duration) {
        self.metrics.answered(status.as_u16().into(), time);
    }

    /// Explains a failed exchange in words, and warns about it unless that was done lately. `address` is
    /// the address that was asked; `None` if the origin has none.
    pub fn explain(&self, error: &Error, address: Option<&str>) -> String {
        let explanation = explain(error, self.asked(address.unwrap_or(&self.origin.host)));
        let (name, message) = (&self.origin.name, explanation.message);
        match self.warnings.turn(address.unwrap_or_default(), explanation.cause, clock::now()) {
            Turn::No => {}
            Turn::Warn { silent: 0 } => log::warn!("origin {name}: {message}"),
            Turn::Warn { silent } => {
                log::warn!("origin {name}: {message} ({silent} more times since the last warning)");
            }
        }
        message
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
            connect_timeout: Some(self.origin.timeouts.connect),
        }
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

    /// Resolves the names periodically. Never returns if there is a name.
    pub async fn keep_resolved(&self) {
        let is_name = |address: &OriginAddress| matches!(address.target, Target::Name { .. });
        while self.origin.addresses.iter().any(is_name) {
            tokio::time::sleep(self.origin.resolve_interval).await;
            self.resolve().await;
        }
    }

    /// Rebuilds the endpoints if the addresses have changed. An address that stays keeps its state.
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
        u64::try_from(clock::since(self.started).as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }
}

fn known_at_once(address: &OriginAddress) -> Vec<Address> {
    match &address.target {
        Target::Name { .. } => Vec::new(),
        Target::Socket(socket) => vec![Address::Inet(*socket)],
        Target::Unix(path) => vec![Address::Unix(path.as_path().into())],
    }
}

/// Sorts the addresses, so that another order is not a change.
fn sorted(mut addresses: Vec<SocketAddr>) -> Vec<Address> {
    addresses.sort_unstable();
    addresses.dedup();
    addresses.into_iter().map(Address::Inet).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origins::{Balance, Ejection};
    use async_trait::async_trait;
    use std::io;

    /// Returns the addresses that a test sets, and an error if there are none.
    #[derive(Default)]
    struct FixedResolver(Mutex<Vec<SocketAddr>>);

    impl FixedResolver {
        fn tell(&self, addresses: &[&str]) {
            *self.0.lock() = addresses.iter().map(|address| address.parse().expect("an address")).collect();
        }
    }

    #[async_trait]
    impl Resolver for FixedResolver {
        async fn resolve(&self, host: &str, _port: u16) -> io::Result<Vec<SocketAddr>> {
            assert_eq!(host, "api.example");
            let told = self.0.lock().clone();
            if told.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(told) }
        }
    }

    fn upstream(change: impl FnOnce(&mut Origin)) -> (Arc<Upstream>, Arc<FixedResolver>) {
        let resolver = Arc::new(FixedResolver::default());
        let address: SocketAddr = ([192, 0, 2, 1], 8080).into();
        let mut origin = Origin::plain("api", address, http::HeaderValue::from_static("api"));
        change(&mut origin);
        let surroundings = UpstreamContext {
            metrics: Arc::new(Metrics::new().expect("registers")),
            dialers: Dialers::default(),
            resolver: resolver.clone(),
        };
        (Upstream::new(origin, &surroundings).expect("no certificates"), resolver)
    }

    fn by_name(origin: &mut Origin) {
        let target = Target::Name { host: "api.example".into(), port: 8080 };
        origin.addresses = vec![OriginAddress { target, weight: 1 }];
    }

    fn addresses(upstream: &Upstream, requests: usize) -> Vec<String> {
        let ask = || {
            let mut lease = Lease::default();
            let peer = upstream.peer(&mut lease, ClientIdentity::default()).expect("a peer");
            upstream.release(lease);
            peer._address.to_string()
        };
        std::iter::repeat_with(ask).take(requests).collect()
    }

    #[test]
    fn an_address_is_known_at_once_and_a_unix_socket_too() {
        assert_eq!(addresses(&upstream(|_| {}).0, 2), ["192.0.2.1:8080", "192.0.2.1:8080"]);
        let (upstream, _) = upstream(|origin| {
            origin.addresses = vec![
                OriginAddress { target: Target::Unix("/run/a.sock".into()), weight: 2 },
                OriginAddress { target: Target::Socket(([192, 0, 2, 2], 1).into()), weight: 1 },
            ];
        });
        assert_eq!(addresses(&upstream, 3), ["/run/a.sock", "192.0.2.2:1", "/run/a.sock"]);
    }

    #[tokio::test]
    async fn an_answer_of_the_resolver_that_changes_changes_the_addresses() {
        let (upstream, resolver) = upstream(by_name);
        let none = upstream.peer(&mut Lease::default(), ClientIdentity::default());
        assert_eq!(none.err(), Some(Unavailable::NoAddress));
        resolver.tell(&["192.0.2.2:8080", "192.0.2.1:8080", "[2001:db8::1]:8080"]);
        upstream.resolve().await;
        let each = ["192.0.2.1:8080", "192.0.2.2:8080", "[2001:db8::1]:8080", "192.0.2.1:8080"];
        assert_eq!(addresses(&upstream, 4), each);
        resolver.tell(&["192.0.2.9:8080"]);
        upstream.resolve().await;
        assert_eq!(addresses(&upstream, 2), ["192.0.2.9:8080", "192.0.2.9:8080"]);
        resolver.tell(&[]);
        upstream.resolve().await;
        assert_eq!(addresses(&upstream, 1), ["192.0.2.9:8080"], "a failure keeps what is known");
    }

    #[tokio::test(start_paused = true)]
    async fn names_are_resolved_again_and_again() {
        let (upstream, resolver) = upstream(by_name);
        let resolving = upstream.clone();
        tokio::spawn(async move { resolving.keep_resolved().await });
        for address in ["192.0.2.1:8080", "192.0.2.2:8080"] {
            resolver.tell(&[address]);
            tokio::time::sleep(upstream.origin().resolve_interval * 2).await;
            assert_eq!(addresses(&upstream, 1), [address]);
        }
    }

    #[tokio::test]
    async fn what_is_known_of_an_address_outlives_a_change_of_the_others() {
        let (upstream, resolver) = upstream(by_name);
        resolver.tell(&["192.0.2.1:8080", "192.0.2.2:8080"]);
        upstream.resolve().await;
        for _ in 0..6 {
            let mut lease = Lease::default();
            let peer = upstream.peer(&mut lease, ClientIdentity::default()).expect("a peer");
            if peer._address.to_string() == "192.0.2.1:8080" {
                upstream.connect_failed(&mut lease);
            }
            upstream.release(lease);
        }
        assert_eq!(upstream.addresses(), (2, 1));
        resolver.tell(&["192.0.2.1:8080", "192.0.2.3:8080"]);
        upstream.resolve().await;
        assert_eq!(addresses(&upstream, 2), ["192.0.2.3:8080", "192.0.2.3:8080"]);
        assert_eq!(upstream.addresses(), (2, 1));
    }

    fn two(origin: &mut Origin) {
        let address =
            |last| OriginAddress { target: Target::Socket(([192, 0, 2, last], 8080).into()), weight: 1 };
        origin.addresses = vec![address(1), address(2)];
    }

    #[test]
    fn a_request_that_failed_to_connect_gets_each_address_once() {
        for balance in Balance::ALL {
            let (upstream, _) = upstream(|origin| {
                two(origin);
                origin.balance = balance;
            });
            let mut lease = Lease::default();
            let first = upstream.peer(&mut lease, ClientIdentity::default()).expect("a peer");
            assert!(upstream.connect_failed(&mut lease), "{balance:?}");
            let second = upstream.peer(&mut lease, ClientIdentity::default()).expect("a peer");
            assert_ne!(first._address.to_string(), second._address.to_string(), "{balance:?}");
            assert!(!upstream.connect_failed(&mut lease), "{balance:?}");
        }
    }

    #[test]
    fn with_every_address_out_there_is_none_until_the_first_returns() {
        let (upstream, _) = upstream(|origin| {
            two(origin);
            let base_time = Duration::from_secs(100);
            origin.ejection =
                Ejection { connect_failures: 1, base_time, max_time: base_time, ..origin.ejection };
        });
        let mut lease = Lease::default();
        for is_left in [true, false] {
            upstream.peer(&mut lease, ClientIdentity::default()).expect("a peer");
            assert_eq!(upstream.connect_failed(&mut lease), is_left);
        }
        let why = upstream.peer(&mut Lease::default(), ClientIdentity::default()).err();
        let Some(Unavailable::AllDown(time)) = why else { panic!("{why:?}") };
        assert!((98..=100).contains(&time.as_secs()), "{time:?}");
        assert_eq!(upstream.addresses(), (2, 0));
    }

    #[test]
    fn the_only_address_is_asked_again_and_again_unless_that_is_forbidden() {
        for (single, expected) in [(false, true), (true, false)] {
            let (upstream, _) = upstream(|origin| {
                origin.ejection = Ejection { single, connect_failures: 1, ..origin.ejection };
            });
            let mut lease = Lease::default();
            assert!(upstream.peer(&mut lease, ClientIdentity::default()).is_ok());
            assert!(!upstream.connect_failed(&mut lease));
            assert_eq!(upstream.peer(&mut Lease::default(), ClientIdentity::default()).is_ok(), expected);
        }
    }
}
