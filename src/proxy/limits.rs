//! The limits in the form in which connections and requests meet them. What they decide is in
//! [`crate::limits`]; here is who is asked, when, and what comes of it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::Shared;
use super::limited::Limited;
use crate::approov::{Rejection, Rejections};
use crate::config::Settings;
use crate::downstream::Bounds;
use crate::limits::LimitSettings;
use crate::limits::{
    AddressKey, AddressSet, Asker, By, Caps, Cause, Full, InFlight, Ipv6Prefix, Key, KeyHasher, Moment,
    Offender, OffenderRules, Offenders, Permit, RateLimits, RouteLimits, Rule, Ruling, Told, Work,
};
use crate::telemetry::LimitState;

/// The limits of one configuration. Counts, buckets and bans go on from those before.
pub struct Limits {
    /// What a connection keeps to.
    pub(crate) bounds: Bounds,
    start: Instant,
    hasher: KeyHasher,
    prefix: Ipv6Prefix,
    allow: Arc<AddressSet>,
    deny: Arc<AddressSet>,
    offenders: Option<(OffenderRules, Offenders)>,
    offences: Rejections,
    rates: RateLimits,
    tells_rates: bool,
    connections: InFlight,
    connection_rate: Arc<Rule>,
    listeners: usize,
    requests: InFlight,
    body_bytes: u64,
    body_bytes_of_routes: Box<[Option<u64>]>,
}

/// Who asks.
#[derive(Clone, Copy)]
pub(super) struct Visitor {
    address: IpAddr,
    /// None where no limit by address concerns it.
    key: Option<Key>,
}

/// An accepted token, as far as limits ask.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verified<'a> {
    /// What its signature covers.
    pub token: &'a [u8],
    /// The device that it names.
    pub device: Option<&'a str>,
}

/// What the limits let pass.
#[derive(Default)]
pub(super) struct Passed<'l> {
    /// A limit that only observes would have refused it.
    pub observed: Option<Limited>,
    /// Where clients are to hear of it: the rate limit of which least is left.
    pub tightest: Option<Told<'l>>,
}

impl Limits {
    /// Prepares the limits of `settings`. `previous` are those in force until now.
    pub fn new(settings: &Settings, previous: Option<&Limits>) -> Self {
        let LimitSettings { ipv6_prefix, connections, requests, allow, .. } = &settings.limits;
        let hasher = previous.map(|previous| previous.hasher.clone());
        let hasher = hasher.unwrap_or_else(|| KeyHasher::new(std::hash::RandomState::new()));
        let own = |index| settings.limits.of_route(index);
        let routes = settings.routes.routes().iter().enumerate();
        let routes: Vec<_> = routes
            .map(|(index, route)| RouteLimits {
                name: &route.name,
                limits: own(index).map_or(&[][..], |own| &own.rates),
            })
            .collect();
        let origins: Vec<_> = settings.origins.iter().map(|origin| &*origin.name).collect();
        let offenders = settings.limits.offenders.map(|rules| {
            let previous = previous.and_then(|previous| Some(&previous.offenders.as_ref()?.1));
            (rules, Offenders::new(rules, *ipv6_prefix, allow.clone(), hasher.clone(), previous))
        });
        let connection_caps = Caps {
            total: connections.total,
            reserve: 0,
            per_address: connections.per_address,
            per_lane: connections.per_listener,
        };
        let request_caps = Caps {
            total: requests.in_flight,
            reserve: requests.reserve,
            per_address: requests.per_address,
            per_lane: 0,
        };
        // Sockets stay as they are while the process lives.
        let listeners = previous.map_or(settings.listeners.len(), |previous| previous.listeners);
        let before = previous.map(|previous| (&previous.connections, &previous.requests, &previous.rates));
        Self {
            bounds: Bounds::new(&settings.limits),
            start: previous.map_or_else(Instant::now, |previous| previous.start),
            prefix: *ipv6_prefix,
            allow: allow.clone(),
            deny: settings.limits.deny.clone(),
            offenders,
            offences: settings.limits.offences,
            rates: RateLimits::new(&settings.limits.rates, &routes, &origins, before.map(|before| before.2)),
            tells_rates: settings.limits.rate_fields,
            connections: InFlight::new(connection_caps, listeners, before.map(|before| before.0)),
            connection_rate: Rule::by_address(
                &connections.new_of_address(),
                previous.map(|previous| &previous.connection_rate),
            ),
            listeners,
            requests: InFlight::new(request_caps, 0, before.map(|before| before.1)),
            body_bytes: requests.body_bytes,
            body_bytes_of_routes: (0..routes.len()).map(|index| own(index)?.body_bytes).collect(),
            hasher,
        }
    }

