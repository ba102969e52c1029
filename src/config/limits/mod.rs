//! The limits: which keys there are, their defaults, and what does not go together.
//!
//! The defaults suit a listener that anybody can reach; `conf/gateway.yaml` has the reason for each
//! number.

mod addresses;
mod rates;

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use crate::approov::{Rejection, Rejections};
use crate::limits::{ConnectionLimits, Ipv6Prefix, LimitSettings, OffenderRules, RequestLimits, TimeLimits};

use super::error::{Report, Reported};
use super::file::{RouteSection, duration};
use super::quantity;
use super::reader::{Mapping, Value};
use addresses::AddressSection;
use rates::{KEYS, RateSection};

pub(super) use rates::of_route;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How many of anything at once.
const COUNTS: RangeInclusive<usize> = 1..=1_000_000;

const MIB: u64 = 1024 * 1024;

/// Pingora's parser takes no more fields (`MAX_HEADERS` in its `v1/common.rs`).
const MAX_FIELDS: usize = 256;

/// The largest body that can be allowed.
const MAX_BODY: u64 = MIB * MIB;

/// `limits` as it was written, with the defaults of what one key alone decides.
pub(super) struct LimitsSection {
    ipv6_prefix: Ipv6Prefix,
    rates: Option<RateSection>,
    rate_fields: bool,
    offenders: Option<OffenderRules>,
    offences: Rejections,
    allow: AddressSection,
    deny: AddressSection,
    connections: ConnectionLimits,
    requests: RequestLimits,
    time: TimeLimits,
}

impl Default for LimitsSection {
    fn default() -> Self {
        let defaults = LimitSettings::default();
        Self {
            ipv6_prefix: Ipv6Prefix::default(),
            rates: None,
            rate_fields: false,
            offenders: defaults.offenders,
            offences: defaults.offences,
            allow: AddressSection::default(),
            deny: AddressSection::default(),
            connections: ConnectionLimits::default(),
            requests: RequestLimits::default(),
            time: TimeLimits::default(),
        }
    }
}

/// Reads the section, but none of the files that it names.
pub(super) fn read(root: &Mapping<'_>, folder: &Path) -> LimitsSection {
    let limits = root.section(
        "limits",
        &[
            "ipv6_prefix",
            "rate",
            "rate_fields",
            "offenders",
            "allow",
            "allow_files",
            "deny",
            "deny_files",
            "connections",
            "requests",
            "time",
        ],
    );
    let (offenders, offences) = offenders(limits.find("offenders"));
    LimitsSection {
        ipv6_prefix: limits.read("ipv6_prefix", ipv6_prefix).unwrap_or_default(),
        rates: limits.find("rate").and_then(rates::general),
        rate_fields: limits.read("rate_fields", Value::boolean).unwrap_or_default(),
        offenders,
        offences,
        allow: AddressSection::read(&limits, "allow", "allow_files", folder),
        deny: AddressSection::read(&limits, "deny", "deny_files", folder),
        connections: connections(&limits),
        requests: requests(&limits),
        time: time(&limits),
    }
}

fn ipv6_prefix(value: &Value<'_>) -> Result<Ipv6Prefix, Reported> {
    let lengths = usize::from(*Ipv6Prefix::LENGTHS.start())..=usize::from(*Ipv6Prefix::LENGTHS.end());
    let length = value.integer(lengths)?;
    u8::try_from(length).ok().and_then(Ipv6Prefix::new).ok_or(Reported)
}

fn offenders(value: Option<&Value<'_>>) -> (Option<OffenderRules>, Rejections) {
    let usual = LimitSettings::default().offences;
    let default = OffenderRules::default();
    let Some(value) = value else { return (Some(default), usual) };
    if value.is_word("off") {
        return (None, usual);
    }
    let offenders = value.mapping(&["failures", "reasons", "within", "ban", "max_ban", "keys"]);
    let time = |key| offenders.read(key, |value| duration(value, SECOND..=DAY));
    let failures = offenders.read("failures", |value| value.integer(1..=10_000));
    let words = Rejection::ALL.map(|rejection| (rejection.label(), rejection));
    let reasons = offenders.find("reasons").and_then(|value| value.list_of(|value| value.word(&words)));
    let rules = OffenderRules {
        failures: failures.and_then(|failures| u16::try_from(failures).ok()).unwrap_or(default.failures),
        within: time("within").unwrap_or(default.within),
        ban: time("ban").unwrap_or(default.ban),
        max_ban: time("max_ban").unwrap_or(default.max_ban),
        keys: offenders.read("keys", |value| value.integer(KEYS)).unwrap_or(default.keys),
    };
    if rules.max_ban < rules.ban {
        offenders.problem("max_ban is shorter than ban", "make it at least as long");
    }
    (Some(rules), reasons.map_or(usual, |reasons| reasons.into_iter().collect()))
}

