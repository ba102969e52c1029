//! `limits`: how much is admitted.
//!
//! The defaults are those of [`LimitSettings`].

mod addresses;
mod rates;

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::approov::Rejection;
use crate::config::document::{
    Entries, Kind, Located, Report, Reported, Shape, Value, Written, always, boolean, custom, default, list,
    nested, number, positive, section, usable, word_or, words,
};
use crate::config::memory;
use crate::config::values::{self, DAY, HOUR, KIB, MIB, SECOND, duration, file, size};
use crate::fleet::FleetSettings;
use crate::limits::{
    ConnectionLimits, Ipv6Prefix, Limit, LimitSettings, MostInFlight, OffenderRules, RequestLimits,
    RouteLimitSettings, TimeLimits,
};
use crate::policy::Policy;

use addresses::{RangeFiles, RangeList, ranges};
use rates::{named, rates_of_limits, rates_of_routes, warn_of_useless_rates};

/// Limits of anything that is counted.
const COUNTS: RangeInclusive<usize> = 1..=1_000_000;

/// Pingora's parser reads at most this many fields (`MAX_HEADERS` in its `v1/common.rs`).
const MAX_FIELDS: usize = 256;

/// Keys for which a limit can have memory: up to 18 bytes each, or 60 for offenders.
const KEYS: RangeInclusive<usize> = 1024..=16 * 1024 * 1024;

section! {
    /// How much is admitted. The defaults are safe for a public listener.
    pub struct LimitsSection {
        /// The part of an IPv6 address that stands for one client, in bits. A mobile network gives
        /// each phone a /64. A site may have a whole /48: 56 or 48 counts it as one client.
        ipv6_prefix: Ipv6Prefix = default(Ipv6PrefixKind, Ipv6Prefix::default()),
        /// Rate limits. They are checked in the order address, total, route (before the token is
        /// verified), device, token, origin (after it). Requests above the rate get 429. Default:
        /// 1000/s with a burst of 2000 for each address, and, only observed, 20/s with a burst of
        /// 100 for each device. `[]` switches rate limits off.
        rate: Written<Entries<Limit>> = rates_of_limits(),
        /// Whether forwarded answers carry `RateLimit` fields, so that clients can slow down before
        /// they are refused. Refusals always carry them.
        rate_fields: bool = default(boolean(), false),
        /// Bans of addresses whose requests keep failing verification. A banned address is refused at
        /// the connection. Each ban is twice as long as the last one; one ban is forgotten after each
        /// `max_ban` without failures. An accepted request takes a failure back. Addresses of private
        /// networks are never banned, because such an address is more likely a proxy than a phone.
        /// `off` switches bans off.
        offenders: Written<Option<OffendersSection>> = word_or("off", nested::<OffendersSection>()),
        /// Ranges of addresses without limits by address, which are never banned or denied. Default:
        /// this machine, because a TLS terminator on it connects for all clients. Add your proxies.
        allow: Written<RangeList> = ranges(),
        /// Files with more ranges for `allow`, one in each line. `#` begins a comment.
        allow_files: Written<RangeFiles> = list(file()),
        /// Ranges of addresses that are refused at the connection. Default: none.
        deny: Written<RangeList> = ranges(),
        /// Files with more ranges for `deny`. A hundred thousand ranges take 2 MB of memory.
        deny_files: Written<RangeFiles> = list(file()),
        /// Limits of connections. Connections above them are reset.
        connections: ConnectionLimits = always::<ConnectionLimits>(),
        /// Limits of requests.
        requests: RequestLimits = always::<RequestLimits>(),
        /// Time limits.
        time: TimeLimits = always::<TimeLimits>(),
    }
}

