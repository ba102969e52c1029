//! The addresses of an origin, which follow its names.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Upstream;
use super::address::Address;
use super::endpoints::{Endpoint, Endpoints};
use crate::origins::{OriginAddress, Target, UpstreamErrorKind};

impl Upstream {
    /// Resolves the names once. A failure keeps the addresses known so far.
    pub async fn resolve(&self) {
        for (index, address) in self.origin.addresses.iter().enumerate() {
            let Target::Name { host, port } = &address.target else { continue };
            match self.resolver.resolve(host, *port).await {
                Ok(found) => self.known.lock()[index] = sorted(found),
                Err(error) => {
                    self.count(UpstreamErrorKind::Resolve);
                    let known = self.known.lock()[index].len();
                    log::warn!(
                        "origin {}: cannot resolve {host}: {error}; {known} earlier addresses stay in use",
                        self.origin.name,
                    );
                }
            }
        }
        self.refresh();
    }

    /// Resolves the names periodically. Never returns if there is a name.
    pub async fn keep_resolved(&self) {
        let is_name = |address: &OriginAddress| matches!(address.target, Target::Name { .. });
        while self.origin.addresses.iter().any(is_name) {
            tokio::time::sleep(self.origin.resolve_interval).await;
            self.resolve().await;
        }
    }

    /// Rebuilds the endpoints if the addresses have changed. An address that stays keeps its state.
    pub(super) fn refresh(&self) {
        let known = self.known.lock();
        let present = self.endpoints.load();
        let wanted: Vec<(&Address, usize)> = self
            .origin
            .addresses
            .iter()
            .zip(&*known)
            .flat_map(|(configured, found)| found.iter().map(|address| (address, configured.weight)))
            .collect();
        let is_same = |endpoint: &Arc<Endpoint>, (address, weight): (&Address, usize)| {
            endpoint.address == *address && endpoint.weight == weight
        };
        if present.list().len() == wanted.len()
            && present.list().iter().zip(&wanted).all(|(endpoint, wanted)| is_same(endpoint, *wanted))
        {
            return;
        }
        let addresses: Vec<String> = wanted.iter().map(|(address, _)| address.to_string()).collect();
        log::info!("origin {}: {} has {}", self.origin.name, self.origin.host, addresses.join(", "));
        let endpoint = |(address, weight): (&Address, usize)| {
            let kept = present.list().iter().find(|endpoint| is_same(endpoint, (address, weight)));
            kept.cloned().or_else(|| {
                let (number, peer) = (self.dialers.next_number(), self.template.at(address)?);
                Some(Arc::new(Endpoint::new(number, address.clone(), weight, peer)))
            })
        };
        let list = wanted.into_iter().filter_map(endpoint).collect();
        self.endpoints.store(Arc::new(Endpoints::new(list)));
        self.known_failures.retain(&addresses);
    }
}

pub(super) fn known_at_once(address: &OriginAddress) -> Vec<Address> {
    match &address.target {
        Target::Name { .. } => Vec::new(),
        Target::Socket(socket) => vec![Address::Inet(*socket)],
        Target::Unix(path) => vec![Address::Unix(path.as_path().into())],
    }
}

/// Sorts the addresses, so that another order is not a change.
fn sorted(mut addresses: Vec<SocketAddr>) -> Vec<Address> {
    addresses.sort_unstable();
    addresses.dedup();
    addresses.into_iter().map(Address::Inet).collect()
}
