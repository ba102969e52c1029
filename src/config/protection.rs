//! What a configuration protects, in the form in which two configurations are compared. Everything here is
//! pure.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::settings::Settings;
use crate::approov::{Algorithm, KeyType, Verifier};
use crate::limits::Limit;
use crate::policy::{HostPattern, Policy, Route, RouteTable, is_weaker};

/// What a configuration protects, but for its routes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Protection {
    /// The algorithms of all keys.
    algorithms: BTreeSet<Algorithm>,
    /// What the verification of any origin accepts.
    concessions: BTreeSet<&'static str>,
    /// The longest leeway of any origin.
    leeway: Duration,
    /// The general rate limits that refuse.
    rates: Vec<Limit>,
    bans: bool,
    /// The trusted ranges by listener.
    trusted: Vec<(SocketAddr, IpNet)>,
}

impl Protection {
    /// What these settings protect.
    pub fn of(settings: &Settings) -> Self {
        let keys = settings.approov.verifiers().flat_map(Verifier::keys);
        let trusted = settings.listeners.iter().flat_map(|listener| {
            let ranges = listener.trusted_proxies.iter().flat_map(|proxies| proxies.ranges());
            ranges.map(|range| (listener.address, *range))
        });
        Self {
            algorithms: keys.map(|key| key.algorithm()).collect(),
            concessions: settings.approov.verifiers().flat_map(Verifier::concessions).collect(),
            leeway: settings.approov.verifiers().map(Verifier::leeway).max().unwrap_or_default(),
            rates: settings.limits.rates.iter().filter(|rate| !rate.observe).cloned().collect(),
            bans: settings.limits.offenders.is_some(),
            trusted: trusted.collect(),
        }
    }

    /// What is weaker now than it was `before`, a sentence each.
    pub fn weaker_than(&self, before: &Self) -> Vec<String> {
        let mut weaker = Vec::new();
        if let (Some(now), Some(then)) = (weakest(&self.algorithms), weakest(&before.algorithms))
            && strength(now) < strength(then)
        {
            weaker.push(format!(
                "tokens may be signed with {}, and the weakest algorithm before was {}",
                now.label(),
                then.label()
            ));
        }
        weaker.extend(
            self.concessions.difference(&before.concessions).map(|&concession| concession.to_owned()),
        );
        if self.leeway > before.leeway {
            let leeway = self.leeway.as_secs_f64();
            weaker.push(format!("tokens are accepted for {leeway} s after their expiry"));
        }
        for then in &before.rates {
            let name = &then.name;
            match self.rates.iter().find(|now| now.name == *name) {
                None => weaker.push(format!("the rate limit `{name}` refuses nothing any more")),
                Some(now) if allows_more(now, then) => {
                    weaker.push(format!("the rate limit `{name}` allows more"))
                }
                Some(_) => {}
            }
        }
        if before.bans && !self.bans {
            weaker.push("addresses are banned no more".to_owned());
        }
        for (listener, range) in &self.trusted {
            let is_known = |(other, known): &(SocketAddr, IpNet)| other == listener && known.contains(range);
            if !before.trusted.iter().any(is_known) {
                weaker.push(format!("the listener {listener} trusts the proxies in {range}"));
            }
        }
        weaker
    }
}

fn weakest(algorithms: &BTreeSet<Algorithm>) -> Option<Algorithm> {
    algorithms.iter().copied().min_by_key(|algorithm| strength(*algorithm))
}

/// A secret also makes tokens, so a public key is stronger. The digits of the name are the bits of the hash.
fn strength(algorithm: Algorithm) -> (bool, u16) {
    let is_public = algorithm.key_type() != KeyType::Secret;
    (is_public, algorithm.label()[2..].parse().unwrap_or_default())
}

fn allows_more(now: &Limit, then: &Limit) -> bool {
    let time_of_one = |limit: &Limit| limit.rate.per / limit.rate.requests.get();
    let on_one_node = |limit: &Limit| time_of_one(limit) * limit.nodes.get();
    time_of_one(now) < time_of_one(then) || on_one_node(now) < on_one_node(then) || now.burst > then.burst
}

/// The most routes that are named.
const MAX_NAMED: usize = 20;