    /// The present time, as limits go by it.
    pub fn now(&self) -> Moment {
        self.moment(Instant::now())
    }

    /// The same of a moment that was taken already.
    pub(super) fn moment(&self, now: Instant) -> Moment {
        Moment::since_start(now.saturating_duration_since(self.start))
    }

    /// A connection has come in at the listener with this position. `client` is its address,
    /// unless a trusted proxy has connected: whom that speaks for turns out later.
    ///
    /// # Errors
    /// Why it is not served.
    pub fn connects(&self, client: Option<IpAddr>, listener: usize) -> Result<Permit, Cause> {
        let key = match client {
            Some(address) => self.welcome(address)?,
            None => None,
        };
        let permit = self.connections.enter(Work::Unverified, key, Some(listener));
        permit.map_err(Cause::of_connections)
    }

    /// A trusted proxy has said who the client of a connection is.
    ///
    /// # Errors
    /// Why it is not served.
    pub fn names_client(&self, permit: &mut Permit, address: IpAddr) -> Result<(), Cause> {
        match self.welcome(address)? {
            Some(key) => self.connections.enter_address(permit, key).map_err(Cause::of_connections),
            None => Ok(()),
        }
    }

    /// The key of an address that may connect; none if it is not to be counted.
    fn welcome(&self, address: IpAddr) -> Result<Option<Key>, Cause> {
        let visitor = self.visitor(address, false);
        if visitor.key.is_some() {
            if self.deny.contains(address) {
                return Err(Cause::DeniedAddress);
            }
            let now = self.now();
            if self.is_banned(address, now).is_some() {
                return Err(Cause::BannedAddress);
            }
            if visitor.key.is_some_and(|key| !self.connection_rate.admits(key, now)) {
                return Err(Cause::ConnectionsRate);
            }
        }
        Ok(visitor.key)
    }

    fn is_banned(&self, address: IpAddr, now: Moment) -> Option<Moment> {
        self.offenders.as_ref()?.1.banned(address, now)
    }

    /// Who is at this address; `is_proxy` where it is that of a trusted proxy, which speaks for
    /// many.
    pub(super) fn visitor(&self, address: IpAddr, is_proxy: bool) -> Visitor {
        let is_exempt = is_proxy || self.allow.contains(address);
        let key = (!is_exempt).then(|| self.hasher.address(AddressKey::new(address, self.prefix)));
        Visitor { address, key }
    }

