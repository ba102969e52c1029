//! The route table: routes in the order in which they are tried.

use super::index::Index;
use super::look_alikes::{self, Folded, LookAlikes};
use super::path::decode;
use super::{ClientCertificate, PathFault, Policy, Route, check_plain};

/// Up to this number of routes, a request is compared with one route after another. An index is slower for so
/// few (`cargo bench --bench routes`).
const FEW: usize = 32;

/// The routes, in the order in which they are tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteTable {
    routes: Vec<Route>,
    /// `None` if there are few routes.
    index: Option<Index>,
    path_sensitive: bool,
    /// `None` if paths are compared byte by byte only, or if all routes are equally strict.
    folded: Option<Folded>,
}

impl RouteTable {
    /// A table of these routes. A path that looks like the path of a stricter route meets that route; see
    /// [`LookAlikes`].
    pub fn new(routes: Vec<Route>) -> Self {
        let path_sensitive = routes.iter().any(|route| !route.path.takes_every_path());
        let index = (routes.len() > FEW).then(|| Index::new(&routes));
        let folded = Folded::new(&routes, index.is_some());
        Self { routes, index, path_sensitive, folded }
    }

    /// This table with another rule for paths that look alike.
    pub fn with_look_alikes(self, look_alikes: LookAlikes) -> Self {
        let folded = match look_alikes {
            LookAlikes::Strictest => Folded::new(&self.routes, self.index.is_some()),
            LookAlikes::Exact => None,
        };
        Self { folded, ..self }
    }

    /// The route that the request meets, with its position; `None` if no route takes the request. `path` has
    /// no query. `certificate` is the client's, verified and still valid.
    ///
    /// # Errors
    /// [`PathFault`] if routes depend on the path and an origin might read this path as another one.
    pub fn find(
        &self,
        method: &str,
        host: &[u8],
        path: &[u8],
        certificate: Option<ClientCertificate<'_>>,
    ) -> Result<Option<(usize, &Route)>, PathFault> {
        let found = self.first(method, host, path, certificate);
        if self.path_sensitive {
            check_plain(path)?;
            if path.contains(&b'%') && self.first(method, host, &decode(path), certificate) != found {
                return Err(PathFault::TwoRoutes);
            }
        }
        let found = found.map(|found| {
            let stricter = self.folded.as_ref().and_then(|folded| {
                let takes = |route: &Route| route.takes_but_for_path(method, host, certificate);
                let first = |path: &[u8]| self.first(method, host, path, certificate);
                folded.stricter(host, path, found, &self.routes, takes, first)
            });
            stricter.unwrap_or(found)
        });
        Ok(found.map(|index| (index, &self.routes[index])))
    }

    /// Pairs of routes, the later one first, whose paths differ only in letter case or in the last slash
    /// and of which one is stricter.
    pub fn look_alikes(&self) -> Vec<(usize, usize)> {
        look_alikes::siblings(&self.routes)
    }

    fn first(
        &self,
        method: &str,
        host: &[u8],
        path: &[u8],
        certificate: Option<ClientCertificate<'_>>,
    ) -> Option<usize> {
        let takes = |route: &Route| route.takes(method, host, path, certificate);
        match &self.index {
            None => self.routes.iter().position(takes),
            Some(index) => index.find(host, path, |index| takes(&self.routes[index])),
        }
    }

    /// The position of the first earlier route that takes every request of the route at `index`.
    pub fn covering(&self, index: usize) -> Option<usize> {
        let (earlier, route) = (&self.routes[..index], &self.routes[index]);
        match &self.index {
            None => earlier.iter().position(|earlier| earlier.covers(route)),
            Some(index) => index.find_covering(route, |position| {
                earlier.get(position).is_some_and(|earlier| earlier.covers(route))
            }),
        }
    }

    /// The route that serves clients without the certificate that the route at `index` asks for: the next
    /// route that takes all those requests without a certificate. `None` if that route refuses them, or if
    /// it is for exactly the same requests, which is deliberate.
    pub fn falling_through(&self, index: usize) -> Option<usize> {
        let route = &self.routes[index];
        route.client_certificate.as_ref()?;
        let takes_them =
            |next: &Route| next.client_certificate.is_none() && next.covers_but_for_certificate(route);
        let next = (index + 1..self.routes.len()).find(|next| takes_them(&self.routes[*next]))?;
        let is_meant =
            self.routes[next].policy == Policy::Deny || route.covers_but_for_certificate(&self.routes[next]);
        (!is_meant).then_some(next)
    }

    /// The routes in the order of the configuration.
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