/// Which requests meet a weaker route now than they did before, a sentence each. Tries the path of
/// each route of both tables with each of its hosts and methods. A route for every method is tried
/// with all methods that any route names, and with GET.
pub fn weaker_routes(now: &RouteTable, before: &RouteTable) -> Vec<String> {
    let examples = || before.routes().iter().chain(now.routes());
    let mut named: BTreeSet<&str> =
        examples().flat_map(|route| &route.methods).map(|method| &**method).collect();
    named.insert("GET");
    let mut weaker = BTreeSet::new();
    // Most routes stand in both tables.
    let mut requests = BTreeSet::new();
    for example in examples() {
        let own: Vec<&str> = example.methods.iter().map(|method| &**method).collect();
        let methods = if own.is_empty() { named.iter().copied().collect() } else { own };
        for host in example_hosts(example) {
            requests.extend(methods.iter().map(|method| (*method, host.clone(), example.path.text())));
        }
    }
    for (method, host, path) in &requests {
        if let Some(now) = route_of(now, method, host, path)
            && let before = route_of(before, method, host, path)
            && before.is_none_or(|before| is_weaker(now, before))
            && now.policy != Policy::Deny
        {
            let before = before.map_or("refused with 404".to_owned(), shown);
            weaker.insert(format!("{method} {host}{path} is {} now, and was {before}", shown(now)));
        }
    }
    let more = weaker.len().saturating_sub(MAX_NAMED);
    let mut weaker: Vec<String> = weaker.into_iter().take(MAX_NAMED).collect();
    if more > 0 {
        weaker.push(format!("{more} more routes are weaker"));
    }
    weaker
}

/// The route of a request without a client certificate.
fn route_of<'t>(table: &'t RouteTable, method: &str, host: &str, path: &str) -> Option<&'t Route> {
    table.find(method, host.as_bytes(), path.as_bytes(), None).ok().flatten().map(|(_, route)| route)
}

/// A host for each pattern of a route. Empty if the route is for every host.
fn example_hosts(route: &Route) -> Vec<String> {
    let hosts = route.hosts.iter().map(|host| match host {
        HostPattern::Exact(name) => name.to_string(),
        HostPattern::Suffix(suffix) => format!("any{suffix}"),
    });
    let hosts: Vec<String> = hosts.collect();
    if hosts.is_empty() { vec![String::new()] } else { hosts }
}

/// The demands of a route.
fn shown(route: &Route) -> String {
    let policy = route.policy.label();
    if matches!(route.policy, Policy::Open | Policy::Deny) {
        return policy.to_owned();
    }
    let options = &route.options;
    format!(
        "{policy} ({}, enforced for {} %, message signing {}, {} claims)",
        super::strategy_name(route.strategy),
        f64::from(options.enforce.hundredths()) / 100.0,
        options.message_signing.label(),
        options.require_claims.len()
    )
}

#[cfg(test)]
mod tests {
    use super::super::{Environment, load_text};
    use super::*;

    const SECRET: &str = "k7+Wq2LxJp0dVt9sRb4mYh1nZc6uEa3fIH+Xk+IAHhVVHszjDzeGobzN";

