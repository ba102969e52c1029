//! The route table: names, defaults, origins by position, and what looks like a mistake.

use crate::approov::Strategy;
use crate::policy::{HostPattern, PathPattern, Policy, Route};

use super::error::{Located, Location, Report, Reported, quoted, suggest};
use super::file::{PathMatch, RouteSection};
use super::reader::{is_name, list_names};

/// The routes of the file in order, or the one route of a gateway without any. `origins` are the
/// names of the origins, in order.
pub(super) fn routes(
    sections: Option<Located<Vec<Result<RouteSection, Reported>>>>,
    strategy: Strategy,
    origins: &[&str],
    whole: &Location,
    report: &Report,
) -> Vec<Route> {
    let Some(Located { value: sections, at }) = sections else {
        if origins.len() > 1 {
            let names = list_names(origins.iter().copied());
            let message = format!("there are several origins ({names}) and no routes");
            report.problem(whole, message, "write routes, each with its origin");
        }
        return vec![whole_api(strategy)];
    };
    if sections.is_empty() {
        report.problem(&at, "the list is empty", "write a route, or remove the key to protect every path");
    }
    let names = Names::of(&sections, report);
    let mut table: Vec<(Route, Location)> = Vec::with_capacity(sections.len());
    for (section, name) in sections.into_iter().zip(names.0) {
        let Ok(section) = section else { continue };
        warn(&section, report);
        let at = section.at.clone();
        let route = route(section, name, strategy, origins, report);
        if let Some((_, earlier)) = table.iter().find(|(earlier, _)| covers(earlier, &route)) {
            let message = format!("this route never matches: {} takes all its requests", earlier.name());
            report.warning(&at, message, "move it up, or remove it");
        }
        table.push((route, at));
    }
    table.into_iter().map(|(route, _)| route).collect()
}

/// Everything protected.
fn whole_api(strategy: Strategy) -> Route {
    Route {
        name: "/".into(),
        path: PathPattern::Prefix("/".into()),
        methods: Vec::new(),
        hosts: Vec::new(),
        policy: Policy::Protect,
        strategy,
        origin: 0,
    }
}

fn route(
    section: RouteSection,
    name: Box<str>,
    strategy: Strategy,
    origins: &[&str],
    report: &Report,
) -> Route {
    let policy = section.policy.unwrap_or(Policy::Protect);
    let origin = origin(&section, policy, origins, report).unwrap_or_default();
    let path = section.path.value;
    Route {
        name,
        path: match section.kind {
            None => PathPattern::from_path(&path),
            Some(PathMatch::Exact) => PathPattern::Exact(path),
            Some(PathMatch::Prefix) => PathPattern::Prefix(path),
        },
        methods: section.methods,
        hosts: section.hosts,
        policy,
        strategy: section.strategy.map_or(strategy, |strategy| strategy.value),
        origin,
    }
}

fn origin(
    section: &RouteSection,
    policy: Policy,
    origins: &[&str],
    report: &Report,
) -> Result<usize, Reported> {
    match &section.origin {
        Some(Located { value: name, at }) => {
            origins.iter().position(|origin| *origin == name.as_str()).ok_or_else(|| {
                let mend = suggest(name, origins.iter().copied().filter(|origin| is_name(origin)));
                report.problem(at, format!("there is no origin {}", quoted(name)), mend)
            })
        }
        None if origins.len() > 1 && policy != Policy::Deny => {
            let mend = format!("write origin: and one of {}", list_names(origins.iter().copied()));
            Err(report.problem(&section.at, "origin is missing, and there are several", mend))
        }
        None => Ok(0),
    }
}

fn warn(section: &RouteSection, report: &Report) {
    let path = &section.path;
    if matches!(section.kind, Some(PathMatch::Prefix)) && !path.value.ends_with('/') {
        let message = format!("as a prefix, {} takes other names that begin so as well", quoted(&path.value));
        let mend = "end the path in /, and add an exact route for the path itself if it exists";
        report.warning(&path.at, message, mend);
    }
    let has_one_spelling = |c: char| c.is_ascii_alphanumeric() || "-._~/".contains(c);
    if let Some(found) = path.value.chars().find(|c| !has_one_spelling(*c)) {
        // RFC 3986 §2.2 and §6.2.2.1: escaped or not, and %c3 or %C3, is the same to many servers.
        let message = format!(
            "{} has several spellings, and this route takes only this one",
            quoted(&found.to_string())
        );
        let mend = "make sure that other spellings meet no weaker route, or choose the path above it";
        report.warning(&path.at, message, mend);
    }
    if let (Some(strategy), Some(policy @ (Policy::Open | Policy::Deny))) =
        (&section.strategy, section.policy)
    {
        let message =
            format!("the policy {} verifies nothing, so that the strategy has no effect", policy.label());
        report.warning(&strategy.at, message, "remove it, or use policy protect or observe");
    }
}

