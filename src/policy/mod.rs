//! Which policy a request meets: routes, tried in order.

mod certificate;
mod fields;
mod index;
mod look_alikes;
mod options;
mod path;
mod table;
mod verdict;

use crate::approov::Strategy;
use crate::closed_set::closed_set;

pub use certificate::{CertificateCondition, ClientCertificate};
pub use fields::{RemovedFields, identity_fields, is_identity_field};
pub use look_alikes::{LookAlikes, is_weaker};
pub use options::{Preflight, RouteOptions, Share, ShareKey};
pub use path::{PathFault, check_plain};
pub use table::RouteTable;
pub use verdict::Verdict;

closed_set! {
    /// What is done with the requests of a route.
    pub enum Policy {
        /// Verify, and refuse requests that fail.
        Protect => "protect",
        /// Verify and count, and forward whatever the verdict.
        Observe => "observe",
        /// Forward every request, without verification.
        Open => "open",
        /// Refuse every request.
        Deny => "deny",
    }
}

/// The paths that a route takes. They are compared with the bytes of the request, case-sensitively.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathPattern {
    /// Paths that begin with this text.
    Prefix(Box<str>),
    /// The request has exactly this path.
    Exact(Box<str>),
}

impl PathPattern {
    /// The default: a path that ends in `/` is a prefix, any other path is exact.
    pub fn from_path(path: &str) -> Self {
        if path.ends_with('/') { PathPattern::Prefix(path.into()) } else { PathPattern::Exact(path.into()) }
    }

    /// The path as it is configured.
    pub fn text(&self) -> &str {
        let (PathPattern::Prefix(text) | PathPattern::Exact(text)) = self;
        text
    }

    /// Whether the pattern takes `path`, which has no query.
    pub fn matches(&self, path: &[u8]) -> bool {
        match self {
            PathPattern::Prefix(prefix) => path.starts_with(prefix.as_bytes()),
            PathPattern::Exact(exact) => path == exact.as_bytes(),
        }
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (PathPattern::Prefix(this), PathPattern::Prefix(other) | PathPattern::Exact(other)) => {
                other.starts_with(&**this)
            }
            (PathPattern::Exact(this), PathPattern::Exact(other)) => this == other,
            (PathPattern::Exact(_), PathPattern::Prefix(_)) => false,
        }
    }

    fn takes_every_path(&self) -> bool {
        matches!(self, PathPattern::Prefix(prefix) if &**prefix == "/")
    }
}

/// The hosts that a route takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// This host name, in lower case.
    Exact(Box<str>),
    /// Any name with this end, in lower case: `.example.com` for `*.example.com`.
    Suffix(Box<str>),
}

impl HostPattern {
    /// Whether the pattern takes the value of a `Host` field. Port and letter case are ignored.
    pub fn matches(&self, host: &[u8]) -> bool {
        let name = host_name(host);
        match self {
            HostPattern::Exact(exact) => name.eq_ignore_ascii_case(exact.as_bytes()),
            HostPattern::Suffix(suffix) => {
                name.len() > suffix.len()
                    && name[name.len() - suffix.len()..].eq_ignore_ascii_case(suffix.as_bytes())
            }
        }
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (HostPattern::Exact(this), HostPattern::Exact(other)) => this == other,
            (HostPattern::Suffix(this), HostPattern::Exact(other) | HostPattern::Suffix(other)) => {
                other.ends_with(&**this)
            }
            (HostPattern::Exact(_), HostPattern::Suffix(_)) => false,
        }
    }
}

/// The host without port and trailing dot.
fn host_name(host: &[u8]) -> &[u8] {
    let name = match host.iter().rposition(|byte| *byte == b':') {
        Some(colon) if host[colon + 1..].iter().all(u8::is_ascii_digit) => &host[..colon],
        _ => host,
    };
    name.strip_suffix(b".").unwrap_or(name)
}

/// One entry of the route table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The name in metrics and logs.
    pub name: Box<str>,
    /// The paths that the route takes.
    pub path: PathPattern,
    /// The methods that the route takes. An empty list takes every method.
    pub methods: Vec<Box<str>>,
    /// The hosts that the route takes. An empty list takes every host.
    pub hosts: Vec<HostPattern>,
    /// The client certificates that the route takes. `None` takes clients with and without a certificate.
    pub client_certificate: Option<Box<CertificateCondition>>,
    /// What is done with the requests.
    pub policy: Policy,
    /// What a token must fulfil, if the policy verifies.
    pub strategy: Strategy,
    /// What the route asks beyond policy and strategy.
    pub options: RouteOptions,
    /// Position in the list of origins.
    pub origin: usize,
}

