//! Rate limits: of all requests, and of routes.

use std::num::NonZeroU32;

use super::KEYS;
use crate::config::document::{
    Entries, Kind, Located, Report, Reported, Section, Shape, Value, Written, alternatives, boolean, custom,
    default, list, number, positive, quoted, required, section, text, words,
};
use crate::config::values::{rate, short_name};
use crate::limits::{By, Limit, Rate};
use crate::policy::Policy;

/// Limits in one list. Each limit costs every request.
const MAX_LIMITS: usize = 16;

section! {
    /// One rate limit.
    struct RateSection {
        /// What has its own count: each client `address`, all requests in `total`, each `route`, each
        /// verified `device` (claim `did`), each `token`, or each `origin`. A route's own limits
        /// cannot be by `total` or `origin`.
        by: Located<By> = required(
            words(By::ALL.map(|by| (by.label(), by))),
            "write by: and one of address, total, route, device, token, origin",
        ),
        /// The rate.
        rate: Located<Rate> = required(rate(), "write one such as rate: 50/s"),
        /// Requests at once after a pause. Default: the number of the rate.
        burst: Written<NonZeroU32> = positive(Limit::MAX_BURST),
        /// Whether the limit only counts what it would refuse.
        observe: bool = default(boolean(), false),
        /// Addresses, devices or tokens that are remembered, 17 bytes each. Requests without room
        /// are limited more strictly. Default: 65536.
        keys: Written<usize> = number(KEYS),
        /// The name in answers, metrics and logs; each name once in a list. Default: the word of `by`.
        name: Written<Box<str>> = text("1 to 32 letters, digits, `-`, `_` or `.`", |text| short_name(text, "limit")),
    }
}

/// The list `rate` of `limits`.
pub fn rates_of_limits() -> impl Kind<Value = Entries<Limit>> {
    rates(&By::ALL)
}

/// The list `rate` of a route. All requests of a route have one origin.
pub fn rates_of_routes() -> impl Kind<Value = Entries<Limit>> {
    rates(&[By::Address, By::Route, By::Device, By::Token])
}

fn rates(kinds: &'static [By]) -> impl Kind<Value = Entries<Limit>> {
    let shape = || Shape::Section(RateSection::specs());
    let limits = move |value: &Value<'_>| {
        let limits = list(custom(|value| limit(value, kinds), shape)).read(value)?;
        if limits.len() > MAX_LIMITS {
            let message = format!("there are more than {MAX_LIMITS} limits");
            value.problem(message, "each costs every request; remove some");
        }
        Ok(limits)
    };
    custom(limits, || Shape::List { of: Box::new(Shape::Section(RateSection::specs())), may_be_empty: true })
}

fn limit(value: &Value<'_>, kinds: &[By]) -> Result<Limit, Reported> {
    let RateSection { by, rate, burst, observe, keys, name } =
        crate::config::document::nested().read(value)?;
    let (Located { value: by, at }, rate) = (by, rate.value);
    if !kinds.contains(&by) {
        let names: Vec<_> = kinds.iter().map(|by| by.label()).collect();
        let message = format!("{} is not known here", quoted(by.label()));
        return Err(value.problem_at(&at, message, format!("use {}", alternatives(&names))));
    }
    if let (Written::Good(_), By::Total | By::Route | By::Origin) = (&keys, by) {
        let message = format!("a limit by {} has no keys to remember", by.label());
        return Err(value.problem(message, "remove keys"));
    }
    Ok(Limit {
        name: name.value().unwrap_or_else(|| by.label().into()),
        by,
        rate,
        burst: burst.or(rate.requests),
        observe,
        keys: keys.or(Limit::DEFAULT_KEYS),
        nodes: NonZeroU32::MIN,
    })
}

/// The limits of a list. Each name may occur once.
pub fn named(entries: Entries<Limit>, report: &Report) -> Vec<Limit> {
    let mut limits: Vec<Limit> = Vec::with_capacity(entries.len());
    for Located { value: limit, at } in entries.into_iter().flatten() {
        if limits.iter().any(|other| other.name == limit.name) {
            let message = format!("the name {} is already that of another limit", quoted(&limit.name));
            report.problem(&at, message, "metrics could not tell them apart; write name: and another");
        }
        limits.push(limit);
    }
    limits
}

/// Warns of limits that have no effect under the policy of their route.
pub fn warn_of_useless_rates(entries: &Entries<Limit>, policy: Policy, report: &Report) {
    for Located { value: limit, at } in entries.iter().flatten() {
        let message = match (policy, limit.by.is_before_verification()) {
            (Policy::Deny, _) => "the policy deny refuses every request",
            (Policy::Open, false) => "the policy open verifies nothing",
            _ => continue,
        };
        let message = format!("{message}, so a limit by {} has no effect", limit.by.label());
        report.warning(at, message, "remove it, or use another policy");
    }
}