/// The names of the routes in metrics and logs, each once.
struct Names(Vec<Box<str>>);

impl Names {
    fn of(sections: &[Result<RouteSection, Reported>], report: &Report) -> Self {
        let mut taken: Vec<&str> = Vec::new();
        for section in sections.iter().flatten() {
            let Some(Located { value: name, at }) = &section.name else { continue };
            if taken.contains(&name.as_str()) {
                let message = format!("the name {} is already that of another route", quoted(name));
                report.problem(at, message, "metrics could not tell them apart; choose another");
            }
            taken.push(name);
        }
        let mut names: Vec<Box<str>> = Vec::with_capacity(sections.len());
        for section in sections {
            let name = match section {
                Ok(RouteSection { name: Some(name), .. }) => name.value.as_str().into(),
                Ok(RouteSection { path, .. }) => {
                    let is_free =
                        |name: &str| !taken.contains(&name) && names.iter().all(|other| **other != *name);
                    let numbered = (2..).map(|number| format!("{} #{number}", path.value));
                    let first = std::iter::once(path.value.to_string());
                    first.chain(numbered).find(|name| is_free(name)).unwrap_or_default().into()
                }
                Err(Reported) => Box::default(),
            };
            names.push(name);
        }
        Self(names)
    }
}

/// Whether `earlier` takes every request that `later` would.
fn covers(earlier: &Route, later: &Route) -> bool {
    let path = match (&earlier.path, &later.path) {
        (PathPattern::Prefix(earlier), PathPattern::Prefix(later) | PathPattern::Exact(later)) => {
            later.starts_with(&**earlier)
        }
        (PathPattern::Exact(earlier), PathPattern::Exact(later)) => earlier == later,
        (PathPattern::Exact(_), PathPattern::Prefix(_)) => false,
    };
    path && covers_all(&earlier.methods, &later.methods, |earlier, later| earlier == later)
        && covers_all(&earlier.hosts, &later.hosts, host_covers)
}

/// The same for lists of conditions, of which an empty one takes everything.
fn covers_all<T>(earlier: &[T], later: &[T], covers: impl Fn(&T, &T) -> bool) -> bool {
    earlier.is_empty()
        || (!later.is_empty()
            && later.iter().all(|later| earlier.iter().any(|earlier| covers(earlier, later))))
}

fn host_covers(earlier: &HostPattern, later: &HostPattern) -> bool {
    match (earlier, later) {
        (HostPattern::Exact(earlier), HostPattern::Exact(later)) => earlier == later,
        (HostPattern::Suffix(earlier), HostPattern::Exact(later) | HostPattern::Suffix(later)) => {
            later.ends_with(&**earlier)
        }
        (HostPattern::Exact(_), HostPattern::Suffix(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(path: &str, methods: &[&str], hosts: &[&str]) -> Route {
        Route {
            path: PathPattern::from_path(path),
            methods: methods.iter().map(|method| (*method).into()).collect(),
            hosts: hosts
                .iter()
                .map(|host| match host.strip_prefix('*') {
                    Some(suffix) => HostPattern::Suffix(suffix.into()),
                    None => HostPattern::Exact((*host).into()),
                })
                .collect(),
            ..whole_api(Strategy::Token)
        }
    }

    #[test]
    fn an_earlier_route_covers_a_later_one_if_every_condition_does() {
        let mut cases = 0;
        for (earlier, later, expected) in [
            (with("/", &[], &[]), with("/v1", &["GET"], &["a"]), true),
            (with("/v1/", &[], &[]), with("/v1/a/", &[], &[]), true),
            (with("/v1/", &[], &[]), with("/v1", &[], &[]), false),
            (with("/v1", &[], &[]), with("/v1", &[], &[]), true),
            (with("/v1", &[], &[]), with("/v1/", &[], &[]), false),
            (with("/", &["GET"], &[]), with("/v1", &[], &[]), false),
            (with("/", &["GET", "PUT"], &[]), with("/v1", &["PUT"], &[]), true),
            (with("/", &["GET"], &[]), with("/v1", &["GET", "PUT"], &[]), false),
            (with("/", &[], &["*.a"]), with("/", &[], &["b.a", "*.c.a"]), true),
            (with("/", &[], &["*.a"]), with("/", &[], &["a"]), false),
            (with("/", &[], &["b.a"]), with("/", &[], &["*.a"]), false),
            (with("/", &[], &["b.a"]), with("/", &[], &[]), false),
        ] {
            assert_eq!(covers(&earlier, &later), expected, "{earlier:?} {later:?}");
            cases += 1;
        }
        assert_eq!(cases, 12);
    }
}
