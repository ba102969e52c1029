//! The settings of all limits, with their defaults.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::{AddressRange, AddressSet, By, Ipv6Prefix, Limit, OffenderRules, Rate, in_force};
use crate::approov::{Rejection, Rejections};

/// `limits` in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    /// Which part of an IPv6 address stands for a client.
    pub ipv6_prefix: Ipv6Prefix,
    /// The rate limits for all routes.
    pub rates: Vec<Limit>,
    /// Whether clients hear how much is left of a rate before it is used up.
    pub rate_fields: bool,
    /// What routes have of their own, by their position. Those behind its end have nothing.
    pub routes: Vec<RouteLimitSettings>,
    /// When addresses are banned; `None` if never.
    pub offenders: Option<OffenderRules>,
    /// Which failures of verification count for a ban.
    pub offences: Rejections,
    /// Addresses that no limit by address concerns, and that are never banned or denied.
    pub allow: Arc<AddressSet>,
    /// Addresses that are refused at the connection.
    pub deny: Arc<AddressSet>,
    /// Connections.
    pub connections: ConnectionLimits,
    /// Requests: how many at once, and how large.
    pub requests: RequestLimits,
    /// How long things may take.
    pub time: TimeLimits,
}

impl LimitSettings {
    /// The ranges of `allow` unless configured: this machine, because a TLS terminator on it connects
    /// for all clients.
    pub fn allowed_by_default() -> [AddressRange; 2] {
        [
            AddressRange::around(IpAddr::V4(Ipv4Addr::LOCALHOST), 8),
            AddressRange::around(IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
        ]
    }

    /// What the route at this position has of its own.
    pub fn of_route(&self, index: usize) -> Option<&RouteLimitSettings> {
        self.routes.get(index)
    }

    /// The rate limits that requests of the route at this position meet, in the order of asking.
    pub fn rates_of_route(&self, index: usize) -> Vec<&Limit> {
        let own = self.of_route(index).map_or(&[][..], |route| &route.rates);
        in_force(&self.rates, own, |limit| limit.by)
    }
}

/// A route's own limits: `limits` of an entry of `routes`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteLimitSettings {
    /// In place of the general ones of their kinds.
    pub rates: Vec<Limit>,
    /// In place of [`RequestLimits::body_bytes`].
    pub body_bytes: Option<u64>,
}

/// `limits.connections` in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// At once, of all listeners.
    pub total: usize,
    /// At once, of one listener.
    pub per_listener: usize,
    /// At once, of one client address.
    pub per_address: usize,
    /// New ones of one client address in a time.
    pub rate: Rate,
    /// As many of them may come at once.
    pub burst: NonZeroU32,
    /// Requests on one connection.
    pub requests: usize,
    /// How long one lasts before it is closed behind an answer.
    pub age: Duration,
}

/// `limits.requests` in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// Forwarded at once.
    pub in_flight: usize,
    /// Of these, for verified requests only.
    pub reserve: usize,
    /// Forwarded at once, of one client address.
    pub per_address: usize,
    /// Bytes of the request line and all header fields.
    pub header_bytes: u64,
    /// Header fields.
    pub header_count: usize,
    /// Bytes of the request target.
    pub target_bytes: u64,
    /// Bytes of the body, declared or streamed.
    pub body_bytes: u64,
    /// Bytes of a body in a second, at the least.
    pub body_rate: u64,
}

/// `limits.time` in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimits {
    /// For the TLS handshake.
    pub handshake: Duration,
    /// From the first byte of a request to the end of its header.
    pub header: Duration,
    /// Between two parts of a body.
    pub body: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// For which the client takes nothing of an answer.
    pub write: Duration,
}

/// Rejections that count for a ban unless configured: what a genuine app never sends. An app that
/// cannot reach Approov sends no token or an old one, and a CORS preflight has no token; an outage
/// must not ban them.
const OFFENCES: [Rejection; 6] = [
    Rejection::RepeatedToken,
    Rejection::OversizedToken,
    Rejection::MalformedToken,
    Rejection::UnsupportedAlgorithm,
    Rejection::UnknownKey,
    Rejection::BadSignature,
];

/// The number, or one for zero.
const fn positive(number: u32) -> NonZeroU32 {
    match NonZeroU32::new(number) {
        Some(number) => number,
        None => NonZeroU32::MIN,
    }
}

/// The rate limits unless configured.
fn default_rates() -> Vec<Limit> {
    let limit = |(by, requests, burst, observe): (By, u32, u32, bool)| {
        let rate = Rate { requests: positive(requests), per: Duration::from_secs(1) };
        let burst = positive(burst);
        Limit { name: by.label().into(), by, rate, burst, observe, keys: Limit::DEFAULT_KEYS }
    };
    [(By::Address, 1000, 2000, false), (By::Device, 20, 100, true)].into_iter().map(limit).collect()
}

/// The defaults are safe for a public listener.
impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            ipv6_prefix: Ipv6Prefix::default(),
            rates: default_rates(),
            rate_fields: false,
            routes: Vec::new(),
            offenders: Some(OffenderRules::default()),
            offences: OFFENCES.into_iter().collect(),
            allow: Arc::new(Self::allowed_by_default().into_iter().collect()),
            deny: Arc::default(),
            connections: ConnectionLimits::default(),
            requests: RequestLimits::default(),
            time: TimeLimits::default(),
        }
    }
}

impl ConnectionLimits {
    /// The limit on new connections of one address.
    pub fn new_of_address(&self) -> Limit {
        let Self { rate, burst, .. } = *self;
        Limit {
            name: "connections".into(),
            by: By::Address,
            rate,
            burst,
            observe: false,
            keys: Limit::DEFAULT_KEYS,
        }
    }
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            total: 20_000,
            rate: Rate { requests: positive(500), per: Duration::from_secs(1) },
            burst: positive(1000),
            per_listener: 20_000,
            per_address: 1000,
            requests: 1000,
            age: Duration::from_secs(60 * 60),
        }
    }
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            in_flight: 10_000,
            reserve: 1000,
            per_address: 1000,
            header_bytes: 64 * 1024,
            header_count: 100,
            target_bytes: 8 * 1024,
            body_bytes: 2 * 1024 * 1024 * 1024,
            body_rate: 1024,
        }
    }
}

impl Default for TimeLimits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(10),
            body: Duration::from_secs(30),
            idle: Duration::from_secs(75),
            write: Duration::from_secs(60),
        }
    }
}