fn connections(limits: &Mapping<'_>) -> ConnectionLimits {
    let keys = &["total", "per_listener", "per_address", "rate", "burst", "requests", "age"];
    let connections = limits.section("connections", keys);
    let count = |key| connections.read(key, |value| value.integer(COUNTS));
    let default = ConnectionLimits::default();
    let total = count("total").unwrap_or(default.total);
    let per_listener = count("per_listener").unwrap_or(total);
    let per_address = count("per_address").unwrap_or(default.per_address);
    let rate = connections.read("rate", |value| value.parse(quantity::rate)).map(|rate| rate.value);
    let burst = rates::burst(&connections);
    ConnectionLimits {
        total,
        per_listener,
        per_address,
        rate: rate.unwrap_or(default.rate),
        burst: burst.or(rate.map(|rate| rate.requests)).unwrap_or(default.burst),
        requests: count("requests").unwrap_or(default.requests),
        age: connections.read("age", |value| duration(value, SECOND..=DAY)).unwrap_or(default.age),
    }
}

fn requests(limits: &Mapping<'_>) -> RequestLimits {
    let requests = limits.section(
        "requests",
        &[
            "in_flight",
            "reserve",
            "per_address",
            "header_bytes",
            "header_count",
            "target_bytes",
            "body_bytes",
            "body_rate",
        ],
    );
    let count = |key| requests.read(key, |value| value.integer(COUNTS));
    let bytes = |key, range| requests.read(key, |value| size(value, range));
    let default = RequestLimits::default();
    let in_flight = count("in_flight").unwrap_or(default.in_flight);
    let reserve = |value: &Value<'_>| {
        let reserve = value.integer(0..=*COUNTS.end())?;
        if reserve < in_flight {
            return Ok(reserve);
        }
        let message = format!("nothing of in_flight ({in_flight}) is left for other requests");
        Err(value.problem(message, "make it smaller; a tenth of in_flight is the default"))
    };
    RequestLimits {
        in_flight,
        reserve: requests.read("reserve", reserve).unwrap_or(in_flight / 10),
        per_address: count("per_address").unwrap_or(default.per_address),
        header_bytes: bytes("header_bytes", 1024..=MIB).unwrap_or(default.header_bytes),
        header_count: requests
            .read("header_count", |value| value.integer(10..=MAX_FIELDS))
            .unwrap_or(default.header_count),
        target_bytes: bytes("target_bytes", 256..=MIB).unwrap_or(default.target_bytes),
        body_bytes: requests.read("body_bytes", body_bytes).unwrap_or(default.body_bytes),
        body_rate: bytes("body_rate", 0..=MIB).unwrap_or(default.body_rate),
    }
}

fn time(limits: &Mapping<'_>) -> TimeLimits {
    let time = limits.section("time", &["handshake", "header", "body", "idle", "write"]);
    let time = |key, default| time.read(key, |value| duration(value, SECOND..=HOUR)).unwrap_or(default);
    let default = TimeLimits::default();
    TimeLimits {
        handshake: time("handshake", default.handshake),
        header: time("header", default.header),
        body: time("body", default.body),
        idle: time("idle", default.idle),
        write: time("write", default.write),
    }
}

fn size(value: &Value<'_>, range: RangeInclusive<u64>) -> Result<u64, Reported> {
    value.parse(|text| quantity::size(text, range)).map(|size| size.value)
}

/// The length of a route's bodies.
pub(super) fn body_bytes(value: &Value<'_>) -> Result<u64, Reported> {
    size(value, 0..=MAX_BODY)
}

/// Fills in the defaults, reads the lists, and checks what takes several values.
pub(super) fn limits(
    section: LimitsSection,
    routes: Option<&[Result<RouteSection, Reported>]>,
    report: &Report,
) -> Result<LimitSettings, Reported> {
    let defaults = LimitSettings::default();
    // Both first, so that every problem is told.
    let allow = section.allow.load(&LimitSettings::allowed_by_default(), report);
    let deny = section.deny.load(&[], report);
    let rates = section.rates.map_or(defaults.rates, |rates| rates::named(&rates, report));
    let routes = rates::of_routes(routes, report);
    Ok(LimitSettings {
        ipv6_prefix: section.ipv6_prefix,
        rates,
        rate_fields: section.rate_fields,
        routes,
        offenders: section.offenders,
        offences: section.offences,
        allow: allow?,
        deny: deny?,
        connections: section.connections,
        requests: section.requests,
        time: section.time,
    })
}
