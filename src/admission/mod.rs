//! Admission: which connections and requests are let in.
//!
//! [`crate::limits`] has the single limits and uses no clock. This module combines the limits of one
//! configuration and asks them in the right order:
//!
//! 1. a connection is accepted ([`Limits::admit_connection`]), or a trusted proxy names the client of a
//!    connection ([`Limits::admit_client`]);
//! 2. the head of a request has arrived ([`Limits::admit_head`]);
//! 3. the request is verified and about to be forwarded ([`Limits::admit_request`]).
//!
//! Whatever is not let in gets a [`Refusal`].

mod bans;
mod connections;
mod protocol;
mod refusal;
mod requests;

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::approov::Rejections;
use crate::clock;
use crate::limits::LimitSettings;
use crate::limits::{
    AddressKey, AddressSet, Agreement, Caps, InFlight, Ipv6Prefix, KeyHasher, Moment, OffenderRules,
    Offenders, RateLimits, RouteLimits, Rule, TableKey,
};

pub use protocol::ProtocolLimits;
pub use refusal::{RateFields, Refusal};
pub use requests::{Verified, WithinLimits};

/// The limits of one configuration, shared by all workers. A reload makes new limits, which go on with
/// the counts, buckets and bans of the previous ones.
pub struct Limits {
    /// The limits that a client meets on its connection.
    pub protocol: ProtocolLimits,
    /// The start of the clock that [`Moment`]s count from.
    start: Instant,
    hasher: KeyHasher,
    prefix: Ipv6Prefix,
    allow: Arc<AddressSet>,
    deny: Arc<AddressSet>,
    offenders: Option<(OffenderRules, Offenders)>,
    /// The rejections that count towards a ban.
    offences: Rejections,
    /// How this node agrees with others; `None` if it decides alone.
    agreement: Option<Agreement>,
    rates: RateLimits,
    /// Whether clients are told what is left of a rate before it is used up.
    tells_rates: bool,
    connections: InFlight,
    connection_rate: Arc<Rule>,
    listeners: usize,
    requests: InFlight,
    body_bytes: u64,
    body_bytes_of_routes: Box<[Option<u64>]>,
}

/// The routes, origins and listeners that limits count by. Limits refer to each by its position.
#[derive(Clone, Copy, Debug)]
pub struct Subjects<'c> {
    /// The names of the routes.
    pub routes: &'c [&'c str],
    /// The names of the origins.
    pub origins: &'c [&'c str],
    /// The number of public listeners.
    pub listeners: usize,
}

/// A client address, as limits count it.
#[derive(Clone, Copy, Debug)]
pub struct ClientKey {
    address: IpAddr,
    /// `None` if limits by address do not apply: to allowed addresses and trusted proxies.
    key: Option<TableKey>,
}

