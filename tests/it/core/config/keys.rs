//! Each key reaches the settings, and what holds without it.

use std::path::Path;
use std::time::Duration;

use approov_gateway::approov::{Rejection, Strategy};
use approov_gateway::config::{AccessLog, load, show_rate};
use approov_gateway::downstream::ListenerSettings;
use approov_gateway::limits::{By, Limit, LimitSettings};
use approov_gateway::origins::{Balance, Capacity, CheckKind, Keepalive, OriginHttp, Target};
use approov_gateway::policy::{PathPattern, Policy};
use approov_gateway::telemetry::{
    AddressPrivacy, DevicePrivacy, DiagnosticsFormat, PathPrivacy, PrivacySettings,
};

use super::{WITH_DOMAIN, WITH_SECRET, as_with_enough_memory, environment_of, loaded};
use crate::harness::Folder;

#[test]
fn every_key_reaches_the_settings() {
    let file = Path::new("tests/config/good/everything.yaml");
    let settings = load(Some(file), &environment_of(file)).expect("the file loads");
    assert_eq!(settings.server.threads, 3);
    assert_eq!(settings.server.grace_period, Duration::from_secs(120));
    assert_eq!(settings.server.pid_file.as_deref(), Some(Path::new("tests/config/good/run/pid")));
    assert_eq!(settings.server.upgrade_sock.as_deref(), Some(Path::new("/run/upgrade.sock")));
    let listeners: Vec<_> = settings.listeners.iter().map(|listener| listener.address.to_string()).collect();
    assert_eq!(listeners, ["[::1]:8000", "127.0.0.1:0"]);
    assert_eq!(settings.admin.address.to_string(), "127.0.0.1:0");
    assert_eq!(settings.approov.token_header, "device-token");
    assert!(settings.approov.forward_token);
    assert_eq!(settings.approov.binding_headers, ["x-session"]);
    let verifier = format!("{:?}", settings.approov.verifier);
    for part in ["max_token_length: 4096", "leeway: 1.5", "\"one\", \"two\"", "claim: \"hash\"", "Accept"] {
        assert!(verifier.contains(part), "{part}: {verifier}");
    }
    assert_eq!(settings.rejection.status, 403);
    assert_eq!(settings.rejection.content_type, "text/plain; charset=utf-8");
    assert_eq!(settings.rejection.body, "Invalid Token\n");
    let [origin] = &settings.origins[..] else { panic!("{:?}", settings.origins) };
    assert_eq!(
        (&*origin.name, &*origin.host, origin.port, origin.tls.is_some()),
        ("main", "api.example.com", 8443, true)
    );
    assert_eq!(origin.authority, "api.example.com:8443");
    let timeouts = origin.timeouts;
    let seconds = [timeouts.connect, timeouts.read, timeouts.write, timeouts.idle, origin.resolve_interval];
    assert_eq!(seconds, [1, 2, 3, 4, 5].map(Duration::from_secs));
    let identity = settings.server.user.as_ref().expect("a user");
    assert_eq!((&identity.name, identity.uid, identity.gid), (&None, 10001, 10002));
    assert!(settings.server.watch);
    let request_id = settings.correlation.request_id.as_ref();
    assert_eq!(request_id.map(|name| name.as_str()), Some("x-correlation"));
    assert_eq!(settings.log.access, AccessLog::Json);
    assert_eq!(settings.log.format, DiagnosticsFormat::Json);
    let privacy = PrivacySettings {
        client_address: AddressPrivacy::Truncate,
        device: DevicePrivacy::Omit,
        path: PathPrivacy::Route,
        key: None,
    };
    assert_eq!(settings.log.privacy, privacy);
    assert_eq!(settings.log.file.as_deref(), Some(Path::new("tests/config/good/access.log")));
    assert_limits(&settings.limits);
    let routes = settings.routes.routes();
    let names: Vec<_> = routes.iter().map(|route| &*route.name).collect();
    assert_eq!(names, ["/a/", "/a/ #2", "/a/ #3"]);
    let policies: Vec<_> = routes.iter().map(|route| (route.policy, route.strategy)).collect();
    let expected = [
        (Policy::Protect, Strategy::TokenBinding),
        (Policy::Deny, Strategy::TokenBinding),
        (Policy::Observe, Strategy::Token),
    ];
    assert_eq!(policies, expected);
    assert_eq!(routes[1].path, PathPattern::Exact("/a/".into()));
    let found = settings.routes.find("GET", b"x.example.com", b"/a/b", None).expect("a plain path");
    assert_eq!(found.map(|(index, _)| index), Some(0));
}