    use super::super::{CertificateCondition, HostPattern, PathPattern};
    use super::*;
    use crate::approov::Strategy;

    fn route(path: &str) -> Route {
        Route::by_path(path, Policy::Protect, Strategy::Token)
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
        }
    }

    fn certified(route: Route, dns_names: &[&str]) -> Route {
        let dns_names = dns_names.iter().map(|name| (*name).into()).collect();
        let condition = CertificateCondition { dns_names, ..CertificateCondition::default() };
        Route { client_certificate: Some(condition.into()), ..route }
    }

    #[test]
    fn a_route_for_certificates_takes_no_client_without_one_and_the_next_route_may() {
        let dns_names = ["till.example.com".into()];
        let till = ClientCertificate {
            subject: "",
            dns_names: &dns_names,
            uris: &[],
            emails: &[],
            fingerprint: &[0; 32],
        };
        let few = vec![
            certified(route("/v1/"), &["till.example.com"]),
            certified(route("/"), &[]),
            certified(route("/"), &["ops.example.com"]),
            route("/v1/"),
        ];
        let many = [(0..FEW).map(|n| route(&format!("/other/{n}"))).collect(), few.clone()].concat();
        for (routes, offset) in [(few, 0), (many, FEW)] {
            let table = RouteTable::new(routes);
            let found = |path: &str, certificate| {
                let found = table.find("GET", b"", path.as_bytes(), certificate).expect("a plain path");
                found.map(|(index, _)| index - offset)
            };
            assert_eq!(found("/v1/x", Some(till)), Some(0));
            assert_eq!(found("/v2/x", Some(till)), Some(1));
            assert_eq!(found("/v1/x", None), Some(3));
            assert_eq!(found("/v2/x", None), None);
            assert_eq!(table.covering(offset + 2), Some(offset + 1));
            assert_eq!(table.covering(offset + 3), None);
        }
    }

    #[test]
    fn what_a_certificate_keeps_out_is_followed_to_the_route_that_takes_it_in() {
        let deny = |path| Route { policy: Policy::Deny, ..route(path) };
        let get = |path| Route { methods: vec!["GET".into()], ..route(path) };
        for (rest, expected) in [
            (vec![], None),
            (vec![route("/")], Some(1)),
            (vec![deny("/admin/"), route("/")], None),
            (vec![deny("/admin/x"), route("/")], Some(2)),
            (vec![certified(deny("/"), &["b"]), route("/")], Some(2)),
            // The same requests, under other conditions.
            (vec![route("/admin/"), route("/")], None),
            (vec![get("/admin/"), route("/")], Some(2)),
            (vec![get("/")], None),
        ] {
            let table = RouteTable::new([vec![certified(route("/admin/"), &["a"])], rest].concat());
            assert_eq!(table.falling_through(0), expected, "{:?}", table.routes());
        }
        assert_eq!(RouteTable::new(vec![route("/v1/"), route("/")]).falling_through(0), None);
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
        let names = select(vec![None, Some(vec![]), Some(vec!["a"]), Some(vec!["a", "b"])]);
        (path, vec(host, 0..3), vec(method, 0..2), names).prop_map(|(path, hosts, methods, names)| {
            let route = Route { path, hosts, methods, ..route("/") };
            match names {
                None => route,
                Some(names) => certified(route, &names),
            }
        })
    }

    proptest! {
        #[test]
        fn the_index_finds_what_trying_all_finds(
            routes in vec(any_route(), FEW + 1..64),
            requests in vec(
                ("(/[abAB]){0,4}/?", "([abAB](\\.[ab]){0,3}|\\.+[ab])\\.?(:8)?", "GET|PUT", any::<bool>()),
                1..32,
            ),
        ) {
            let table = RouteTable::new(routes);
            prop_assert!(table.index.is_some());
            let tried = RouteTable { index: None, ..table.clone() };
            let dns_names = ["b".into()];
            let shown = ClientCertificate {
                subject: "", dns_names: &dns_names, uris: &[], emails: &[], fingerprint: &[0; 32],
            };
            for (path, host, method, shows) in requests {
                let (host, path, shown) = (host.as_bytes(), path.as_bytes(), shows.then_some(shown));
                let expected = tried.first(&method, host, path, shown);
                let found = table.first(&method, host, path, shown);
                prop_assert_eq!(found, expected, "{:?}", (method, host, path, shows));
            }
            for index in 0..table.routes.len() {
                prop_assert_eq!(table.covering(index), tried.covering(index), "{:?}", &table.routes[..=index]);
            }
        }
    }
}
