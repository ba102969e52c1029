//! Rate limits: of all requests, and of routes.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;

use crate::limits::{By, Limit, RouteLimitSettings};
use crate::policy::Policy;

use super::super::error::{Fault, Located, Report, Reported, quoted};
use super::super::file::RouteSection;
use super::super::quantity;
use super::super::reader::{Mapping, Value};

/// For how many keys memory can be asked: up to 18 bytes, or 60, for each.
pub(super) const KEYS: RangeInclusive<usize> = 1024..=16 * 1024 * 1024;

/// More in one list than anybody can follow.
const MAX_LIMITS: usize = 16;

/// What routes may count by: they are not all, and have one origin.
const OF_ROUTES: [By; 4] = [By::Address, By::Route, By::Device, By::Token];

/// A list of limits.
pub(in crate::config) type RateSection = Vec<Located<Limit>>;

/// The list `rate` of `limits`.
pub(super) fn general(value: &Value<'_>) -> Option<RateSection> {
    list(value, &By::ALL)
}

/// The list `rate` of a route's limits.
pub(in crate::config) fn of_route(value: &Value<'_>) -> Option<RateSection> {
    list(value, &OF_ROUTES)
}

fn list(value: &Value<'_>, kinds: &[By]) -> Option<RateSection> {
    let limits = value.list_of(|value| limit(value, kinds))?;
    if limits.len() > MAX_LIMITS {
        value.problem(
            format!("there are more than {MAX_LIMITS} limits"),
            "each costs every request; remove some",
        );
    }
    Some(limits)
}

fn limit(value: &Value<'_>, kinds: &[By]) -> Result<Located<Limit>, Reported> {
    let limit = value.mapping(&["by", "rate", "burst", "observe", "keys", "name"]);
    let words: Vec<_> = kinds.iter().map(|by| (by.label(), *by)).collect();
    let by = match limit.find("by") {
        Some(by) => by.word(&words),
        None => {
            let names: Vec<_> = words.iter().map(|(name, _)| *name).collect();
            Err(limit.missing("by", format!("write by: and one of {}", names.join(", "))))
        }
    };
    let rate = match limit.find("rate") {
        Some(rate) => rate.parse(quantity::rate).map(|rate| rate.value),
        None => Err(limit.missing("rate", "write one such as rate: 50/s")),
    };
    let burst = burst(&limit);
    let observe = limit.read("observe", Value::boolean).unwrap_or(false);
    let keys = limit.read("keys", |value| value.integer(KEYS));
    let name = limit.read("name", |value| value.parse(name)).map(|name| name.value);
    let (by, rate) = (by?, rate?);
    if let (Some(_), By::Total | By::Route | By::Origin) = (keys, by) {
        let message = format!("a limit by {} has no keys to remember", by.label());
        return Err(limit.problem(message, "remove keys"));
    }
    let limit = Limit {
        name: name.unwrap_or_else(|| by.label().into()),
        by,
        rate,
        burst: burst.unwrap_or(rate.requests),
        observe,
        keys: keys.unwrap_or(Limit::DEFAULT_KEYS),
    };
    Ok(Located { value: limit, at: value.at().clone() })
}

/// The number behind `burst`.
pub(super) fn burst(limit: &Mapping<'_>) -> Option<NonZeroU32> {
    let burst = limit.read("burst", |value| value.integer(1..=Limit::MAX_BURST as usize))?;
    NonZeroU32::new(u32::try_from(burst).ok()?)
}

/// A name that stands in a `RateLimit` field as it is (RFC 9651 §3.3.3).
fn name(text: &str) -> Result<Box<str>, Fault> {
    let is_name = (1..=32).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if is_name {
        Ok(text.into())
    } else {
        let message = format!("{} is not a name for a limit", quoted(text));
        Err(Fault::new(message, "write 1 to 32 letters, digits, -, _ or ."))
    }
}

/// The limits of a list, each with a name of its own.
pub(super) fn named(section: &[Located<Limit>], report: &Report) -> Vec<Limit> {
    for (index, Located { value: limit, at }) in section.iter().enumerate() {
        if section[..index].iter().any(|other| other.value.name == limit.name) {
            let message = format!("the name {} is already that of another limit", quoted(&limit.name));
            report.problem(at, message, "metrics could not tell them apart; write name: and another");
        }
    }
    section.iter().map(|limit| limit.value.clone()).collect()
}

/// What routes have of their own, by position.
pub(super) fn of_routes(
    routes: Option<&[Result<RouteSection, Reported>]>,
    report: &Report,
) -> Vec<RouteLimitSettings> {
    let of_route = |route: &RouteSection| {
        let policy = route.policy.unwrap_or(Policy::Protect);
        for Located { value: limit, at } in &route.rates {
            let message = match (policy, limit.by.is_before_verification()) {
                (Policy::Deny, _) => "the policy deny refuses every request",
                (Policy::Open, false) => "the policy open verifies nothing",
                _ => continue,
            };
            let message = format!("{message}, so that a limit by {} has no effect", limit.by.label());
            report.warning(at, message, "remove it, or use another policy");
        }
        RouteLimitSettings { rates: named(&route.rates, report), body_bytes: route.body_bytes }
    };
    routes.unwrap_or_default().iter().flatten().map(of_route).collect()
}
