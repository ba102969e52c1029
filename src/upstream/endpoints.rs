//! The addresses of an origin, and the choice among them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use pingora_core::upstreams::peer::HttpPeer;

use super::address::Address;
use super::hash;
use super::health::EndpointHealth;
use crate::origins::Balance;

/// An address with its state. The state is kept when other addresses change.
#[derive(Debug)]
pub struct Endpoint {
    pub(super) address: Address,
    /// The share of the requests.
    pub(super) weight: usize,
    pub(super) peer: HttpPeer,
    pub(super) health: EndpointHealth,
    /// The number of requests in flight.
    pub(super) load: AtomicUsize,
    /// The seed for consistent hashing. It is the same in every process.
    pub(super) seed: u64,
    number: u64,
}

impl Endpoint {
    pub(super) fn new(number: u64, address: Address, weight: usize, peer: HttpPeer) -> Self {
        Self {
            seed: hash::of(address.to_string().as_bytes()),
            address,
            weight,
            peer,
            health: EndpointHealth::default(),
            load: AtomicUsize::new(0),
            number,
        }
    }

    /// Identifies the address within this process. The number is never used again, even after a reload.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// A peer for Pingora, which the caller may change.
    pub fn to_peer(&self) -> Box<HttpPeer> {
        Box::new(self.peer.clone())
    }

    /// The address and port; `None` for a unix socket.
    pub fn socket_address(&self) -> Option<SocketAddr> {
        match self.address {
            Address::Inet(address) => Some(address),
            Address::Unix(_) => None,
        }
    }

    /// Whether this endpoint has less load than `other`, relative to the weights.
    fn is_freer_than(&self, other: &Self) -> bool {
        self.load.load(Relaxed) * other.weight < other.load.load(Relaxed) * self.weight
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

/// The keys for consistent hashing.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientIdentity<'r> {
    /// The claim `did` of a verified token.
    pub device: Option<&'r str>,
    /// The address of the client, not of a trusted proxy.
    pub address: Option<IpAddr>,
}

impl ClientIdentity<'_> {
    fn hash(&self, balance: Balance) -> u64 {
        let by_address = || match self.address.map(|address| address.to_canonical()) {
            Some(IpAddr::V4(address)) => hash::of(&address.octets()),
            Some(IpAddr::V6(address)) => hash::of(&address.octets()),
            None => 0,
        };
        match self.device {
            Some(device) if balance == Balance::Device => hash::of(device.as_bytes()),
            _ => by_address(),
        }
    }
}

/// Every address, in the order of the configuration and of the resolver.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    list: Box<[Arc<Endpoint>]>,
    /// Positions in `list`. Each occurs as often as its weight says, evenly spread.
    turns: Box<[usize]>,
    has_weights: bool,
}

impl Endpoints {
    pub fn new(list: Vec<Arc<Endpoint>>) -> Self {
        let weights: Vec<usize> = list.iter().map(|endpoint| endpoint.weight).collect();
        let has_weights = weights.iter().any(|weight| *weight != weights[0]);
        Self { turns: turns(&weights).into(), list: list.into(), has_weights }
    }

    pub fn list(&self) -> &[Arc<Endpoint>] {
        &self.list
    }

    /// Chooses an endpoint that `is_usable` accepts. `turn` is the number of the request.
    pub fn choose(
        &self,
        balance: Balance,
        turn: usize,
        client: ClientIdentity<'_>,
        is_usable: impl Fn(&Arc<Endpoint>) -> bool,
    ) -> Option<&Arc<Endpoint>> {
        match balance {
            Balance::RoundRobin => self.by_turn(turn, is_usable),
            Balance::LeastLoaded => {
                let one = self.by_turn(turn, &is_usable)?;
                // A random second one: with the next one, neighbours would always be compared.
                let other = hash::mix(turn as u64) as usize;
                let other =
                    self.by_turn(other, |endpoint| !Arc::ptr_eq(endpoint, one) && is_usable(endpoint));
                Some(other.filter(|other| other.is_freer_than(one)).unwrap_or(one))
            }
            Balance::Device | Balance::Address => self.by_hash(client.hash(balance), is_usable),
        }
    }

    fn by_turn(&self, turn: usize, is_usable: impl Fn(&Arc<Endpoint>) -> bool) -> Option<&Arc<Endpoint>> {
        let start = turn.checked_rem(self.turns.len())?;
        let (before, from) = self.turns.split_at(start);
        from.iter().chain(before).map(|index| &self.list[*index]).find(|endpoint| is_usable(endpoint))
    }