section! {
    /// Bans of addresses.
    struct OffendersSection {
        /// Failures within the time of `within` that lead to a ban.
        failures: u16 = default(number(1..=10_000), OffenderRules::default().failures),
        /// The rejection reasons that count as failures. Default: reasons that no genuine app causes
        /// (`repeated_token`, `oversized_token`, `malformed_token`, `unsupported_algorithm`,
        /// `unknown_key`, `bad_signature`). An app that cannot reach Approov sends no token or an
        /// old one; if those counted, an outage could ban the shared address of a mobile network.
        reasons: Written<Entries<Rejection>> =
            list(words(Rejection::ALL.map(|reason| (reason.label(), reason))))
                .not_empty("write reasons, or offenders: off to ban nothing"),
        /// The time in which failures are counted.
        within: Duration = default(duration(SECOND..=DAY), OffenderRules::default().within),
        /// Duration of the first ban. Keep it short: another phone may get the address.
        ban: Duration = default(duration(SECOND..=DAY), OffenderRules::default().ban),
        /// Longest duration of a ban.
        max_ban: Duration = default(duration(SECOND..=DAY), OffenderRules::default().max_ban),
        /// Addresses that are remembered, 55 bytes each.
        keys: usize = default(number(KEYS), OffenderRules::default().keys),
    }
}

section! {
    settings ConnectionLimits(keys) {
        /// Concurrent connections. Each takes memory and a descriptor, and so does its request at
        /// the origin: keep twice the number below `ulimit -n`.
        total = number(COUNTS),
        /// Concurrent connections of one listener. Default: `total`.
        per_listener = number(COUNTS) => total,
        /// Concurrent connections of one client address. The default is enough for hundreds of phones.
        per_address = number(COUNTS),
        /// New connections of one client address.
        rate = values::rate(),
        /// New connections of one client address at once. With `rate` alone, it is that number.
        burst = positive(Limit::MAX_BURST) => if keys.has("rate") { rate.requests } else { burst },
        /// Requests on one connection.
        requests = number(COUNTS),
        /// How long a connection lasts, so that clients spread over new machines.
        age = duration(SECOND..=DAY),
    }
}

section! {
    settings RequestLimits(keys) {
        /// Concurrent requests that are forwarded. Further requests get 503. Tunnels count as
        /// connections only; `max_in_flight` of an origin limits them. Default: 10000, or fewer if the
        /// machine or the control group has less than 2500 MiB of memory. Then it is as many as fit into
        /// half of it at 128 KiB each, but at least 100. A client that reads a large answer slowly can
        /// take 128 KiB.
        in_flight = most_in_flight() => MostInFlight::fitting(memory::available()),
        /// The part of `in_flight` that only verified requests may use. Default: a tenth.
        reserve = less_than(in_flight.requests) => in_flight.requests / 10,
        /// Concurrent requests of one client address.
        per_address = number(COUNTS),
        /// Bytes of the request line and all header fields. Larger requests get 431.
        header_bytes = size(KIB..=MIB),
        /// Header fields. A browser sends about 20.
        header_count = number(10..=MAX_FIELDS),
        /// Bytes of path and query. RFC 9110 §4.1 recommends at least 8000.
        target_bytes = size(256..=MIB),
        /// Bytes of the body, declared or streamed. Larger requests get 413. Bodies are streamed,
        /// so a smaller number protects the origin only.
        body_bytes = body_size(),
        /// The lowest rate of a body, in bytes a second; 0 switches the limit off.
        body_rate = size(0..=MIB),
    }
}

section! {
    settings TimeLimits(keys) {
        /// Time for the TLS handshake and for the header of the PROXY protocol.
        handshake = duration(SECOND..=HOUR),
        /// Time from the first byte of a request to the end of its header.
        header = duration(SECOND..=HOUR),
        /// Time between two parts of a body.
        body = duration(SECOND..=HOUR),
        /// Time between two requests on one connection.
        idle = duration(SECOND..=HOUR),
        /// Time in which a client reads nothing of its answer.
        write = duration(SECOND..=HOUR),
    }
}

section! {
    /// Limits of one route.
    pub struct RouteLimitsSection {
        /// Rate limits of this route. They replace the general ones of their kinds (address, route,
        /// device, token) and count this route's requests only.
        pub rate: Written<Entries<Limit>> = rates_of_routes(),
        /// Bytes of the body. Default: `limits.requests.body_bytes`.
        pub body_bytes: Written<u64> = body_size(),
    }
}