impl Route {
    /// A route by path alone: it takes every method, host and client, and has the name of its path. Its
    /// requests go to the first origin.
    pub fn by_path(path: &str, policy: Policy, strategy: Strategy) -> Self {
        Self {
            name: path.into(),
            path: PathPattern::from_path(path),
            methods: Vec::new(),
            hosts: Vec::new(),
            client_certificate: None,
            policy,
            strategy,
            options: RouteOptions::default(),
            origin: 0,
        }
    }

    fn takes(
        &self,
        method: &str,
        host: &[u8],
        path: &[u8],
        certificate: Option<ClientCertificate<'_>>,
    ) -> bool {
        self.path.matches(path) && self.takes_but_for_path(method, host, certificate)
    }

    fn takes_but_for_path(
        &self,
        method: &str,
        host: &[u8],
        certificate: Option<ClientCertificate<'_>>,
    ) -> bool {
        (self.methods.is_empty() || self.methods.iter().any(|taken| **taken == *method))
            && (self.hosts.is_empty() || self.hosts.iter().any(|taken| taken.matches(host)))
            && self.client_certificate.as_ref().is_none_or(|condition| condition.takes(certificate))
    }

    /// Whether the route takes every request that `other` takes.
    fn covers(&self, other: &Route) -> bool {
        let covers_certificate = match (&self.client_certificate, &other.client_certificate) {
            (None, _) => true,
            (Some(this), Some(other)) => this.covers(other),
            (Some(_), None) => false,
        };
        covers_certificate && self.covers_but_for_certificate(other)
    }

    /// Like [`Route::covers`], without regard to certificates.
    fn covers_but_for_certificate(&self, other: &Route) -> bool {
        self.path.covers(&other.path)
            && covers_all(&self.methods, &other.methods, |this, other| this == other)
            && covers_all(&self.hosts, &other.hosts, HostPattern::covers)
    }
}

/// Whether one list of conditions takes everything that the other takes. An empty list takes everything.
fn covers_all<T>(these: &[T], others: &[T], covers: impl Fn(&T, &T) -> bool) -> bool {
    these.is_empty()
        || (!others.is_empty() && others.iter().all(|other| these.iter().any(|this| covers(this, other))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str, policy: Policy) -> Route {
        Route::by_path(path, policy, Strategy::Token)
    }

    fn found(table: &RouteTable, method: &str, host: &str, path: &str) -> Option<usize> {
        let found = table.find(method, host.as_bytes(), path.as_bytes(), None);
        found.expect("a plain path").map(|(index, _)| index)
    }

    #[test]
    fn takes_the_first_route_whose_conditions_all_hold() {
        let table = RouteTable::new(vec![
            Route { methods: vec!["GET".into()], ..route("/health", Policy::Open) },
            Route { hosts: vec![HostPattern::Exact("a.example".into())], ..route("/v1/", Policy::Observe) },
            route("/v1/", Policy::Protect),
        ]);
        for (method, host, path, expected) in [
            ("GET", "b.example", "/health", Some(0)),
            ("POST", "b.example", "/health", None),
            ("get", "b.example", "/health", None),
            ("GET", "b.example", "/health/", None),
            ("GET", "b.example", "/Health", None),
            ("PUT", "A.example.:8443", "/v1/x", Some(1)),
            ("PUT", "b.example", "/v1/", Some(2)),
            ("PUT", "b.example", "/v1", None),
        ] {
            assert_eq!(found(&table, method, host, path), expected, "{method} {host} {path}");
        }
    }

    #[test]
    fn a_wildcard_takes_names_below_the_domain_only() {
        let wildcard = HostPattern::Suffix(".example.com".into());
        for host in ["a.example.com", "A.B.EXAMPLE.COM:80", "a.example.com."] {
            assert!(wildcard.matches(host.as_bytes()), "{host}");
        }
        for host in ["example.com", ".example.com", "aexample.com", "a.example.com.evil", ""] {
            assert!(!wildcard.matches(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn a_path_with_two_readings_is_refused_only_where_routes_tell_them_apart() {
        let routes =
            vec![route("/a!b", Policy::Deny), route("/v1/", Policy::Observe), route("/", Policy::Open)];
        let several = RouteTable::new(routes);
        let single = RouteTable::new(vec![route("/", Policy::Protect)]);
        for (path, fault) in [
            ("/v1/../a!b", Some(PathFault::DotSegment)),
            ("/a%21b", Some(PathFault::TwoRoutes)),
            ("/%61!b", Some(PathFault::HiddenCharacter)),
            ("/v1/a%21b", None),
            ("/v1/a%20b", None),
        ] {
            assert_eq!(several.find("GET", b"", path.as_bytes(), None).err(), fault, "{path}");
            let found =
                single.find("GET", b"", path.as_bytes(), None).map(|found| found.map(|(index, _)| index));
            assert_eq!(found, Ok(Some(0)), "{path}");
        }
    }
}
