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
type Addresses = HashMap<u64, usize, BuildHasherDefault<AsItIs>>;

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

/// How much may be under way at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// In all.
    pub total: usize,
    /// Of these, for verified work only.
    pub reserve: usize,
    /// Of one address.
    pub per_address: usize,
    /// In one lane: of one listener. Requests have no lanes here; origins cap their own.
    pub per_lane: usize,
}

/// Caps on what is under way, shared by all workers.
pub struct InFlight {
    caps: Caps,
    counts: Arc<Counts>,
}

struct Counts {
    total: AtomicUsize,
    addresses: Box<[Mutex<Addresses>]>,
    lanes: Box<[AtomicUsize]>,
}

impl InFlight {
    /// These caps, in so many lanes; with what is under way by the counts of `previous`, so that a
    /// reload forgets nothing.
    pub fn new(caps: Caps, lanes: usize, previous: Option<&InFlight>) -> Self {
        let previous = previous.map(|previous| &previous.counts);
        let previous = previous.filter(|previous| previous.lanes.len() == lanes);
        let counts = previous.cloned().unwrap_or_else(|| {
            Arc::new(Counts {
                total: AtomicUsize::new(0),
                addresses: std::iter::repeat_with(Mutex::default).take(SHARDS).collect(),
                lanes: std::iter::repeat_with(AtomicUsize::default).take(lanes).collect(),
            })
        });
        Self { caps, counts }
    }

    /// Asks for a permit. `address` is `None` for one that is not limited, `lane` where there are
    /// none.
    ///
    /// # Errors
    /// The cap that is reached.
    pub fn enter(&self, work: Work, address: Option<Key>, lane: Option<usize>) -> Result<Permit, Full> {
        let cap = match work {
            Work::Verified => self.caps.total,
            Work::Unverified => self.caps.total.saturating_sub(self.caps.reserve),
        };
        if !take(&self.counts.total, cap) {
            return Err(if self.is_full() { Full::Total } else { Full::Reserve });
        }
        // Gives back what it has when it is dropped, so also from the middle of this.
        let mut permit = Permit { counts: self.counts.clone(), address: None, lane: None };
        if let Some(address) = address {
            self.enter_address(&mut permit, address)?;
        }
        if let Some((lane, count)) = lane.and_then(|lane| Some((lane, self.counts.lanes.get(lane)?))) {
            if !take(count, self.caps.per_lane) {
                return Err(Full::Lane);
            }
            permit.lane = Some(lane);
        }
        Ok(permit)
    }

    /// Counts a permit without an address under the one that has become known since.
    ///
    /// # Errors
    /// [`Full::Address`]. The permit stays as it is.
    pub fn enter_address(&self, permit: &mut Permit, address: Key) -> Result<(), Full> {
        if permit.address.is_none() {
            if !self.counts.enter_address(address, self.caps.per_address) {
                return Err(Full::Address);
            }
            permit.address = Some(address);
        }
        Ok(())
    }

    /// Whether even verified work would be refused.
    pub fn is_full(&self) -> bool {
        self.count() >= self.caps.total
    }

    /// How much is under way.
    pub fn count(&self) -> usize {
        self.counts.total.load(Ordering::Relaxed)
    }

    /// How much is under way in a lane.
    pub fn count_of_lane(&self, lane: usize) -> usize {
        self.counts.lanes.get(lane).map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

impl Counts {
    fn enter_address(&self, address: Key, cap: usize) -> bool {
        let mut addresses = self.shard(address).lock();
        let count = addresses.entry(address.0).or_default();
        let has_room = *count < cap;
        if has_room {
            *count += 1;
        } else if *count == 0 {
            addresses.remove(&address.0);
        }
        has_room
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

    fn shard(&self, address: Key) -> &Mutex<Addresses> {
        &self.addresses[address.place(SHARDS)]
    }
}

/// The right to go on. It is given back when it is dropped.
pub struct Permit {
    counts: Arc<Counts>,
    address: Option<Key>,
    lane: Option<usize>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(address) = self.address {
            self.counts.leave_address(address);
        }
        if let Some(lane) = self.lane {
            give_back(&self.counts.lanes[lane]);
        }
        give_back(&self.counts.total);
    }
}

fn take(count: &AtomicUsize, cap: usize) -> bool {
    let next = |count: usize| (count < cap).then_some(count + 1);
    count.fetch_update(Ordering::Acquire, Ordering::Relaxed, next).is_ok()
}

fn give_back(count: &AtomicUsize) {
    count.fetch_sub(1, Ordering::Release);
}