/// The size of bodies.
fn body_size() -> impl Kind<Value = u64> {
    size(0..=MIB * MIB)
}

/// The kind of the IPv6 prefix.
struct Ipv6PrefixKind;

impl Kind for Ipv6PrefixKind {
    type Value = Ipv6Prefix;

    fn read(&self, value: &Value<'_>) -> Result<Ipv6Prefix, Reported> {
        Ipv6Prefix::new(number(Ipv6Prefix::LENGTHS).read(value)?).ok_or(Reported)
    }

    fn shape(&self) -> Shape {
        number(Ipv6Prefix::LENGTHS).shape()
    }

    fn show(&self, prefix: &Ipv6Prefix) -> Option<String> {
        Some(prefix.length().to_string())
    }
}

fn most_in_flight() -> impl Kind<Value = MostInFlight> {
    custom(|value| number(COUNTS).read(value).map(MostInFlight::written), || number(COUNTS).shape())
}

/// A number that leaves some of `in_flight` for other requests.
fn less_than(in_flight: usize) -> impl Kind<Value = usize> {
    let read = move |value: &Value<'_>| {
        let reserve = number(0..=*COUNTS.end()).read(value)?;
        if reserve < in_flight {
            return Ok(reserve);
        }
        let message = format!("nothing of in_flight ({in_flight}) is left for other requests");
        Err(value.problem(message, "make it smaller; a tenth of in_flight is the default"))
    };
    custom(read, || number(0..=*COUNTS.end()).shape())
}

impl LimitsSection {
    /// The settings, with the lists of addresses read.
    pub fn resolve(
        self,
        routes: Vec<RouteLimitSettings>,
        fleet: &FleetSettings,
        report: &Report,
    ) -> Result<LimitSettings, Reported> {
        let defaults = LimitSettings::default();
        // Both lists first, so that every problem is reported.
        let allowed = LimitSettings::allowed_by_default();
        addresses::warn_of_large_ranges(&self.allow, report);
        let allow = addresses::load(self.allow, self.allow_files, &allowed, report);
        let deny = addresses::load(self.deny, self.deny_files, &[], report);
        let (offenders, offences) = match self.offenders.located() {
            None => (defaults.offenders, defaults.offences),
            Some(Located { value: None, .. }) => (None, defaults.offences),
            Some(Located { value: Some(section), at }) => {
                if section.max_ban < section.ban {
                    report.problem(&at, "max_ban is shorter than ban", "make it at least as long");
                }
                let OffendersSection { failures, reasons, within, ban, max_ban, keys } = section;
                let offences = reasons.value().map(|reasons| usable(reasons).collect());
                let rules = OffenderRules { failures, within, ban, max_ban, keys };
                (Some(rules), offences.unwrap_or(defaults.offences))
            }
        };
        let mut rates = self.rate.value().map_or(defaults.rates, |rates| named(rates, report));
        let mut routes = routes;
        let of_routes = routes.iter_mut().flat_map(|route| &mut route.rates);
        rates.iter_mut().chain(of_routes).for_each(|limit| limit.divide(fleet.divisor()));
        Ok(LimitSettings {
            ipv6_prefix: self.ipv6_prefix,
            rates,
            shared: fleet.shared_limits(),
            rate_fields: self.rate_fields,
            routes,
            offenders,
            offences,
            allow: allow?,
            deny: deny?,
            connections: self.connections,
            requests: self.requests,
            time: self.time,
        })
    }
}

impl RouteLimitsSection {
    /// The settings of one route with this policy.
    pub fn resolve(self, policy: Policy, report: &Report) -> RouteLimitSettings {
        if let Some(rates) = self.rate.get() {
            warn_of_useless_rates(&rates.value, policy, report);
        }
        RouteLimitSettings {
            rates: self.rate.value().map_or(Vec::new(), |rates| named(rates, report)),
            body_bytes: self.body_bytes.value(),
        }
    }
}
