//! How much may be under way at once: connections, or requests on their way to an origin.
//!
//! A permit counts for as long as it lives. When little is left, it is kept for verified work:
//! unverified work is shed first. For requests that means
//!
//! 1. before anything is verified, ask [`InFlight::is_full`]: then no verdict would help;
//! 2. when the verdict is there and the request is to be forwarded, [`InFlight::enter`] as what it
//!    turned out to be. A refused request never needs a permit.
//!
//! Memory: eight bytes for each lane, and at most one entry of a map for each permit that is out.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::Key;

/// How many locks the addresses are spread over.
const SHARDS: usize = 64;

/// What asks for a permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Nobody vouches for it.
    Unverified,
    /// A genuine app sent it.
    Verified,
}

/// Why there is no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Full {
    /// So much is under way in total that nothing more is taken.
    Total,
    /// The rest is kept for verified work.
    Reserve,
    /// So much of this address is under way.
    Address,
    /// So much is under way in this lane.
    Lane,
}

/// Permits that are out, by address.
type Counts = HashMap<u64, usize, BuildHasherDefault<AsItIs>>;

/// Keys are hashes already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write_u64(&mut self, key: u64) {
        // Its upper bits have chosen the shard.
        self.0 = key.rotate_left(32);
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Caps on what is under way, shared by all workers.
pub struct InFlight {
    total: Gauge,
    reserve: usize,
    per_address: Option<usize>,
    addresses: Box<[Mutex<Counts>]>,
    lanes: Box<[Gauge]>,
}

impl InFlight {
    /// At most `total` at once, of which `reserve` are for verified work only.
    pub fn new(total: usize, reserve: usize) -> Self {
        Self {
            total: Gauge::new(total),
            reserve,
            per_address: None,
            addresses: Box::default(),
            lanes: Box::default(),
        }
    }

    /// The same, with at most `cap` of one address.
    pub fn with_cap_per_address(mut self, cap: usize) -> Self {
        self.per_address = Some(cap);
        self.addresses = std::iter::repeat_with(Mutex::default).take(SHARDS).collect();
        self
    }

    /// The same, with a cap on each of several lanes: listeners, or origins.
    pub fn with_lanes(mut self, caps: impl IntoIterator<Item = usize>) -> Self {
        self.lanes = caps.into_iter().map(Gauge::new).collect();
        self
    }

    /// Asks for a permit. `address` is `None` for one that is not limited, `lane` where there are
    /// none.
    ///
    /// # Errors
    /// The cap that is reached.
    pub fn enter(
        self: &Arc<Self>,
        work: Work,
        address: Option<Key>,
        lane: Option<usize>,
    ) -> Result<Permit, Full> {
        let cap = match work {
            Work::Verified => self.total.cap,
            Work::Unverified => self.total.cap.saturating_sub(self.reserve),
        };
        if !self.total.take(cap) {
            return Err(if self.is_full() { Full::Total } else { Full::Reserve });
        }
        // Gives back what it has when it is dropped, so also from the middle of this.
        let mut permit = Permit { in_flight: self.clone(), address: None, lane: None };
        if let (Some(address), Some(cap)) = (address, self.per_address) {
            permit.address = Some(self.enter_address(address, cap)?);
        }
        if let Some((lane, gauge)) = lane.and_then(|lane| Some((lane, self.lanes.get(lane)?))) {
            if !gauge.take(gauge.cap) {
                return Err(Full::Lane);
            }
            permit.lane = Some(lane);
        }
        Ok(permit)
    }

    /// Whether even verified work would be refused.
    pub fn is_full(&self) -> bool {
        self.count() >= self.total.cap
    }

    /// How much is under way.
    pub fn count(&self) -> usize {
        self.total.count.load(Ordering::Relaxed)
    }

    fn enter_address(&self, address: Key, cap: usize) -> Result<Key, Full> {
        let mut addresses = self.shard(address).lock();
        let count = addresses.entry(address.0).or_default();
        if *count < cap {
            *count += 1;
            Ok(address)
        } else {
            if *count == 0 {
                addresses.remove(&address.0);
            }
            Err(Full::Address)
        }
    }

    fn leave_address(&self, address: Key) {
        let mut addresses = self.shard(address).lock();
        if let Some(count) = addresses.get_mut(&address.0) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&address.0);
            }
        }
    }

    fn shard(&self, address: Key) -> &Mutex<Counts> {
        &self.addresses[address.place(SHARDS)]
    }
}

/// The right to go on. It is given back when it is dropped.
pub struct Permit {
    in_flight: Arc<InFlight>,
    address: Option<Key>,
    lane: Option<usize>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(address) = self.address {
            self.in_flight.leave_address(address);
        }
        if let Some(lane) = self.lane {
            self.in_flight.lanes[lane].give_back();
        }
        self.in_flight.total.give_back();
    }
}

/// A count with a cap.
struct Gauge {
    count: AtomicUsize,
    cap: usize,
}

impl Gauge {
    fn new(cap: usize) -> Self {
        Self { count: AtomicUsize::new(0), cap }
    }

    fn take(&self, cap: usize) -> bool {
        let next = |count: usize| (count < cap).then_some(count + 1);
        self.count.fetch_update(Ordering::Acquire, Ordering::Relaxed, next).is_ok()
    }

    fn give_back(&self) {
        self.count.fetch_sub(1, Ordering::Release);
    }
}