/// Compares the limits of the file with every key.
fn assert_limits(limits: &LimitSettings) {
    let show = |limit: &Limit| {
        let Limit { name, by, rate, burst, observe, keys, nodes } = limit;
        format!("{name} {} {} {burst} {observe} {keys} {nodes}", by.label(), show_rate(*rate))
    };
    let rates: Vec<_> = limits.rates.iter().map(show).collect();
    let expected = [
        "address address 30/s 90 false 1024 1",
        "hourly address 1000/h 1000 true 65536 1",
        "total total 5000/s 5000 false 65536 3",
        "route route 4000/s 1 false 65536 3",
        "device device 10/m 10 false 65536 1",
        "token token 20/m 20 false 65536 1",
        "origin origin 3000/s 3000 false 65536 3",
    ];
    assert_eq!(rates, expected);
    let own: Vec<_> = limits.routes.iter().map(|route| (route.rates.len(), route.body_bytes)).collect();
    assert_eq!(own, [(1, Some(2 * 1024 * 1024)), (0, None), (0, None)]);
    let names = |route: usize| -> Vec<String> {
        let limits = limits.rates_of_route(route).into_iter();
        limits.map(|limit| format!("{} {}", limit.name, show_rate(limit.rate))).collect()
    };
    let general =
        ["address 30/s", "hourly 1000/h", "total 5000/s", "route 4000/s", "device 10/m", "token 20/m"];
    assert_eq!(names(1)[..6], general);
    assert_eq!(names(0)[4], "device 3/h", "replaces the general limit");
    assert_eq!(limits.ipv6_prefix.length(), 56);
    let rules = limits.offenders.expect("there are rules");
    assert_eq!((rules.failures, rules.keys), (7, 2048));
    assert_eq!([rules.within, rules.ban, rules.max_ban], [10, 5, 120].map(Duration::from_secs));
    let counted = Rejection::ALL.into_iter().filter(|rejection| limits.offences.contain(*rejection));
    assert_eq!(counted.collect::<Vec<_>>(), [Rejection::BadSignature, Rejection::Expired]);
    for (address, allowed, denied) in [
        ("192.0.2.200", true, false),
        ("127.0.0.1", false, false),
        ("198.51.100.200", false, true),
        ("203.0.113.7", false, true),
        ("2001:db8::1", false, true),
        ("2001:db8:bad::1", false, true),
    ] {
        let address = address.parse().expect(address);
        assert_eq!(limits.allow.contains(address), allowed, "{address}");
        assert_eq!(limits.deny.contains(address), denied, "{address}");
    }
    assert_eq!(limits.deny.ranges(), 4, "two ranges are merged");
    let connections = limits.connections;
    let counts = [connections.total, connections.per_listener, connections.per_address, connections.requests];
    assert_eq!((counts, connections.age), ([100, 90, 10, 50], Duration::from_secs(1800)));
    assert_eq!((show_rate(connections.rate), connections.burst.get()), ("600/m".to_owned(), 20));
    let requests = limits.requests;
    let counts = [requests.in_flight.requests, requests.reserve, requests.per_address];
    assert_eq!((counts, requests.header_count), ([80, 20, 5], 64));
    let sizes = [requests.header_bytes, requests.target_bytes, requests.body_bytes, requests.body_rate];
    assert_eq!(sizes, [16 * 1024, 2048, 1024 * 1024, 512]);
    let time = limits.time;
    let times = [time.handshake, time.header, time.body, time.idle, time.write];
    assert_eq!(times, [5, 6, 7, 8, 9].map(Duration::from_secs));
}

#[test]
fn a_public_listener_has_limits_without_a_file() {
    let limits = loaded(None, &[WITH_SECRET, WITH_DOMAIN]).limits;
    assert!(limits.requests.in_flight.memory.is_some(), "derived from the memory of this machine");
    assert_eq!(as_with_enough_memory(limits.clone()), LimitSettings::default());
    let asked: Vec<_> = limits.rates.iter().map(|limit| limit.by).collect();
    assert_eq!(asked, [By::Address, By::Device]);
    assert!(limits.offenders.is_some() && limits.deny.is_empty());
    for address in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
        assert!(limits.allow.contains(address.parse().expect(address)), "{address}");
    }
    assert!(!limits.allow.contains("192.0.2.1".parse().expect("an address")));
}

