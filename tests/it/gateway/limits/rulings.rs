//! Several rate limits together: their order, exemptions, limits of routes, and reloads.

use approov_gateway::limits::{By, KeyHasher, Limit, RateLimits, RequestKeys, RouteLimits, Ruling, TableKey};

use super::rates::{SECOND, limit};
use super::{at, hasher};

/// The names of the limit that refuses, the limit that observes, and the tightest limit.
fn names<'l>(ruling: &Ruling<'l>) -> [&'l str; 3] {
    [ruling.refused, ruling.observed, ruling.tightest].map(|told| told.map_or("-", |told| &*told.limit.name))
}

fn key(text: &str) -> Option<TableKey> {
    thread_local!(static HASHER: KeyHasher = hasher());
    HASHER.with(|hasher| Some(hasher.bytes(text.as_bytes())))
}

#[test]
fn limits_are_applied_in_order_until_one_refuses() {
    let general = [
        limit(By::Origin, 1, SECOND, 6),
        limit(By::Total, 1, SECOND, 4),
        Limit { observe: true, ..limit(By::Route, 1, SECOND, 1) },
        limit(By::Address, 1, SECOND, 2),
        limit(By::Device, 1, SECOND, 1),
    ];
    let routes = [RouteLimits { name: "/", limits: &[] }];
    let limits = RateLimits::new(&general, &routes, &["api"], None, None);
    let told = |address: &str| {
        let keys = RequestKeys { address: key(address), route: Some(0), ..RequestKeys::default() };
        names(&limits.before_verification(&keys, at(1)))
    };
    assert_eq!(told("one"), ["-", "-", "address"]);
    assert_eq!(told("one"), ["-", "route", "address"]);
    assert_eq!(told("one"), ["address", "-", "-"], "no further limit is applied");
    assert_eq!(told("two"), ["-", "route", "address"], "the other limits have one request left");
    assert_eq!(told("three"), ["-", "route", "total"]);
    assert_eq!(told("six"), ["total", "-", "address"]);
    let device = |device: Option<TableKey>| {
        let keys = RequestKeys { route: Some(0), origin: Some(0), device, ..RequestKeys::default() };
        names(&limits.after_verification(&keys, at(1)))
    };
    assert_eq!(device(key("one")), ["-", "-", "device"]);
    assert_eq!(device(key("one")), ["device", "-", "-"]);
    assert_eq!(device(None), ["-", "-", "origin"], "an unknown device is not limited");
    let tally = |by: By| {
        let rule = limits.rules().iter().find(|rule| rule.limit().by == by).expect("there is one");
        (rule.refused(), rule.observed())
    };
    assert_eq!(
        By::ALL.into_iter().filter(|by| *by != By::Token).map(tally).collect::<Vec<_>>(),
        [(1, 0), (1, 0), (0, 3), (1, 0), (0, 0)]
    );
}

#[test]
fn an_address_that_is_exempt_is_not_limited() {
    let limits = RateLimits::new(&[limit(By::Address, 1, SECOND, 1)], &[], &[], None, None);
    for _ in 0..10 {
        assert_eq!(names(&limits.before_verification(&RequestKeys::default(), at(1))), ["-"; 3]);
    }
}

#[test]
fn a_routes_own_limits_replace_the_general_ones_of_the_same_kind() {
    let general = [limit(By::Device, 1, SECOND, 3), limit(By::Token, 1, SECOND, 5)];
    let own = [Limit { name: "login".into(), ..limit(By::Device, 1, SECOND * 60, 1) }];
    let routes = [
        RouteLimits { name: "/login", limits: &own },
        RouteLimits { name: "/", limits: &[] },
        RouteLimits { name: "/assets/", limits: &[] },
    ];
    let limits = RateLimits::new(&general, &routes, &["api"], None, None);
    let told = |route: usize| {
        let keys =
            RequestKeys { route: Some(route), device: key("d"), token: key("t"), ..RequestKeys::default() };
        names(&limits.after_verification(&keys, at(1)))
    };
    assert_eq!(told(0), ["-", "-", "login"]);
    assert_eq!(told(0), ["login", "-", "-"]);
    assert_eq!(told(1), ["-", "-", "device"], "the general limit does not count it");
    assert_eq!(told(2), ["-", "-", "device"], "the general limit covers the other routes");
    assert_eq!(told(1), ["-", "-", "device"]);
    assert_eq!(told(2), ["device", "-", "-"]);
    assert!(limits.asks(Some(0), By::Device) && limits.asks(None, By::Token));
    assert!(!limits.asks(Some(0), By::Origin) && !limits.asks(None, By::Address));
    let shown: Vec<_> = limits.rules().iter().map(|rule| (rule.route(), &*rule.limit().name)).collect();
    assert_eq!(shown, [(None, "device"), (None, "token"), (Some("/login"), "login")]);
}

#[test]
fn each_route_and_each_origin_has_its_own_bucket() {
    let general = [limit(By::Route, 1, SECOND, 1), limit(By::Origin, 1, SECOND, 1)];
    let routes = ["/a", "/b"].map(|name| RouteLimits { name, limits: &[] });
    let limits = RateLimits::new(&general, &routes, &["one", "two"], None, None);
    let keys = |route: usize, origin: usize| RequestKeys {
        route: Some(route),
        origin: Some(origin),
        ..RequestKeys::default()
    };
    for place in [0, 1] {
        assert_eq!(names(&limits.before_verification(&keys(place, 0), at(1)))[0], "-");
        assert_eq!(names(&limits.before_verification(&keys(place, 0), at(1)))[0], "route");
        assert_eq!(names(&limits.after_verification(&keys(0, place), at(1)))[0], "-");
        assert_eq!(names(&limits.after_verification(&keys(0, place), at(1)))[0], "origin");
    }
    assert_eq!(
        names(&limits.before_verification(&RequestKeys::default(), at(1))),
        ["-"; 3],
        "no route, no limit"
    );
}

#[test]
fn a_reload_does_not_refill_the_buckets_of_an_unchanged_limit() {
    let general =
        [limit(By::Address, 1, SECOND, 1), limit(By::Total, 1, SECOND, 2), limit(By::Route, 1, SECOND, 1)];
    let routes = ["/a", "/b"].map(|name| RouteLimits { name, limits: &[] });
    let old = RateLimits::new(&general, &routes, &[], None, None);
    let keys =
        |route: usize| RequestKeys { address: key("one"), route: Some(route), ..RequestKeys::default() };
    assert_eq!(names(&old.before_verification(&keys(0), at(1)))[0], "-");

    let observing = [Limit { observe: true, ..general[0].clone() }, general[1].clone(), general[2].clone()];
    let turned = ["/c", "/b", "/a"].map(|name| RouteLimits { name, limits: &[] });
    let new = RateLimits::new(&observing, &turned, &[], None, Some(&old));
    let ruling = new.before_verification(&keys(2), at(1));
    assert_eq!(names(&ruling), ["route", "address", "total"], "/a has moved and keeps its empty bucket");
    assert_eq!(names(&new.before_verification(&keys(1), at(1)))[0], "total", "one of two tokens was left");
    assert_eq!(new.rules()[0].observed(), 2);

    let changed = [limit(By::Address, 2, SECOND, 1)];
    let new = RateLimits::new(&changed, &routes, &[], None, Some(&new));
    assert_eq!(names(&new.before_verification(&keys(0), at(1))), ["-", "-", "address"], "another limit");
}
