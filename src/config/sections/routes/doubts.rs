//! Warnings about routes that can be used, but are probably not what the operator means.

use super::{PathMatch, RouteSection};
use crate::config::document::{Located, Location, Report, quoted};
use crate::policy::{LookAlikes, Policy, Route, RouteTable};

/// Warns about one route by itself.
pub(super) fn of_section(section: &RouteSection, asks_for_certificates: bool, report: &Report) {
    if let (Some(condition), false) = (section.client_certificate.get(), asks_for_certificates) {
        let message = "no listener asks clients for certificates, so this route takes no request";
        report.warning(&condition.at, message, "write client_certificates in the tls of a listener");
    }
    let Located { value: path, at } = &section.path;
    if let (Some(PathMatch::Prefix), false) = (section.kind.get().map(|kind| kind.value), path.ends_with('/'))
    {
        let message = format!("as a prefix, {} also takes longer names that begin with it", quoted(path));
        let hint = "end the path in /, and add an exact route for the path itself if it exists";
        report.warning(at, message, hint);
    }
    let takes_all = **path == *"/" && !section.methods.is_written() && !section.hosts.is_written();
    let is_exact = section.kind.get().is_some_and(|kind| kind.value == PathMatch::Exact);
    if takes_all && !is_exact && section.policy == Policy::Observe {
        let message =
            "the policy observe forwards every request that no earlier route takes, whatever its token";
        report.warning(at, message, "write policy: protect once the metrics show that clients are ready");
    }
    let has_one_spelling = |c: char| c.is_ascii_alphanumeric() || "-._~/".contains(c);
    if let Some(found) = path.chars().find(|c| !has_one_spelling(*c)) {
        // To many servers a character and its escape are the same, and so are %c3 and %C3
        // (RFC 3986 §2.2 and §6.2.2.1).
        let found = quoted(&found.to_string());
        let message = format!("{found} has several spellings, and this route takes only this one");
        let hint = "make sure that other spellings meet no weaker route, or choose the path above it";
        report.warning(at, message, hint);
    }
    if let (Some(strategy), policy @ (Policy::Open | Policy::Deny)) = (section.strategy.get(), section.policy)
    {
        let message =
            format!("the policy {} verifies nothing, so the strategy has no effect", policy.label());
        report.warning(&strategy.at, message, "remove it, or use policy protect or observe");
    }
}

/// Warns of a migration or a roll-out that was left at its first step.
pub(super) fn if_all_observe(routes: &[Route], places: &[Location], report: &Report) {
    let Some(first) = routes.iter().position(|route| route.policy == Policy::Observe) else { return };
    if !routes.iter().any(|route| route.policy == Policy::Protect) {
        let message = "no route refuses a token: every route that verifies has the policy observe";
        report.warning(
            &places[first],
            message,
            "write policy: protect once the metrics show that clients are ready",
        );
    }
}

/// Warns about routes that hide one another, or whose paths look alike. `places` are those of the routes.
pub(super) fn of_table(table: &RouteTable, places: &[Location], look_alikes: LookAlikes, report: &Report) {
    for (index, at) in places.iter().enumerate() {
        if let Some(earlier) = table.covering(index) {
            let earlier = places[earlier].name();
            let message = format!("this route never matches: {earlier} takes all its requests");
            report.warning(at, message, "move it up, or remove it");
        } else if let Some(next) = table.falling_through(index) {
            let next = places[next].name();
            let message = format!("clients without such a certificate are served by {next} instead");
            let hint = "to refuse them, put the same route with policy: deny and without client_certificate after it";
            report.warning(at, message, hint);
        }
    }
    for (later, earlier) in table.look_alikes() {
        let earlier = places[earlier].name();
        let message =
            format!("the path differs from that of {earlier} only in letter case or the last slash");
        let hint = match look_alikes {
            LookAlikes::Strictest => {
                "both meet the stricter of the two routes; give both one policy, or write \
                 routing.look_alikes: exact if the origin tells such paths apart"
            }
            LookAlikes::Exact => {
                "an origin that ignores the difference serves one path for the other; give both one policy"
            }
        };
        report.warning(&places[later], message, hint);
    }
}
