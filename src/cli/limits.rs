//! The limits in a few lines, for `check`.

use crate::config::{Settings, show_duration, show_rate, show_size};
use crate::limits::LimitSettings;
use crate::limits::{By, Limit};
use crate::policy::{Policy, Route};

/// All of them: for each line what it is about and what it says.
pub(super) fn summary(settings: &Settings) -> Vec<(&'static str, String)> {
    let limits = &settings.limits;
    let mut lines: Vec<_> = limits.rates.iter().map(|limit| ("limit", show_limit(limit))).collect();
    for (index, route) in settings.routes.routes().iter().enumerate() {
        let Some(own) = limits.of_route(index) else { continue };
        let rates = own.rates.iter().map(show_limit);
        let body = own.body_bytes.map(|bytes| format!("body {}", show_size(bytes)));
        lines.extend(rates.chain(body).map(|text| ("limit", format!("{}: {text}", route.name))));
    }
    lines.push(("offenders", show_offenders(limits)));
    let (allowed, denied) = (limits.allow.ranges(), limits.deny.ranges());
    lines.push(("addresses", format!("{allowed} ranges allowed, {denied} denied")));
    let connections = limits.connections;
    let rate = show_rate(connections.rate);
    lines.push((
        "connections",
        format!("{}, of one address {} and {rate}", connections.total, connections.per_address),
    ));
    let requests = limits.requests;
    let most = requests.in_flight;
    let reason = most.memory.filter(|_| most.is_limited_by_memory());
    let reason = reason.map_or(String::new(), |bytes| format!(" (fitting {} MiB of memory)", bytes >> 20));
    lines.push((
        "requests",
        format!("{} at once{reason}, {} of them for verified ones", most.requests, requests.reserve),
    ));
    let sizes = [requests.header_bytes, requests.target_bytes, requests.body_bytes].map(show_size);
    lines.push(("sizes", format!("header {}, target {}, body {}", sizes[0], sizes[1], sizes[2])));
    let times = [limits.time.header, limits.time.body, limits.time.idle].map(show_duration);
    lines.push(("times", format!("header {}, body {}, idle {}", times[0], times[1], times[2])));
    lines
}

/// What requests of a route meet.
pub(super) fn of_route(limits: &LimitSettings, index: usize, route: &Route) -> Vec<String> {
    let is_met = |limit: &&&Limit| match (route.policy, limit.by) {
        (Policy::Protect | Policy::Observe, _) => true,
        (Policy::Open, By::Device | By::Token) => false,
        (Policy::Open, _) => true,
        (Policy::Deny, by) => by.is_before_verification(),
    };
    let mut lines: Vec<_> =
        limits.rates_of_route(index).iter().filter(is_met).map(|limit| show_limit(limit)).collect();
    if route.policy == Policy::Deny {
        return lines;
    }
    let requests = limits.requests;
    let at_once = match route.policy {
        Policy::Open => requests.in_flight.requests - requests.reserve,
        _ => requests.in_flight.requests,
    };
    lines.push(format!("at once {at_once}, of one address {}", requests.per_address));
    let body = limits.of_route(index).and_then(|own| own.body_bytes).unwrap_or(requests.body_bytes);
    let [header, target, body] = [requests.header_bytes, requests.target_bytes, body].map(show_size);
    lines.push(format!("header {header} in {} fields, target {target}, body {body}", requests.header_count));
    lines
}

fn show_limit(limit: &Limit) -> String {
    let Limit { name, by, rate, burst, observe, nodes, .. } = limit;
    let name = if **name == *by.label() { String::new() } else { format!(" ({name})") };
    let observe = if *observe { ", observing only" } else { "" };
    let divided = match nodes.get() {
        1 => String::new(),
        nodes => format!(", divided by {nodes} nodes"),
    };
    format!("by {}: {}, burst {burst}{divided}{observe}{name}", by.label(), show_rate(*rate))
}

fn show_offenders(limits: &LimitSettings) -> String {
    let Some(rules) = limits.offenders else { return "never banned".to_owned() };
    let [within, ban, max_ban] = [rules.within, rules.ban, rules.max_ban].map(show_duration);
    format!("banned for {ban} to {max_ban} after {} failures within {within}", rules.failures)
}
