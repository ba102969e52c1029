//! The settings of all limits, with their defaults.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::{AddressRange, AddressSet, By, Ipv6Prefix, Limit, OffenderRules, Rate, in_force};
use crate::approov::{Rejection, Rejections};

/// The section `limits` of the configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    /// The part of an IPv6 address that identifies a client.
    pub ipv6_prefix: Ipv6Prefix,
    /// The general rate limits, for all routes.
    pub rates: Vec<Limit>,
    /// How nodes share the limits; `None` if this node decides alone.
    pub shared: Option<SharedLimits>,
    /// Whether answers carry `RateLimit` fields before a rate is exceeded.
    pub rate_fields: bool,
    /// The own limits of routes, by position. Routes beyond the end have none.
    pub routes: Vec<RouteLimitSettings>,
    /// The rules for bans; `None` if no address is banned.
    pub offenders: Option<OffenderRules>,
    /// The rejections that count towards a ban.
    pub offences: Rejections,
    /// Addresses that are exempt from limits by address, bans and `deny`.
    pub allow: Arc<AddressSet>,
    /// Addresses whose connections are refused.
    pub deny: Arc<AddressSet>,
    /// Limits on connections: their number, rate and age.
    pub connections: ConnectionLimits,
    /// Limits on requests: their number in flight and their sizes.
    pub requests: RequestLimits,
    /// Time limits for the steps of a connection.
    pub time: TimeLimits,
}

impl LimitSettings {
    /// The default of `allow`: this machine, because a TLS terminator on it connects for all clients.
    pub fn allowed_by_default() -> [AddressRange; 2] {
        [
            AddressRange::around(IpAddr::V4(Ipv4Addr::LOCALHOST), 8),
            AddressRange::around(IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
        ]
    }

    /// The own limits of the route at this position.
    pub fn of_route(&self, index: usize) -> Option<&RouteLimitSettings> {
        self.routes.get(index)
    }

    /// The rate limits in force for the route at this position, in the order in which they are checked.
    pub fn rates_of_route(&self, index: usize) -> Vec<&Limit> {
        let own = self.of_route(index).map_or(&[][..], |route| &route.rates);
        in_force(&self.rates, own, |limit| limit.by)
    }
}

/// How nodes share the limits.
#[derive(Clone, PartialEq, Eq)]
pub struct SharedLimits {
    /// The secret of all nodes, from which they make equal keys.
    pub hash_secret: [u8; 16],
    /// See [`Agreement::when_lost`](super::Agreement::when_lost).
    pub when_lost: Option<NonZeroU32>,
}

impl fmt::Debug for SharedLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedLimits").field("when_lost", &self.when_lost).finish_non_exhaustive()
    }
}

/// The section `limits` of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteLimitSettings {
    /// Limits that replace the general ones of the same kind.
    pub rates: Vec<Limit>,
    /// The limit that replaces [`RequestLimits::body_bytes`].
    pub body_bytes: Option<u64>,
}

/// The section `limits.connections` of the configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Open connections of all listeners.
    pub total: usize,
    /// Open connections of one listener.
    pub per_listener: usize,
    /// Open connections of one client address.
    pub per_address: usize,
    /// The rate of new connections of one client address.
    pub rate: Rate,
    /// New connections of one client address that may arrive at once.
    pub burst: NonZeroU32,
    /// Requests that one connection may carry.
    pub requests: usize,
    /// The age after which a connection is closed with the next answer.
    pub age: Duration,
}

/// The section `limits.requests` of the configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// Requests that may be forwarded at the same time.
    pub in_flight: MostInFlight,
    /// The part of `in_flight` that only verified requests may use.
    pub reserve: usize,
    /// Requests of one client address that may be forwarded at the same time.
    pub per_address: usize,
    /// The greatest size of the request line and all header fields, in bytes.
    pub header_bytes: u64,
    /// The greatest number of header fields.
    pub header_count: usize,
    /// The greatest length of the request target in bytes.
    pub target_bytes: u64,
    /// The greatest length of the body in bytes, declared or streamed.
    pub body_bytes: u64,
    /// The least rate of a body, in bytes a second.
    pub body_rate: u64,
}

