//! Paths that some origins take for the same.
//!
//! Routes compare paths byte by byte, but Express and others ignore letter case and the last slash. With
//! `deny /admin` before `open /`, such an origin serves `/Admin` and `/admin/`. So a request whose path
//! differs from a route's only in this way meets that route, if it is stricter.

use std::collections::HashMap;

use super::index::Index;
use super::{PathPattern, Policy, Preflight, Route};
use crate::approov::Strategy;
use crate::approov::message_signing::Mode;
use crate::closed_set::closed_set;

closed_set! {
    /// Which route serves a path that looks like the path of another route.
    #[derive(Default)]
    pub enum LookAlikes {
        /// The stricter of the two.
        #[default]
        Strictest => "strictest",
        /// The route that takes the path byte by byte.
        Exact => "exact",
    }
}

/// How much a route asks for. The greater value is the stricter route. The first difference decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Strictness {
    policy: u8,
    /// The share of clients for which the policy is enforced.
    enforced: u16,
    strategy: u8,
    signing: Mode,
    claims: usize,
    verifies_preflights: bool,
}

pub(super) fn strictness(route: &Route) -> Strictness {
    let policy = match route.policy {
        Policy::Open => 0,
        Policy::Observe => 1,
        Policy::Protect => 2,
        Policy::Deny => 3,
    };
    // `open` and `deny` verify nothing, so the rest makes no difference.
    if matches!(route.policy, Policy::Open | Policy::Deny) {
        let signing = Mode::default();
        return Strictness {
            policy,
            enforced: 0,
            strategy: 0,
            signing,
            claims: 0,
            verifies_preflights: false,
        };
    }
    Strictness {
        policy,
        enforced: route.options.enforce.hundredths(),
        strategy: match route.strategy {
            Strategy::Token => 0,
            Strategy::TokenBinding => 1,
        },
        signing: route.options.message_signing,
        claims: route.options.require_claims.len(),
        verifies_preflights: route.options.preflight == Preflight::Verify,
    }
}

/// Whether `route` asks for less than `other`.
pub fn is_weaker(route: &Route, other: &Route) -> bool {
    strictness(route) < strictness(other)
}

/// The routes by what their paths look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Folded {
    /// The routes with folded paths.
    routes: Vec<Route>,
    /// `None` if there are few routes.
    index: Option<Index>,
    strictest: Strictness,
}

impl Folded {
    /// `None` if all routes are equally strict. `is_indexed` if there are many.
    pub fn new(routes: &[Route], is_indexed: bool) -> Option<Self> {
        let strictest = routes.iter().map(strictness).max()?;
        if routes.iter().all(|route| strictness(route) == strictest) {
            return None;
        }
        let routes: Vec<Route> =
            routes.iter().map(|route| Route { path: fold_pattern(&route.path), ..route.clone() }).collect();
        let index = is_indexed.then(|| Index::new(&routes));
        Some(Self { routes, index, strictest })
    }

    /// The strictest route whose path `path` looks like, if it is stricter than the one at `found`.
    /// `takes` says whether a route takes the request if its path is ignored. `first` says which route
    /// serves a path.
    pub fn stricter(
        &self,
        host: &[u8],
        path: &[u8],
        found: usize,
        routes: &[Route],
        takes: impl Fn(&Route) -> bool,
        first: impl Fn(&[u8]) -> Option<usize>,
    ) -> Option<usize> {
        let mut least = strictness(&routes[found]);
        if least == self.strictest {
            return None;
        }
        let mut slashed = fold(path);
        slashed.push(b'/');
        let bare = &slashed[..slashed.len() - 1];
        let is_stricter = |index: usize, least: Strictness| {
            let (route, folded) = (&routes[index], &self.routes[index]);
            strictness(route) > least
                && (folded.path.matches(bare) || folded.path.matches(&slashed))
                && takes(route)
                && first(&spelled_as(&route.path, path)) == Some(index)
        };
        let mut stricter = None;
        while let Some(index) = self.find(host, [bare, &slashed], |index| is_stricter(index, least)) {
            stricter = Some(index);
            least = strictness(&routes[index]);
        }
        stricter
    }

    fn find(&self, host: &[u8], paths: [&[u8]; 2], fits: impl Fn(usize) -> bool) -> Option<usize> {
        match &self.index {
            None => (0..self.routes.len()).find(|index| fits(*index)),
            Some(index) => paths.into_iter().find_map(|path| index.find(host, path, &fits)),
        }
    }
}

/// Pairs of routes, the later one first, whose paths differ only in letter case or in the last slash and
/// of which one is stricter.
pub(super) fn siblings(routes: &[Route]) -> Vec<(usize, usize)> {
    let mut alike: HashMap<Vec<u8>, Vec<usize>> = HashMap::new();
    let mut found = Vec::new();
    for (index, route) in routes.iter().enumerate() {
        let (PathPattern::Prefix(text) | PathPattern::Exact(text)) = &route.path;
        let earlier = alike.entry(fold(text.as_bytes())).or_default();
        let is_sibling = |other: &usize| {
            let (PathPattern::Prefix(other_text) | PathPattern::Exact(other_text)) = &routes[*other].path;
            other_text != text && strictness(&routes[*other]) != strictness(route)
        };
        found.extend(earlier.iter().copied().find(is_sibling).map(|other| (index, other)));
        earlier.push(index);
    }
    found
}

