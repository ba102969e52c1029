//! The description of a route in the output of `check`.

use super::certificate;
use crate::policy::{HostPattern, PathPattern, Policy, Route};

/// Whether the policy verifies tokens.
pub(super) fn verifies(policy: Policy) -> bool {
    match policy {
        Policy::Protect | Policy::Observe => true,
        Policy::Open | Policy::Deny => false,
    }
}

/// Methods, path, hosts and client certificate of the requests that the route takes.
pub(super) fn conditions(route: &Route) -> String {
    let mut text = match &route.path {
        PathPattern::Prefix(path) => format!("{path}*"),
        PathPattern::Exact(path) => path.to_string(),
    };
    if !route.methods.is_empty() {
        text = format!("{} {text}", route.methods.join("|"));
    }
    if !route.hosts.is_empty() {
        let hosts: Vec<_> = route.hosts.iter().map(show_host).collect();
        text = format!("{text} at {}", hosts.join("|"));
    }
    if let Some(condition) = &route.client_certificate {
        text = format!("{text} {}", certificate::show(condition));
    }
    text
}

fn show_host(host: &HostPattern) -> String {
    match host {
        HostPattern::Exact(name) => name.to_string(),
        HostPattern::Suffix(suffix) => format!("*{suffix}"),
    }
}