    fn settings(text: &str) -> Settings {
        let environment = Environment::from_pairs([("APPROOV_SECRET_BASE64", SECRET)]);
        let text = format!("origins: {{ api: {{ domain: api.example.com }} }}\n{text}");
        load_text(&text, "gateway.yaml".as_ref(), &environment)
            .unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn weaker(before: &str, now: &str) -> Vec<String> {
        let (before, now) = (settings(before), settings(now));
        let mut weaker = Protection::of(&now).weaker_than(&Protection::of(&before));
        weaker.extend(weaker_routes(&now.routes, &before.routes));
        weaker
    }

    #[test]
    fn each_way_to_weaken_a_configuration_is_told_and_its_opposite_is_not() {
        let route = |rest: &str| format!("routes: [ {{ path: /, {rest} }} ]");
        let listener = |ranges: &str| {
            format!(
                "listeners: [ {{ address: \"127.0.0.1:1\", trusted_proxies: {{ ranges: [{ranges}] }} }} ]"
            )
        };
        let cases: Vec<(String, String, &str)> = vec![
            (route("policy: protect"), route("policy: observe"), "GET / is observe"),
            (route("policy: protect"), route("policy: open"), "GET / is open now, and was protect"),
            (route("policy: deny"), route("policy: protect"), "GET / is protect"),
            (route("strategy: token-binding"), route("strategy: token"), "GET / is protect (token,"),
            (route("enforce: 100%"), route("enforce: 5%"), "enforced for 5 %"),
            (
                route("message_signing: required"),
                route("message_signing: observe"),
                "message signing observe",
            ),
            (
                "routes: [ { path: /admin/, policy: deny }, { path: / } ]".to_owned(),
                route("policy: protect"),
                "GET /admin/ is protect",
            ),
            (
                route("policy: protect"),
                "routes: [ { path: /public/, policy: open }, { path: / } ]".to_owned(),
                "GET /public/ is open now, and was protect",
            ),
            (
                "routes: [ { path: /a/ } ]".to_owned(),
                "routes: [ { path: /a/ }, { path: /b/ } ]".to_owned(),
                "GET /b/ is protect (token, enforced for 100 %, message signing off, 0 claims) now, and was refused with 404",
            ),
            (
                "routes: [ { path: /x, methods: [GET, POST] }, { path: /, policy: open } ]".to_owned(),
                "routes: [ { path: /x, methods: [GET] }, { path: /, policy: open } ]".to_owned(),
                "POST /x is open now, and was protect",
            ),
            (
                "routes: [ { path: /x, hosts: [a.test, b.test] }, { path: /, policy: open } ]".to_owned(),
                "routes: [ { path: /x, hosts: [a.test] }, { path: /, policy: open } ]".to_owned(),
                "GET b.test/x is open now, and was protect",
            ),
            (
                "limits: { rate: [ { by: address, rate: 1/s } ] }".to_owned(),
                "limits: { rate: [ { by: address, rate: 2/s } ] }".to_owned(),
                "the rate limit `address` allows more",
            ),
            (
                "fleet: { nodes: 3 }\nlimits: { rate: [ { by: total, rate: 30/s } ] }".to_owned(),
                "limits: { rate: [ { by: total, rate: 30/s } ] }".to_owned(),
                "the rate limit `total` allows more",
            ),
            (
                "limits: { rate: [ { by: address, rate: 1/s } ] }".to_owned(),
                "limits: { rate: [ { by: address, rate: 1/s, observe: true } ] }".to_owned(),
                "the rate limit `address` refuses nothing any more",
            ),
            (
                "approov: { failover: reject }".to_owned(),
                "approov: { failover: accept }".to_owned(),
                "failover",
            ),
            (
                "approov: { binding: { missing_claim: reject } }".to_owned(),
                "approov: { binding: { missing_claim: accept } }".to_owned(),
                "without the binding claim",
            ),
            ("approov: { issuers: [a] }".to_owned(), String::new(), "tokens of every issuer"),
            ("approov: { audiences: [a] }".to_owned(), String::new(), "tokens for every audience"),
            (String::new(), "approov: { leeway: 30s }".to_owned(), "for 30 s after their expiry"),
            (String::new(), "limits: { offenders: off }".to_owned(), "addresses are banned no more"),
            (listener("10.0.0.0/16"), listener("10.0.0.0/8"), "trusts the proxies in 10.0.0.0/8"),
        ];
        for (before, now, expected) in cases {
            let found = weaker(&before, &now);
            assert!(found.len() == 1 && found[0].contains(expected), "{before} → {now}: {found:?}");
            assert_eq!(weaker(&now, &before), Vec::<String>::new(), "{now} → {before}");
            assert_eq!(weaker(&before, &before), Vec::<String>::new());
        }
    }

    #[test]
    fn a_weaker_algorithm_is_told() {
        let of = |algorithms: &[Algorithm]| Protection {
            algorithms: algorithms.iter().copied().collect(),
            ..Protection::default()
        };
        let (es, both) = (of(&[Algorithm::Es256]), of(&[Algorithm::Es256, Algorithm::Hs256]));
        let expected = "tokens may be signed with HS256, and the weakest algorithm before was ES256";
        assert_eq!(both.weaker_than(&es), [expected]);
        assert_eq!(es.weaker_than(&both), Vec::<String>::new());
        assert_eq!(of(&[Algorithm::Hs256]).weaker_than(&of(&[Algorithm::Hs512])).len(), 1);
    }
}