/// In lower case and without the last slash. Escapes fold as well: `%C3` and `%c3` are the same byte.
fn fold(path: &[u8]) -> Vec<u8> {
    let bare = path.strip_suffix(b"/").unwrap_or(path);
    // With room for the slash that the path may have.
    let mut folded = Vec::with_capacity(bare.len() + 1);
    folded.extend_from_slice(bare);
    folded.make_ascii_lowercase();
    folded
}

fn fold_pattern(pattern: &PathPattern) -> PathPattern {
    match pattern {
        PathPattern::Prefix(prefix) => PathPattern::Prefix(prefix.to_ascii_lowercase().into()),
        PathPattern::Exact(exact) => {
            let bare = exact.strip_suffix('/').unwrap_or(exact);
            PathPattern::Exact(bare.to_ascii_lowercase().into())
        }
    }
}

/// `path` as a client would write it that means `pattern`: the text of the pattern and the rest of the
/// path.
fn spelled_as(pattern: &PathPattern, path: &[u8]) -> Vec<u8> {
    match pattern {
        PathPattern::Exact(exact) => exact.as_bytes().to_vec(),
        PathPattern::Prefix(prefix) => {
            let rest = path.get(prefix.len()..).unwrap_or_default();
            [prefix.as_bytes(), rest].concat()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::RouteTable;
    use super::*;

    fn route(policy: Policy, path: &str) -> Route {
        Route::by_path(path, policy, Strategy::Token)
    }

    fn met(table: &RouteTable, path: &str) -> Option<String> {
        let found = table.find("GET", b"a", path.as_bytes(), None).expect("a plain path");
        found.map(|(_, route)| format!("{} {}", route.policy.label(), route.name))
    }

    fn routes() -> Vec<Route> {
        vec![
            route(Policy::Deny, "/admin"),
            route(Policy::Deny, "/login"),
            route(Policy::Open, "/Account/public/"),
            route(Policy::Protect, "/account/"),
            route(Policy::Deny, "/internal/"),
            route(Policy::Open, "/public/"),
            route(Policy::Open, "/"),
        ]
    }

    #[test]
    fn the_stricter_of_two_routes_that_look_alike_is_met() {
        let few = RouteTable::new(routes());
        let others = (0..100).map(|number| route(Policy::Observe, &format!("/other/{number}")));
        let many = RouteTable::new(others.chain(routes()).collect());
        for (path, expected) in [
            ("/admin", "deny /admin"),
            ("/Admin", "deny /admin"),
            ("/ADMIN/", "deny /admin"),
            ("/admin/x", "open /"),
            ("/login/", "deny /login"),
            ("/account/x", "protect /account/"),
            ("/account", "protect /account/"),
            ("/ACCOUNT/X", "protect /account/"),
            ("/accounts", "open /"),
            ("/Account/public/x", "protect /account/"),
            ("/Internal", "deny /internal/"),
            ("/INTERNAL/a/b", "deny /internal/"),
            ("/public/", "open /public/"),
            ("/PUBLIC/x", "open /"),
            ("/", "open /"),
        ] {
            for table in [&few, &many] {
                assert_eq!(met(table, path).as_deref(), Some(expected), "{path}");
            }
            let exact = RouteTable::new(routes()).with_look_alikes(LookAlikes::Exact);
            let is_exact = met(&exact, path) == met(&few, path);
            let differs = ["/Admin", "/ADMIN/", "/login/", "/account", "/ACCOUNT/X", "/Account/public/x"];
            assert_eq!(is_exact, !(differs.contains(&path) || path.starts_with("/I")), "{path}");
        }
    }

    #[test]
    fn a_path_that_no_route_takes_stays_without_one() {
        let table = RouteTable::new(vec![route(Policy::Deny, "/admin"), route(Policy::Protect, "/v1/")]);
        assert_eq!(met(&table, "/Admin"), None);
        assert_eq!(met(&table, "/V1/x"), None);
    }

    #[test]
    fn a_route_that_is_shadowed_or_has_other_conditions_is_not_met() {
        let put = Route { methods: vec!["PUT".into()], ..route(Policy::Deny, "/admin") };
        let table = RouteTable::new(vec![
            put,
            route(Policy::Open, "/v1/"),
            route(Policy::Deny, "/v1/secret"),
            route(Policy::Open, "/"),
        ]);
        assert_eq!(met(&table, "/Admin").as_deref(), Some("open /"));
        assert_eq!(met(&table, "/v1/secret").as_deref(), Some("open /v1/"));
        assert_eq!(met(&table, "/v1/Secret").as_deref(), Some("open /v1/"));
    }

    #[test]
    fn siblings_that_look_alike_and_ask_for_different_things_are_told() {
        let table = RouteTable::new(vec![
            route(Policy::Deny, "/admin"),
            route(Policy::Open, "/Admin/"),
            route(Policy::Deny, "/ADMIN"),
            route(Policy::Open, "/"),
        ]);
        assert_eq!(table.look_alikes(), [(1, 0), (2, 1)]);
    }
}
