//! Tests of the addresses of an origin, and of what a request gets of them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::{ClientIdentity, Dialers, Lease, Resolver, Unavailable, Upstream, UpstreamContext};
use crate::origins::{Balance, Ejection, Origin, OriginAddress, Target};
use crate::telemetry::{Metrics, OriginState};

/// Returns the addresses that a test sets, and an error if there are none.
#[derive(Default)]
struct FixedResolver(Mutex<Vec<SocketAddr>>);

impl FixedResolver {
    fn set(&self, addresses: &[&str]) {
        *self.0.lock() = addresses.iter().map(|address| address.parse().expect("an address")).collect();
    }
}

#[async_trait]
impl Resolver for FixedResolver {
    async fn resolve(&self, host: &str, _port: u16) -> io::Result<Vec<SocketAddr>> {
        assert_eq!(host, "api.example");
        let addresses = self.0.lock().clone();
        if addresses.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(addresses) }
    }
}

fn upstream(change: impl FnOnce(&mut Origin)) -> (Arc<Upstream>, Arc<FixedResolver>) {
    let resolver = Arc::new(FixedResolver::default());
    let address: SocketAddr = ([192, 0, 2, 1], 8080).into();
    let mut origin = Origin::plain("api", address, http::HeaderValue::from_static("api"));
    change(&mut origin);
    let context = UpstreamContext {
        metrics: Arc::new(Metrics::new().expect("registers")),
        dialers: Dialers::default(),
        resolver: resolver.clone(),
    };
    (Upstream::new(origin, &context).expect("no certificates"), resolver)
}

fn by_name(origin: &mut Origin) {
    let target = Target::Name { host: "api.example".into(), port: 8080 };
    origin.addresses = vec![OriginAddress { target, weight: 1 }];
}

fn address(lease: &Lease) -> String {
    lease.endpoint().expect("one was chosen").to_string()
}

fn addresses(upstream: &Upstream, requests: usize) -> Vec<String> {
    let ask = || {
        let mut lease = Lease::default();
        upstream.choose(&mut lease, ClientIdentity::default()).expect("an address");
        let address = address(&lease);
        upstream.release(lease);
        address
    };
    std::iter::repeat_with(ask).take(requests).collect()
}

#[test]
fn an_address_is_known_at_once_and_a_unix_socket_too() {
    assert_eq!(addresses(&upstream(|_| {}).0, 2), ["192.0.2.1:8080", "192.0.2.1:8080"]);
    let (upstream, _) = upstream(|origin| {
        origin.addresses = vec![
            OriginAddress { target: Target::Unix("/run/a.sock".into()), weight: 2 },
            OriginAddress { target: Target::Socket(([192, 0, 2, 2], 1).into()), weight: 1 },
        ];
    });
    assert_eq!(addresses(&upstream, 3), ["unix:/run/a.sock", "192.0.2.2:1", "unix:/run/a.sock"]);
}

#[tokio::test]
async fn an_answer_of_the_resolver_that_changes_changes_the_addresses() {
    let (upstream, resolver) = upstream(by_name);
    let none = upstream.choose(&mut Lease::default(), ClientIdentity::default());
    assert_eq!(none.err(), Some(Unavailable::NoAddress));
    resolver.set(&["192.0.2.2:8080", "192.0.2.1:8080", "[2001:db8::1]:8080"]);
    upstream.resolve().await;
    let each = ["192.0.2.1:8080", "192.0.2.2:8080", "[2001:db8::1]:8080", "192.0.2.1:8080"];
    assert_eq!(addresses(&upstream, 4), each);
    resolver.set(&["192.0.2.9:8080"]);
    upstream.resolve().await;
    assert_eq!(addresses(&upstream, 2), ["192.0.2.9:8080", "192.0.2.9:8080"]);
    resolver.set(&[]);
    upstream.resolve().await;
    assert_eq!(addresses(&upstream, 1), ["192.0.2.9:8080"], "a failure keeps what is known");
}

