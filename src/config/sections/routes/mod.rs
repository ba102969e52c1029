//! `routes`: which policy a request meets.

mod doubts;

use std::collections::{HashMap, HashSet};
use std::net::Ipv6Addr;

use super::approov::STRATEGIES;
use super::certificate_condition::{Condition, IF_EMPTY, entries};
use super::limits::RouteLimitsSection;
use super::route_options::{RequiredClaims, share, show_share};
use crate::approov::message_signing::Mode;
use crate::approov::{ClaimCondition, Strategy};
use crate::config::document::{
    Entries, Fault, Located, Location, Report, Reported, Written, always, default, is_name, list, list_names,
    quoted, required, section, suggest, text, words,
};
use crate::config::values::{host_name, method, printable, route_path};
use crate::limits::RouteLimitSettings;
use crate::policy::{
    CertificateCondition, HostPattern, LookAlikes, PathPattern, Policy, Preflight, Route, RouteOptions,
    RouteTable, Share,
};

section! {
    /// One route. A request meets the first route whose conditions all hold.
    pub struct RouteSection {
        /// The path. It begins with `/`. A path that ends in `/` takes everything below it, another
        /// path only itself. Paths are case-sensitive.
        path: Located<Box<str>> = required(text("path", route_path), "write one such as path: /v1/"),
        /// How the path is compared: `exact` or `prefix`. Default: as the path ends.
        kind as "match": Written<PathMatch> =
            words([("exact", PathMatch::Exact), ("prefix", PathMatch::Prefix)]),
        /// The methods that the route takes, in upper case. Default: any.
        methods: Written<Entries<Box<str>>> = list(text("method", method)).not_empty(IF_EMPTY),
        /// The hosts that the route takes: names, or `*.example.com` for all names below it. Default: any.
        hosts: Written<Entries<HostPattern>> =
            list(text("host name or `*.` and a domain", host_pattern)).not_empty(IF_EMPTY),
        /// The client certificates that the route takes: `any` that the listener has verified, or
        /// conditions. The next route is tried for a client without such a certificate. Default:
        /// clients with and without certificate.
        client_certificate: Written<CertificateCondition> = Condition,
        /// `protect` verifies and refuses what fails; `observe` verifies, counts and forwards
        /// whatever the verdict; `open` forwards without verification; `deny` refuses.
        policy: Policy = default(words(Policy::ALL.map(|policy| (policy.label(), policy))), Policy::Protect),
        /// The strategy of this route. Default: that of `approov`.
        strategy: Written<Strategy> = words(STRATEGIES),
        /// Message signatures: `off`, `observe`, `when_keyed` or `required`. Default: the mode of
        /// `approov.message_signing`.
        message_signing: Written<Mode> = words(Mode::ALL.map(|mode| (mode.label(), mode))),
        /// Conditions on the claims of a token, which must all hold: `present`, `absent`, a text, or a
        /// list of texts. Default: none.
        require_claims: Written<Vec<ClaimCondition>> = RequiredClaims,
        /// The share of clients for which `protect` refuses; the others are observed. A client is always
        /// on the same side: by the device of its token, else by its address.
        enforce: Share = default(text("percentage", share).shown(show_share), Share::ALL),
        /// CORS preflights, which carry no token: `verify` refuses them, `forward` lets the origin answer
        /// them, `answer` lets the gateway answer them.
        preflight: Preflight = default(
            words(Preflight::ALL.map(|preflight| (preflight.label(), preflight))),
            Preflight::Verify,
        ),
        /// The origin that gets the requests. Default: the only one.
        origin: Written<String> = text("name of an origin", |name| Ok(name.to_owned())),
        /// The name in metrics and logs. Default: the path.
        name: Written<String> = text("name", printable),
        /// Limits of this route.
        limits: RouteLimitsSection = always::<RouteLimitsSection>(),
    }
}

/// How a route's path is compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PathMatch {
    Exact,
    Prefix,
}

/// The names and defaults that routes refer to.
pub struct RouteContext<'s> {
    /// The strategy of routes without their own.
    pub strategy: Strategy,
    /// The message signing of routes without their own.
    pub message_signing: Mode,
    /// The names of the origins, in order.
    pub origins: &'s [&'s str],
    /// Whether a listener asks clients for certificates.
    pub asks_for_certificates: bool,
    /// Which route serves a path that looks like the path of another route.
    pub look_alikes: LookAlikes,
}

/// The routes of the file with their limits, both in order; or one route that protects every path.
pub fn routes(
    sections: Written<Entries<RouteSection>>,
    around: &RouteContext<'_>,
    whole: &Location,
    report: &Report,
) -> (RouteTable, Vec<RouteLimitSettings>) {
    let sections = match sections {
        Written::Good(sections) => sections.value,
        missing => {
            if let (Written::Absent, true) = (missing, around.origins.len() > 1) {
                let names = list_names(around.origins.iter().copied());
                let message = format!("there are several origins ({names}) and no routes");
                report.problem(whole, message, "write routes, each with its origin");
            }
            return (RouteTable::new(vec![whole_api(around)]), Vec::new());
        }
    };
    let names = names(&sections, report);
    let (mut routes, mut limits, mut places) = (Vec::new(), Vec::new(), Vec::new());
    for (section, name) in sections.into_iter().zip(names) {
        let Ok(Located { value: section, at }) = section else { continue };
        doubts::of_section(&section, around.asks_for_certificates, report);
        let (route, own_limits) = route(section, name, &at, around, report);
        routes.push(route);
        limits.push(own_limits);
        places.push(at);
    }
    doubts::if_all_observe(&routes, &places, report);
    let table = RouteTable::new(routes).with_look_alikes(around.look_alikes);
    doubts::of_table(&table, &places, around.look_alikes, report);
    (table, limits)
}