    /// Rendezvous hashing: each key ranks the addresses in its own order. If an address comes or goes, only
    /// its own keys move.
    fn by_hash(&self, key: u64, is_usable: impl Fn(&Arc<Endpoint>) -> bool) -> Option<&Arc<Endpoint>> {
        let usable = self.list.iter().filter(|endpoint| is_usable(endpoint));
        if !self.has_weights {
            return usable.max_by_key(|endpoint| hash::mix(key ^ endpoint.seed));
        }
        let score = |endpoint: &Endpoint| {
            // Between 0 and 1, exclusive.
            let drawn = ((hash::mix(key ^ endpoint.seed) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
            endpoint.weight as f64 / -drawn.ln()
        };
        usable.max_by(|one, other| score(one).total_cmp(&score(other)))
    }
}

/// Smooth weighted round robin over one round: with weights 2, 1, 1 the turns are 0, 1, 2, 0.
fn turns(weights: &[usize]) -> Vec<usize> {
    let total: usize = weights.iter().sum();
    let mut credit = vec![0_i64; weights.len()];
    let as_credit = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let mut turns = Vec::with_capacity(total);
    for _ in 0..total {
        for (credit, weight) in credit.iter_mut().zip(weights) {
            *credit += as_credit(*weight);
        }
        // The first one with the largest credit.
        let richest = (0..weights.len()).rev().max_by_key(|index| credit[*index]).unwrap_or_default();
        credit[richest] -= as_credit(total);
        turns.push(richest);
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(weights: &[usize]) -> Endpoints {
        let endpoint = |(index, weight): (usize, &usize)| {
            let address = ([192, 0, 2, u8::try_from(index).expect("few")], 80).into();
            Arc::new(Endpoint::new(
                index as u64,
                Address::Inet(address),
                *weight,
                HttpPeer::new(address, false, String::new()),
            ))
        };
        Endpoints::new(weights.iter().enumerate().map(endpoint).collect())
    }

    fn position(endpoints: &Endpoints, found: Option<&Arc<Endpoint>>) -> usize {
        let found = found.expect("one is usable");
        endpoints.list.iter().position(|endpoint| Arc::ptr_eq(endpoint, found)).expect("it is one of them")
    }

    #[test]
    fn turns_follow_the_weights_evenly() {
        assert_eq!(turns(&[1, 1, 1]), [0, 1, 2]);
        assert_eq!(turns(&[2, 1, 1]), [0, 1, 2, 0]);
        assert_eq!(turns(&[5, 1]), [0, 0, 0, 1, 0, 0]);
        assert_eq!(turns(&[]), [0; 0]);
    }

    #[test]
    fn what_is_not_usable_is_passed_over() {
        let endpoints = endpoints(&[1, 1, 1]);
        for balance in Balance::ALL {
            for turn in 0..6 {
                let only = |endpoint: &Arc<Endpoint>| Arc::ptr_eq(endpoint, &endpoints.list[1]);
                let found = endpoints.choose(balance, turn, ClientIdentity::default(), only);
                assert_eq!(position(&endpoints, found), 1, "{balance:?} {turn}");
                let none = endpoints.choose(balance, turn, ClientIdentity::default(), |_| false);
                assert!(none.is_none(), "{balance:?}");
            }
        }
    }

    #[test]
    fn of_two_the_one_with_less_to_do_for_its_weight_is_taken() {
        let endpoints = endpoints(&[1, 3]);
        let choose = |turn| {
            let found = endpoints.choose(Balance::LeastLoaded, turn, ClientIdentity::default(), |_| true);
            position(&endpoints, found)
        };
        endpoints.list[0].load.store(1, Relaxed);
        endpoints.list[1].load.store(2, Relaxed);
        assert!((0..20).all(|turn| choose(turn) == 1));
        endpoints.list[1].load.store(4, Relaxed);
        assert!((0..20).all(|turn| choose(turn) == 0));
    }

    fn shares(endpoints: &Endpoints, is_usable: impl Fn(usize) -> bool) -> Vec<usize> {
        let choose = |key: usize| {
            let device = format!("device-{key}");
            let client = ClientIdentity { device: Some(&device), address: None };
            let usable = |endpoint: &Arc<Endpoint>| is_usable(position(endpoints, Some(endpoint)));
            position(endpoints, endpoints.choose(Balance::Device, key, client, usable))
        };
        (0..10_000).map(choose).collect()
    }

    #[test]
    fn a_device_stays_with_its_address_and_only_those_of_a_dead_one_move() {
        let endpoints = endpoints(&[1, 1, 1, 1]);
        let (before, after) = (shares(&endpoints, |_| true), shares(&endpoints, |index| index != 2));
        assert_eq!(before, shares(&endpoints, |_| true));
        let moved: Vec<_> = before.iter().zip(&after).filter(|(before, after)| before != after).collect();
        assert!(moved.iter().all(|(before, _)| **before == 2));
        for index in 0..4 {
            let share = before.iter().filter(|found| **found == index).count();
            assert!((2200..2800).contains(&share), "{index}: {share} of 10000");
            assert!(index == 2 || moved.iter().filter(|(_, after)| **after == index).count() > 600);
        }
    }

    #[test]
    fn hashing_follows_the_weights() {
        let found = shares(&endpoints(&[1, 3]), |_| true);
        let share = found.iter().filter(|found| **found == 1).count();
        assert!((7200..7800).contains(&share), "{share} of 10000");
    }

    #[test]
    fn a_client_is_hashed_by_its_address_where_there_is_no_device() {
        let address = |text: &str| Some(text.parse().expect("an address"));
        let one = ClientIdentity { device: None, address: address("192.0.2.1") };
        let mapped = ClientIdentity { device: None, address: address("::ffff:192.0.2.1") };
        let other = ClientIdentity { device: Some("d"), address: address("192.0.2.1") };
        assert_eq!(one.hash(Balance::Device), mapped.hash(Balance::Address));
        assert_eq!(other.hash(Balance::Address), one.hash(Balance::Address));
        assert_ne!(other.hash(Balance::Device), one.hash(Balance::Device));
    }
}
