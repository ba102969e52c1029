//! Origins: their addresses, kept fresh off the request's path, and connections to them.

mod peers;

pub use peers::TUNNEL_IDLE;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use pingora_core::upstreams::peer::HttpPeer;

use crate::config::Origin;
use crate::telemetry::{Metrics, OriginMetrics, UpstreamErrorKind};

/// One origin with its present addresses. A request asks for a [`peer`](Upstream::peer); names
/// are resolved by [`Upstream::keep_resolved`], never by a request.
pub struct Upstream {
    origin: Origin,
    metrics: OriginMetrics,
    /// A prepared peer for each address; a request clones one.
    peers: ArcSwap<Vec<HttpPeer>>,
    next: AtomicUsize,
}

impl Upstream {
    /// An origin whose name has not been resolved yet; an IP address needs no resolving.
    pub fn new(origin: Origin, metrics: &Metrics) -> Self {
        let known: Vec<SocketAddr> =
            literal_address(&origin).into_iter().map(|ip| (ip, origin.port).into()).collect();
        Self {
            metrics: metrics.origin(&origin.name),
            peers: ArcSwap::from_pointee(peers::prepare(&origin, &known)),
            next: AtomicUsize::new(0),
            origin,
        }
    }

    /// Its configuration.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// How many addresses are known.
    pub fn address_count(&self) -> usize {
        self.peers.load().len()
    }

    /// The peer whose turn it is; none while no address is known. A request that failed to
    /// connect asks again and gets the next address.
    pub fn peer(&self) -> Option<Box<HttpPeer>> {
        let peers = self.peers.load();
        let turn = match peers.len() {
            0 => return None,
            1 => 0,
            count => self.next.fetch_add(1, Ordering::Relaxed) % count,
        };
        Some(Box::new(peers[turn].clone()))
    }

    /// Counts a failure of this origin.
    pub fn failed(&self, kind: UpstreamErrorKind) {
        self.metrics.failed(kind);
    }

    /// Resolves the name once. A failure keeps the addresses known so far.
    pub async fn resolve(&self) {
        if literal_address(&self.origin).is_some() {
            return;
        }
        match lookup(&self.origin).await {
            Ok(addresses) => self.take(&addresses),
            Err(error) => {
                self.failed(UpstreamErrorKind::Resolve);
                let known = self.address_count();
                log::warn!(
                    "origin {}: cannot resolve {}: {error}; {known} earlier addresses stay in use",
                    self.origin.name,
                    self.origin.host,
                );
            }
        }
    }

    /// Resolves the name again and again, for ever.
    pub async fn keep_resolved(&self) {
        if literal_address(&self.origin).is_some() {
            return;
        }
        loop {
            tokio::time::sleep(self.origin.resolve_interval).await;
            self.resolve().await;
        }
    }

    fn take(&self, addresses: &[SocketAddr]) {
        let present = self.peers.load();
        if present.iter().map(|peer| peer._address.as_inet().copied()).eq(addresses.iter().copied().map(Some))
        {
            return;
        }
        log::info!("origin {}: {} has {addresses:?}", self.origin.name, self.origin.host);
        self.peers.store(peers::prepare(&self.origin, addresses).into());
    }
}

fn literal_address(origin: &Origin) -> Option<IpAddr> {
    origin.host.trim_matches(['[', ']']).parse().ok()
}

/// The system's resolver, on a thread for blocking work. Sorted, so that an answer in another
/// order is not taken for a change.
async fn lookup(origin: &Origin) -> io::Result<Vec<SocketAddr>> {
    let mut addresses: Vec<SocketAddr> =
        tokio::net::lookup_host((&*origin.host, origin.port)).await?.collect();
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::OriginTimeouts;
    use std::time::Duration;

    fn upstream(host: &str) -> Upstream {
        let second = Duration::from_secs(1);
        let origin = Origin {
            name: "api".into(),
            host: host.into(),
            port: 8080,
            tls: false,
            authority: http::HeaderValue::from_static("api"),
            timeouts: OriginTimeouts { connect: second, read: second, write: second, idle: second },
            resolve_interval: second,
        };
        Upstream::new(origin, &Metrics::new().expect("registers"))
    }

    fn addresses(upstream: &Upstream, requests: usize) -> Vec<String> {
        let peers = std::iter::repeat_with(|| upstream.peer().expect("a peer"));
        peers.take(requests).map(|peer| peer._address.to_string()).collect()
    }

    #[test]
    fn an_ip_address_is_known_at_once() {
        assert_eq!(addresses(&upstream("192.0.2.1"), 1), ["192.0.2.1:8080"]);
        assert_eq!(addresses(&upstream("[::1]"), 1), ["[::1]:8080"]);
    }

    #[test]
    fn a_name_has_no_peer_before_it_is_resolved_and_then_each_address_in_turn() {
        let upstream = upstream("api.example");
        assert!(upstream.peer().is_none());
        upstream.take(&[([192, 0, 2, 1], 8080).into(), ([192, 0, 2, 2], 8080).into()]);
        assert_eq!(addresses(&upstream, 3), ["192.0.2.1:8080", "192.0.2.2:8080", "192.0.2.1:8080"]);
        upstream.take(&[([192, 0, 2, 3], 8080).into()]);
        assert_eq!(addresses(&upstream, 2), ["192.0.2.3:8080", "192.0.2.3:8080"]);
    }
}
