//! The route table: names, defaults, origins by position, and what looks like a mistake.

use std::collections::{HashMap, HashSet};

use crate::approov::Strategy;
use crate::policy::{PathPattern, Policy, Route, RouteTable};

use super::error::{Located, Location, Report, Reported, quoted, suggest};
use super::file::{PathMatch, RouteSection};
use super::reader::{is_name, list_names};

/// What routes refer to.
pub(super) struct Surroundings<'s> {
    /// The strategy of routes that name none.
    pub strategy: Strategy,
    /// The names of the origins, in order.
    pub origins: &'s [&'s str],
    /// Whether some listener asks clients for certificates.
    pub asks_for_certificates: bool,
}

/// The routes of the file in order, or the one route of a gateway without any.
pub(super) fn routes(
    sections: Option<Located<Vec<Result<RouteSection, Reported>>>>,
    around: &Surroundings<'_>,
    whole: &Location,
    report: &Report,
) -> RouteTable {
    let Surroundings { strategy, origins, asks_for_certificates } = *around;
    let Some(Located { value: sections, at }) = sections else {
        if origins.len() > 1 {
            let names = list_names(origins.iter().copied());
            let message = format!("there are several origins ({names}) and no routes");
            report.problem(whole, message, "write routes, each with its origin");
        }
        return RouteTable::new(vec![whole_api(strategy)]);
    };
    if sections.is_empty() {
        report.problem(&at, "the list is empty", "write a route, or remove the key to protect every path");
    }
    let names = Names::of(&sections, report);
    let (mut routes, mut places) = (Vec::with_capacity(sections.len()), Vec::with_capacity(sections.len()));
    for (section, name) in sections.into_iter().zip(names.0) {
        let Ok(section) = section else { continue };
        warn(&section, asks_for_certificates, report);
        places.push(section.at.clone());
        routes.push(route(section, name, strategy, origins, report));
    }
    let table = RouteTable::new(routes);
    for (index, at) in places.iter().enumerate() {
        if let Some(earlier) = table.covering(index) {
            let earlier = places[earlier].name();
            let message = format!("this route never matches: {earlier} takes all its requests");
            report.warning(at, message, "move it up, or remove it");
        } else if let Some(next) = table.falling_through(index) {
            let next = places[next].name();
            let message = format!("whoever has no such client certificate is served by {next} instead");
            let mend = "to refuse them, put the same route with policy: deny in place of client_certificate behind it";
            report.warning(at, message, mend);
        }
    }
    table
}

/// Everything protected.
fn whole_api(strategy: Strategy) -> Route {
    Route {
        name: "/".into(),
        path: PathPattern::Prefix("/".into()),
        methods: Vec::new(),
        hosts: Vec::new(),
        client_certificate: None,
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
        client_certificate: section.client_certificate.map(|condition| condition.value.into()),
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

fn warn(section: &RouteSection, asks_for_certificates: bool, report: &Report) {
    if let (Some(condition), false) = (&section.client_certificate, asks_for_certificates) {
        let message = "no listener asks clients for certificates, so that this route takes no request";
        report.warning(&condition.at, message, "write client_certificates in the tls of a listener");
    }
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
        let mut taken: HashSet<Box<str>> = HashSet::new();
        for section in sections.iter().flatten() {
            let Some(Located { value: name, at }) = &section.name else { continue };
            if !taken.insert(name.as_str().into()) {
                let message = format!("the name {} is already that of another route", quoted(name));
                report.problem(at, message, "metrics could not tell them apart; choose another");
            }
        }
        // How often each path has lent its name.
        let mut lent: HashMap<&str, usize> = HashMap::new();
        let names = sections.iter().map(|section| match section {
            Ok(RouteSection { name: Some(name), .. }) => name.value.as_str().into(),
            Ok(RouteSection { path, .. }) => {
                let count = lent.entry(&path.value).or_default();
                loop {
                    *count += 1;
                    let name: Box<str> = match *count {
                        1 => path.value.clone(),
                        count => format!("{} #{count}", path.value).into(),
                    };
                    if taken.insert(name.clone()) {
                        return name;
                    }
                }
            }
            Err(Reported) => Box::default(),
        });
        Self(names.collect())
    }
}