#[tokio::test(start_paused = true)]
async fn names_are_resolved_again_and_again() {
    let (upstream, resolver) = upstream(by_name);
    let resolving = upstream.clone();
    tokio::spawn(async move { resolving.keep_resolved().await });
    for address in ["192.0.2.1:8080", "192.0.2.2:8080"] {
        resolver.set(&[address]);
        tokio::time::sleep(upstream.origin().resolve_interval * 2).await;
        assert_eq!(addresses(&upstream, 1), [address]);
    }
}

#[tokio::test]
async fn what_is_known_of_an_address_outlives_a_change_of_the_others() {
    let (upstream, resolver) = upstream(by_name);
    resolver.set(&["192.0.2.1:8080", "192.0.2.2:8080"]);
    upstream.resolve().await;
    for _ in 0..6 {
        let mut lease = Lease::default();
        upstream.choose(&mut lease, ClientIdentity::default()).expect("an address");
        if address(&lease) == "192.0.2.1:8080" {
            upstream.connect_failed(&mut lease);
        }
        upstream.release(lease);
    }
    assert_eq!(upstream.addresses(), (2, 1));
    resolver.set(&["192.0.2.1:8080", "192.0.2.3:8080"]);
    upstream.resolve().await;
    assert_eq!(addresses(&upstream, 2), ["192.0.2.3:8080", "192.0.2.3:8080"]);
    assert_eq!(upstream.addresses(), (2, 1));
}

fn two(origin: &mut Origin) {
    let address =
        |last| OriginAddress { target: Target::Socket(([192, 0, 2, last], 8080).into()), weight: 1 };
    origin.addresses = vec![address(1), address(2)];
}

#[test]
fn a_request_that_failed_to_connect_gets_each_address_once() {
    for balance in Balance::ALL {
        let (upstream, _) = upstream(|origin| {
            two(origin);
            origin.balance = balance;
        });
        let mut lease = Lease::default();
        upstream.choose(&mut lease, ClientIdentity::default()).expect("an address");
        let first = address(&lease);
        assert!(upstream.connect_failed(&mut lease), "{balance:?}");
        upstream.choose(&mut lease, ClientIdentity::default()).expect("an address");
        assert_ne!(first, address(&lease), "{balance:?}");
        assert!(!upstream.connect_failed(&mut lease), "{balance:?}");
    }
}

#[test]
fn with_every_address_out_there_is_none_until_the_first_returns() {
    let (upstream, _) = upstream(|origin| {
        two(origin);
        let base_time = Duration::from_secs(100);
        origin.ejection = Ejection { connect_failures: 1, base_time, max_time: base_time, ..origin.ejection };
    });
    let mut lease = Lease::default();
    for is_left in [true, false] {
        upstream.choose(&mut lease, ClientIdentity::default()).expect("an address");
        assert_eq!(upstream.connect_failed(&mut lease), is_left);
    }
    let why = upstream.choose(&mut Lease::default(), ClientIdentity::default()).err();
    let Some(Unavailable::AllDown(time)) = why else { panic!("{why:?}") };
    assert!((98..=100).contains(&time.as_secs()), "{time:?}");
    assert_eq!(upstream.addresses(), (2, 0));
}

#[test]
fn the_only_address_is_asked_again_and_again_unless_that_is_forbidden() {
    for (single, expected) in [(false, true), (true, false)] {
        let (upstream, _) = upstream(|origin| {
            origin.ejection = Ejection { single, connect_failures: 1, ..origin.ejection };
        });
        let mut lease = Lease::default();
        assert!(upstream.choose(&mut lease, ClientIdentity::default()).is_ok());
        assert!(!upstream.connect_failed(&mut lease));
        assert_eq!(upstream.choose(&mut Lease::default(), ClientIdentity::default()).is_ok(), expected);
    }
}