impl Limits {
    /// Prepares the limits of `settings`. `previous` are the limits in force until now.
    pub fn new(settings: &LimitSettings, subjects: Subjects<'_>, previous: Option<&Limits>) -> Self {
        let LimitSettings { ipv6_prefix, connections, requests, allow, .. } = settings;
        let hasher = previous.map(|previous| previous.hasher.clone());
        let hasher = hasher.unwrap_or_else(|| {
            let shared = settings.shared.as_ref().map(|shared| shared.hash_secret);
            KeyHasher::new(shared.unwrap_or_else(random_secret))
        });
        // A reload does not change whether nodes agree.
        let agreement = match previous {
            Some(previous) => previous.agreement.clone(),
            None => settings
                .shared
                .as_ref()
                .map(|shared| Agreement { is_lost: Arc::default(), when_lost: shared.when_lost }),
        };
        let own = |index| settings.of_route(index);
        let routes = subjects.routes.iter().enumerate();
        let routes: Vec<_> = routes
            .map(|(index, name)| RouteLimits { name, limits: own(index).map_or(&[][..], |own| &own.rates) })
            .collect();
        let offenders = settings.offenders.map(|rules| {
            let previous = previous.and_then(|previous| Some(&previous.offenders.as_ref()?.1));
            (rules, Offenders::new(rules, *ipv6_prefix, allow.clone(), hasher.clone(), previous))
        });
        let connection_caps = Caps {
            total: connections.total,
            reserve: 0,
            per_address: connections.per_address,
            per_listener: connections.per_listener,
        };
        let request_caps = Caps {
            total: requests.in_flight.requests,
            reserve: requests.reserve,
            per_address: requests.per_address,
            per_listener: 0,
        };
        // A reload does not change the listening sockets.
        let listeners = previous.map_or(subjects.listeners, |previous| previous.listeners);
        Self {
            protocol: ProtocolLimits::new(settings),
            start: previous.map_or_else(clock::now, |previous| previous.start),
            prefix: *ipv6_prefix,
            allow: allow.clone(),
            deny: settings.deny.clone(),
            offenders,
            offences: settings.offences,
            rates: RateLimits::new(
                &settings.rates,
                &routes,
                subjects.origins,
                agreement.as_ref(),
                previous.map(|previous| &previous.rates),
            ),
            agreement,
            tells_rates: settings.rate_fields,
            connections: InFlight::new(
                connection_caps,
                listeners,
                previous.map(|previous| &previous.connections),
            ),
            connection_rate: Rule::by_address(
                &connections.new_of_address(),
                previous.map(|previous| &previous.connection_rate),
            ),
            listeners,
            requests: InFlight::new(request_caps, 0, previous.map(|previous| &previous.requests)),
            body_bytes: requests.body_bytes,
            body_bytes_of_routes: (0..routes.len()).map(|index| own(index)?.body_bytes).collect(),
            hasher,
        }
    }

    /// The present time, as limits count it.
    pub fn now(&self) -> Moment {
        self.moment(clock::now())
    }

    /// A time that the caller has read already, as limits count it.
    pub fn moment(&self, time: Instant) -> Moment {
        Moment::since_start(time.saturating_duration_since(self.start))
    }

    /// The key of a client address. `is_proxy` tells that the address is a trusted proxy's, which
    /// speaks for many clients.
    pub fn client_key(&self, address: IpAddr, is_proxy: bool) -> ClientKey {
        let is_exempt = is_proxy || self.allow.contains(address);
        let key = (!is_exempt).then(|| self.hasher.address(AddressKey::new(address, self.prefix)));
        ClientKey { address, key }
    }

    /// The most bytes that the body of a request of this route may have.
    pub fn body_bytes(&self, route: usize) -> u64 {
        self.body_bytes_of_routes.get(route).copied().flatten().unwrap_or(self.body_bytes)
    }

    /// The requests that are being forwarded.
    pub fn requests_in_flight(&self) -> usize {
        self.requests.count()
    }

    /// The most requests that are forwarded at once.
    pub fn requests_limit(&self) -> usize {
        self.requests.limit()
    }

    /// The most connections that are open at once.
    pub fn connections_limit(&self) -> usize {
        self.connections.limit()
    }

    /// The open connections of the listener at this position.
    pub fn connections_of(&self, listener: usize) -> usize {
        self.connections.count_of_listener(listener)
    }

    /// How this node agrees with others; `None` if it decides alone.
    pub fn agreement(&self) -> Option<&Agreement> {
        self.agreement.as_ref()
    }

    /// The rate limits in force.
    pub fn rates(&self) -> &[Arc<Rule>] {
        self.rates.rules()
    }
}

/// A secret that other processes do not have, from the system's random numbers.
fn random_secret() -> [u8; 16] {
    let random = RandomState::new();
    let halves = [random.hash_one(0), random.hash_one(1)].map(u64::to_ne_bytes);
    let mut secret = [0; 16];
    secret[..8].copy_from_slice(&halves[0]);
    secret[8..].copy_from_slice(&halves[1]);
    secret
}