/// How many requests may be forwarded at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MostInFlight {
    /// The number.
    pub requests: usize,
    /// The memory in bytes from which the number was derived; `None` if it was not derived.
    pub memory: Option<u64>,
}

impl MostInFlight {
    /// At 100 ms each, a hundred thousand in a second. If more requests wait, the origin is late.
    pub const MOST: Self = Self { requests: 10_000, memory: None };

    /// Fewer would refuse ordinary traffic, whatever the memory.
    const LEAST: usize = 100;

    /// The memory of a request whose client reads a large answer slowly, with room for the allocator.
    const BYTES_EACH: u64 = 128 * 1024;

    /// A number that the operator wrote.
    pub fn written(requests: usize) -> Self {
        Self { requests, memory: None }
    }

    /// The number of slow readers that fit into half of `memory`, between the least and the most for any machine.
    pub fn fitting(memory: Option<u64>) -> Self {
        let Some(bytes) = memory else { return Self::MOST };
        let fitting = usize::try_from(bytes / 2 / Self::BYTES_EACH).unwrap_or(usize::MAX);
        Self { requests: fitting.clamp(Self::LEAST, Self::MOST.requests), memory }
    }

    /// Whether more memory would allow more requests.
    pub fn is_limited_by_memory(self) -> bool {
        self.memory.is_some() && self.requests < Self::MOST.requests
    }
}

/// The section `limits.time` of the configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimits {
    /// The time for the PROXY header and the TLS handshake.
    pub handshake: Duration,
    /// The time from the first byte of a request to the end of its head.
    pub header: Duration,
    /// The time between two parts of a body.
    pub body: Duration,
    /// The time between two requests.
    pub idle: Duration,
    /// The time in which the client reads nothing of an answer.
    pub write: Duration,
}

/// The rejections that count towards a ban by default: those that a genuine app never causes. An app
/// that cannot reach Approov sends no token or an old one, and a CORS preflight has no token. An outage
/// must not lead to bans.
const OFFENCES: [Rejection; 6] = [
    Rejection::RepeatedToken,
    Rejection::OversizedToken,
    Rejection::MalformedToken,
    Rejection::UnsupportedAlgorithm,
    Rejection::UnknownKey,
    Rejection::BadSignature,
];

/// The number as a nonzero one; 1 for 0.
const fn positive(number: u32) -> NonZeroU32 {
    match NonZeroU32::new(number) {
        Some(number) => number,
        None => NonZeroU32::MIN,
    }
}

/// The default rate limits: by address, and by device, which only observes.
fn default_rates() -> Vec<Limit> {
    let limit = |(by, requests, burst, observe): (By, u32, u32, bool)| {
        let rate = Rate { requests: positive(requests), per: Duration::from_secs(1) };
        let burst = positive(burst);
        Limit {
            name: by.label().into(),
            by,
            rate,
            burst,
            observe,
            keys: Limit::DEFAULT_KEYS,
            nodes: NonZeroU32::MIN,
        }
    };
    [(By::Address, 1000, 2000, false), (By::Device, 20, 100, true)].into_iter().map(limit).collect()
}

/// The defaults are safe for a public listener.
impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            ipv6_prefix: Ipv6Prefix::default(),
            rates: default_rates(),
            shared: None,
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
    /// The rate limit on new connections of one address.
    pub fn new_of_address(&self) -> Limit {
        let Self { rate, burst, .. } = *self;
        Limit {
            name: "connections".into(),
            by: By::Address,
            rate,
            burst,
            observe: false,
            keys: Limit::DEFAULT_KEYS,
            nodes: NonZeroU32::MIN,
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
            in_flight: MostInFlight::MOST,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_in_flight_fit_into_half_of_the_memory() {
        let fitting = |mebibytes: u64| MostInFlight::fitting(Some(mebibytes << 20)).requests;
        let numbers = [1, 64, 512, 2048, 2500, 4096, 1 << 20].map(fitting);
        assert_eq!(numbers, [100, 256, 2048, 8192, 10_000, 10_000, 10_000]);
        assert_eq!(MostInFlight::fitting(None), MostInFlight::MOST);
        assert!(MostInFlight::fitting(Some(512 << 20)).is_limited_by_memory());
        assert!(!MostInFlight::fitting(Some(4 << 30)).is_limited_by_memory());
    }
}