#[test]
fn limits_can_be_disabled() {
    let text = "origins: { a: { domain: a.example } }\nlimits: { rate: [], offenders: off, allow: [] }\n";
    let limits = loaded(Some(&Folder::new().write("gateway.yaml", text)), &[WITH_SECRET]).limits;
    assert_eq!((limits.rates.len(), limits.offenders), (0, None));
    assert!(limits.allow.is_empty());
}

#[test]
fn every_key_of_a_listener_reaches_the_settings() {
    let file = Path::new("tests/config/good/listeners.yaml");
    let settings = load(Some(file), &environment_of(file)).expect("the file loads");
    let [redirecting, forwarded, cloudflare, by_header] = &settings.listeners[..] else {
        panic!("{:?}", settings.listeners)
    };
    assert!(redirecting.redirect_to_https && redirecting.trusted_proxies.is_none());
    assert!(forwarded.redirect_to_https && redirecting.hsts.is_none());
    let proxies = |listener: &ListenerSettings| {
        let proxies = listener.trusted_proxies.clone().expect("trusted proxies");
        let ranges: Vec<_> = proxies.ranges().iter().map(ToString::to_string).collect();
        (ranges.join(" "), proxies.source().label())
    };
    let expected = ("10.0.0.0/8 2001:db8::/32 192.0.2.7/32".to_owned(), "x-forwarded-for");
    assert_eq!(proxies(forwarded), expected);
    assert_eq!(proxies(cloudflare), ("0.0.0.0/0".to_owned(), "cf-connecting-ip"));
    assert_eq!(proxies(by_header), ("10.0.0.0/8".to_owned(), "proxy-protocol"));
    let hsts = |listener: &ListenerSettings| listener.hsts.map(|hsts| hsts.to_string());
    assert_eq!(hsts(forwarded).as_deref(), Some("max-age=63072000; includeSubDomains; preload"));
    assert_eq!(hsts(cloudflare).as_deref(), Some("max-age=31536000"));
    assert_eq!(hsts(by_header), None);
}

#[test]
fn every_key_of_an_origin_reaches_the_settings() {
    let file = Path::new("tests/config/good/origins.yaml");
    let settings = load(Some(file), &environment_of(file)).expect("the file loads");
    assert_eq!(settings.server.upstream_keepalive_pool_size, 64);
    let [listed, beside, grpc, _] = &settings.origins[..] else { panic!("{:?}", settings.origins) };
    assert_eq!((listed.balance, grpc.balance), (Balance::Device, Balance::LeastLoaded));
    let seconds = Duration::from_secs;
    assert_eq!((listed.timeouts.first_byte, listed.timeouts.total), (Some(seconds(5)), Some(seconds(30))));
    assert_eq!(listed.keepalive, Keepalive { idle: seconds(30), interval: seconds(10), count: 6 });
    let check = listed.health_check.as_ref().expect("a health check");
    assert_eq!(check.kind, CheckKind::Http { path: "/healthz".into(), statuses: vec![200..=200, 300..=399] });
    assert_eq!(beside.health_check.as_ref().map(|check| &check.kind), Some(&CheckKind::Tcp));
    assert_eq!((listed.ejection.errors, listed.ejection.single, beside.ejection.single), (5, true, false));
    assert_eq!((listed.ejection.timeouts, beside.ejection.timeouts), (4, 3));
    let retries = listed.retries.as_ref().expect("retries");
    assert_eq!((retries.attempts, retries.on_error, retries.on_timeout), (2, true, true));
    assert_eq!((&retries.statuses[..], retries.budget_percent), (&[503][..], 10));
    assert_eq!(listed.capacity, Some(Capacity { max_in_flight: 100, queue: 0, queue_timeout: seconds(1) }));
    assert_eq!(grpc.http, OriginHttp::H2 { max_streams: 100, ping_interval: None });
    assert_eq!(beside.addresses[0].target, Target::Unix("tests/config/good/run/api.sock".into()));
}
