//! The route table: routes in the order in which they are tried.

use super::index::Index;
use super::path::decode;
use super::{PathFault, Route, check_plain};

/// Up to so many routes are tried one after another: below that an index takes longer (`cargo bench --bench routes`).
const FEW: usize = 32;

/// The routes, in the order in which they are tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteTable {
    routes: Vec<Route>,
    /// None where there are few.
    index: Option<Index>,
    path_sensitive: bool,
}

impl RouteTable {
    /// A table of these routes.
    pub fn new(routes: Vec<Route>) -> Self {
        let path_sensitive = routes.iter().any(|route| !route.path.takes_every_path());
        let index = (routes.len() > FEW).then(|| Index::new(&routes));
        Self { routes, index, path_sensitive }
    }

    /// The first route that takes the request, with its position; `None` when none does. `path`
    /// is without the query.
    ///
    /// # Errors
    /// [`PathFault`] when routes look at paths and an origin might read this one as another, for
    /// which another route would have been taken.
    pub fn find(&self, method: &str, host: &[u8], path: &[u8]) -> Result<Option<(usize, &Route)>, PathFault> {
        let found = self.first(method, host, path);
        if self.path_sensitive {
            check_plain(path)?;
            if path.contains(&b'%') && self.first(method, host, &decode(path)) != found {
                return Err(PathFault::TwoRoutes);
            }
        }
        Ok(found.map(|index| (index, &self.routes[index])))
    }

    fn first(&self, method: &str, host: &[u8], path: &[u8]) -> Option<usize> {
        match &self.index {
            None => self.routes.iter().position(|route| route.takes(method, host, path)),
            Some(index) => index.find(host, path, |index| self.routes[index].takes(method, host, path)),
        }
    }

    /// The position of the first route that takes every request of the one at `index` before
    /// that is tried.
    pub fn covering(&self, index: usize) -> Option<usize> {
        let (earlier, route) = (&self.routes[..index], &self.routes[index]);
        match &self.index {
            None => earlier.iter().position(|earlier| earlier.covers(route)),
            Some(index) => index.find_covering(route, |position| {
                earlier.get(position).is_some_and(|earlier| earlier.covers(route))
            }),
        }
    }

    /// The routes, in order.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{Strategy as Values, any, prop_assert, prop_assert_eq, proptest};
    use proptest::sample::select;
    use proptest::string::string_regex;

    use super::super::{HostPattern, PathPattern, Policy};
    use super::*;
    use crate::approov::Strategy;

    fn route(path: &str) -> Route {
        Route {
            name: path.into(),
            path: PathPattern::from_path(path),
            methods: Vec::new(),
            hosts: Vec::new(),
            policy: Policy::Protect,
            strategy: Strategy::Token,
            origin: 0,
        }
    }

    #[test]
    fn an_earlier_route_covers_a_later_one_if_every_condition_does() {
        let with = |path: &str, methods: &[&str], hosts: &[&str]| Route {
            methods: methods.iter().map(|method| (*method).into()).collect(),
            hosts: hosts
                .iter()
                .map(|host| match host.strip_prefix('*') {
                    Some(suffix) => HostPattern::Suffix(suffix.into()),
                    None => HostPattern::Exact((*host).into()),
                })
                .collect(),
            ..route(path)
        };
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
            let message = format!("{earlier:?} {later:?}");
            let covering = RouteTable::new(vec![earlier, later]).covering(1);
            assert_eq!(covering, expected.then_some(0), "{message}");
            cases += 1;
        }
        assert_eq!(cases, 12);
    }

    /// Few letters, so that much coincides.
    fn any_route() -> impl Values<Value = Route> {
        let path = (string_regex("(/[ab]){0,3}/?").expect("a pattern"), any::<bool>());
        let path = path.prop_map(|(path, is_exact)| match is_exact {
            true => PathPattern::Exact(path.into()),
            false => PathPattern::Prefix(path.into()),
        });
        let name = string_regex("[ab](\\.[ab]){0,2}").expect("a pattern");
        let host = (name, 0..3).prop_map(|(name, kind)| match kind {
            0 => HostPattern::Suffix(format!(".{name}").into()),
            1 => HostPattern::Suffix(name.into()),
            _ => HostPattern::Exact(name.into()),
        });
        let method = select(vec!["GET", "PUT"]).prop_map(Box::from);
        (path, vec(host, 0..3), vec(method, 0..2)).prop_map(|(path, hosts, methods)| Route {
            path,
            hosts,
            methods,
            ..route("/")
        })
    }

    proptest! {
        #[test]
        fn the_index_finds_what_trying_all_finds(
            routes in vec(any_route(), FEW + 1..64),
            requests in vec(("(/[abAB]){0,4}/?", "([abAB](\\.[ab]){0,3}|\\.+[ab])\\.?(:8)?", "GET|PUT"), 1..32),
        ) {
            let table = RouteTable::new(routes);
            prop_assert!(table.index.is_some());
            let tried = RouteTable { index: None, ..table.clone() };
            for (path, host, method) in requests {
                let (host, path) = (host.as_bytes(), path.as_bytes());
                let expected = tried.first(&method, host, path);
                prop_assert_eq!(table.first(&method, host, path), expected, "{:?}", (method, host, path));
            }
            for index in 0..table.routes.len() {
                prop_assert_eq!(table.covering(index), tried.covering(index), "{:?}", &table.routes[..=index]);
            }
        }
    }
}