/// The route of a gateway without configured routes: everything is protected.
fn whole_api(around: &RouteContext<'_>) -> Route {
    let options = RouteOptions { message_signing: around.message_signing, ..RouteOptions::default() };
    Route { options, ..Route::by_path("/", Policy::Protect, around.strategy) }
}

fn route(
    section: RouteSection,
    name: Box<str>,
    at: &Location,
    around: &RouteContext<'_>,
    report: &Report,
) -> (Route, RouteLimitSettings) {
    let origin = origin(&section, at, around.origins, report).unwrap_or_default();
    let path = section.path.value;
    let route = Route {
        name,
        path: match section.kind.value() {
            None => PathPattern::from_path(&path),
            Some(PathMatch::Exact) => PathPattern::Exact(path),
            Some(PathMatch::Prefix) => PathPattern::Prefix(path),
        },
        methods: entries(section.methods),
        hosts: entries(section.hosts),
        client_certificate: section.client_certificate.value().map(Into::into),
        policy: section.policy,
        strategy: section.strategy.or(around.strategy),
        options: RouteOptions {
            message_signing: section.message_signing.or(around.message_signing),
            require_claims: section.require_claims.value().unwrap_or_default(),
            enforce: section.enforce,
            preflight: section.preflight,
        },
        origin,
    };
    (route, section.limits.resolve(section.policy, report))
}

/// The position of the route's origin.
fn origin(
    section: &RouteSection,
    at: &Location,
    origins: &[&str],
    report: &Report,
) -> Result<usize, Reported> {
    match &section.origin {
        Written::Good(Located { value: name, at }) => {
            origins.iter().position(|origin| *origin == name.as_str()).ok_or_else(|| {
                let hint = suggest(name, origins.iter().copied().filter(|origin| is_name(origin)));
                report.problem(at, format!("there is no origin {}", quoted(name)), hint)
            })
        }
        Written::Absent if origins.len() > 1 && section.policy != Policy::Deny => {
            let hint = format!("write origin: and one of {}", list_names(origins.iter().copied()));
            Err(report.problem(at, "origin is missing, and there are several", hint))
        }
        Written::Absent | Written::Bad => Ok(0),
    }
}

/// The names of the routes in metrics and logs. Each name occurs once.
fn names(sections: &Entries<RouteSection>, report: &Report) -> Vec<Box<str>> {
    let mut taken: HashSet<Box<str>> = HashSet::new();
    for Located { value: name, at } in
        sections.iter().flatten().filter_map(|section| section.value.name.get())
    {
        if !taken.insert(name.as_str().into()) {
            let message = format!("the name {} is already that of another route", quoted(name));
            report.problem(at, message, "metrics could not tell them apart; choose another");
        }
    }
    // How many routes of each path were named after it.
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let mut name = |section: &'_ RouteSection, path: &str, count: &mut usize| {
        if let Some(name) = section.name.get() {
            return name.value.as_str().into();
        }
        loop {
            *count += 1;
            let name: Box<str> = match *count {
                1 => path.into(),
                count => format!("{path} #{count}").into(),
            };
            if taken.insert(name.clone()) {
                return name;
            }
        }
    };
    let names = sections.iter().map(|section| match section {
        Ok(Located { value: section, .. }) => {
            let path = &*section.path.value;
            name(section, path, counts.entry(path).or_default())
        }
        Err(Reported) => Box::default(),
    });
    names.collect()
}

/// A route's host condition: a host name, or `*.` and a domain.
fn host_pattern(text: &str) -> Result<HostPattern, Fault> {
    if let Some(domain) = text.strip_prefix("*.") {
        return Ok(HostPattern::Suffix(format!(".{}", host_name(domain)?).into()));
    }
    if text.contains(':') && !text.starts_with('[') {
        let hint = "remove it; a host condition looks at the name only";
        return Err(Fault::new(format!("{} has a port or scheme", quoted(text)), hint));
    }
    if let Some(address) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'))
        && let Ok(address) = address.parse::<Ipv6Addr>()
    {
        return Ok(HostPattern::Exact(format!("[{address}]").into()));
    }
    Ok(HostPattern::Exact(host_name(text)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn route_conditions_are_those_a_request_can_meet() {
        assert_eq!(host_pattern("*.Example.com"), Ok(HostPattern::Suffix(".example.com".into())));
        assert_eq!(host_pattern("API.example.com"), Ok(HostPattern::Exact("api.example.com".into())));
        assert_eq!(host_pattern("[::1]"), Ok(HostPattern::Exact("[::1]".into())));
        for text in ["*", "*.", "a.*.b", "a:80", "https://a", "", "*.*.a"] {
            assert!(host_pattern(text).is_err(), "{text}");
        }
        assert!(method("PROPFIND").is_ok());
        assert!(method("get").is_err_and(|fault| fault.hint == "write GET"));
        assert!(method("G ET").is_err() && method("").is_err());
        assert!(route_path("/v1/").is_ok());
        for text in ["v1", "", "/a?b", "/a#b", "/a//b", "/a/../b", "/v1/*", "/%2e"] {
            assert!(route_path(text).is_err(), "{text}");
        }
    }
}