    /// A request has come in. To be asked before it is verified.
    pub(super) fn arrives(
        &self,
        visitor: Option<Visitor>,
        route: Option<usize>,
        now: Moment,
    ) -> Result<Passed<'_>, Limited> {
        let address = visitor.and_then(|visitor| visitor.key);
        if let Some(Visitor { address, key: Some(_) }) = visitor {
            if self.deny.contains(address) {
                return Err(Limited::by(Cause::DeniedAddress));
            }
            if let Some(until) = self.is_banned(address, now) {
                let seconds = now.until(until).as_secs() + 1;
                return Err(Limited { retry_after: Some(seconds), ..Limited::by(Cause::BannedAddress) });
            }
        }
        if self.requests.is_full() {
            return Err(Limited::shed(Full::Total));
        }
        let asker = Asker { address, route, ..Asker::default() };
        self.passed(self.rates.before_verification(&asker, now))
    }

    /// A request has been verified or needs no verification, and is to be forwarded.
    pub(super) fn proceeds(
        &self,
        visitor: Option<Visitor>,
        verified: Option<Verified<'_>>,
        route: usize,
        origin: usize,
        now: Moment,
    ) -> Result<(Permit, Passed<'_>), Limited> {
        let token = verified.map(|verified| verified.token);
        // Whoever has no device id is told apart by the token.
        let device = verified.and_then(|verified| verified.device).map(str::as_bytes).or(token);
        let key = |by, bytes: Option<&[u8]>| {
            let bytes = bytes.filter(|_| self.rates.asks(Some(route), by))?;
            Some(self.hasher.bytes(bytes))
        };
        let asker = Asker {
            device: key(By::Device, device),
            token: key(By::Token, token),
            route: Some(route),
            origin: Some(origin),
            ..Asker::default()
        };
        let passed = self.passed(self.rates.after_verification(&asker, now))?;
        let work = if verified.is_some() { Work::Verified } else { Work::Unverified };
        let permit = self.requests.enter(work, visitor.and_then(|visitor| visitor.key), None);
        Ok((permit.map_err(Limited::shed)?, passed))
    }

    fn passed<'l>(&self, ruling: Ruling<'l>) -> Result<Passed<'l>, Limited> {
        match ruling.refused {
            Some(told) => Err(Limited::rate(told, false)),
            None => Ok(Passed {
                observed: ruling.observed.map(|told| Limited::rate(told, true)),
                tightest: ruling.tightest.filter(|_| self.tells_rates),
            }),
        }
    }

    /// A request has failed verification. Says whether its address is banned for it.
    pub(super) fn failed(&self, visitor: Option<Visitor>, why: Option<Rejection>, now: Moment) -> bool {
        let (Some((rules, offenders)), Some(Visitor { address, key: Some(_) })) = (&self.offenders, visitor)
        else {
            return false;
        };
        if is_private(address) || !why.is_some_and(|why| self.offences.contain(why)) {
            return false;
        }
        let Some(until) = offenders.failed(address, now) else { return false };
        let range = AddressKey::new(address, self.prefix).range(self.prefix);
        let (failures, seconds) = (rules.failures, now.until(until).as_secs());
        log::warn!(
            "{range} is banned for {seconds} s: {failures} failed verifications within {:?}",
            rules.within
        );
        true
    }

    /// A request has been verified.
    pub(super) fn succeeded(&self, visitor: Option<Visitor>, now: Moment) {
        if let (Some((_, offenders)), Some(Visitor { address, key: Some(_) })) = (&self.offenders, visitor) {
            offenders.accepted(address, now);
        }
    }

    /// How many bytes the body of a request of this route may have.
    pub(super) fn body_bytes(&self, route: usize) -> u64 {
        self.body_bytes_of_routes.get(route).copied().flatten().unwrap_or(self.body_bytes)
    }

    /// The addresses that are banned, and those whose bans are not forgotten.
    pub fn offenders(&self) -> Vec<Offender> {
        let now = self.now();
        self.offenders.as_ref().map_or_else(Vec::new, |(_, offenders)| offenders.list(now))
    }

    /// Forgets all about an address, or about all of them. Says how many were listed.
    pub fn forgive(&self, address: Option<IpAddr>) -> usize {
        let now = self.now();
        match (&self.offenders, address) {
            (Some((_, offenders)), Some(address)) => offenders.clear(address, now).into(),
            (Some((_, offenders)), None) => offenders.clear_all(now),
            (None, _) => 0,
        }
    }
}

/// Whether an address is of a private network: it is a proxy's, which speaks for many and was not
/// configured as one, sooner than a client's.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            // RFC 1918, RFC 3927, and RFC 6598, which private clouds use as well.
            let [first, second, ..] = address.octets();
            address.is_private() || address.is_link_local() || (first == 100 && second & 0xc0 == 64)
        }
        IpAddr::V6(address) => address.is_unique_local() || address.is_unicast_link_local(),
    }
}

impl LimitState for Shared {
    fn connections(&self) -> Vec<(Box<str>, usize)> {
        let limits = &self.snapshot.load().limits;
        let listeners = self.listeners.iter().enumerate();
        listeners.map(|(index, label)| (label.clone(), limits.connections.count_of_lane(index))).collect()
    }

    fn requests(&self) -> usize {
        self.snapshot.load().limits.requests.count()
    }

    fn banned(&self) -> usize {
        let limits = &self.snapshot.load().limits;
        let now = limits.now();
        limits.offenders().iter().filter(|offender| offender.until > now).count()
    }

    fn rates(&self) -> Vec<Arc<Rule>> {
        self.snapshot.load().limits.rates.rules().to_vec()
    }
}
