//! Limits on the number of open connections, or of requests in flight.
//!
//! A permit counts until it is dropped. The last permits are reserved for verified work, so that
//! unverified work is refused first. A request asks twice:
//!
//! 1. before verification [`InFlight::is_full`]: if it is, no verdict would help;
//! 2. after verification [`InFlight::enter`], as verified or unverified work. A refused request needs
//!    no permit.
//!
//! Memory: eight bytes for each listener, and at most one map entry for each permit.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::TableKey;

/// The number of locks over which the addresses are spread.
const SHARDS: usize = 64;

/// The kind of work that needs a permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A connection, or a request that was not verified.
    Unverified,
    /// A request whose token was accepted.
    Verified,
}

/// The limit that refuses a permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Full {
    /// All permits are in use.
    Total,
    /// The remaining permits are reserved for verified work.
    Reserve,
    /// The address has all the permits that it may have.
    Address,
    /// The listener has all the permits that it may have.
    Listener,
}

/// The number of permits in use, by address.
type Addresses = HashMap<u64, usize, BuildHasherDefault<Unhashed>>;

/// Takes a key as its own hash, because keys are hashes already.
#[derive(Default)]
struct Unhashed(u64);

impl Hasher for Unhashed {
    fn write_u64(&mut self, key: u64) {
        // The upper bits are the same in one shard.
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

/// The largest numbers of permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// The number of all permits.
    pub total: usize,
    /// The permits of `total` that only verified work gets.
    pub reserve: usize,
    /// The permits of one address.
    pub per_address: usize,
    /// The connections of one listener. Requests have no such limit: each origin limits its own
    /// requests in flight.
    pub per_listener: usize,
}

/// The permits of connections, or of requests in flight; shared by all workers.
pub struct InFlight {
    caps: Caps,
    counts: Arc<Counts>,
}

struct Counts {
    total: AtomicUsize,
    addresses: Box<[Mutex<Addresses>]>,
    listeners: Box<[AtomicUsize]>,
}

impl InFlight {
    /// Permits with these limits in `listeners` listeners. Takes over the counts of `previous` if the number of
    /// listeners is the same, so that a reload keeps them.
    pub fn new(caps: Caps, listeners: usize, previous: Option<&InFlight>) -> Self {
        let previous = previous.map(|previous| &previous.counts);
        let previous = previous.filter(|previous| previous.listeners.len() == listeners);
        let counts = previous.cloned().unwrap_or_else(|| {
            Arc::new(Counts {
                total: AtomicUsize::new(0),
                addresses: std::iter::repeat_with(Mutex::default).take(SHARDS).collect(),
                listeners: std::iter::repeat_with(AtomicUsize::default).take(listeners).collect(),
            })
        });
        Self { caps, counts }
    }

    /// Takes a permit. `address` is `None` if the address is not limited, `listener` is `None` for requests.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn enter(
        &self,
        work: Work,
        address: Option<TableKey>,
        listener: Option<usize>,
    ) -> Result<Permit, Full> {
        let cap = match work {
            Work::Verified => self.caps.total,
            Work::Unverified => self.caps.total.saturating_sub(self.caps.reserve),
        };
        if !take(&self.counts.total, cap) {
            return Err(if self.is_full() { Full::Total } else { Full::Reserve });
        }
        // The permit is dropped, and so returned, if a later limit refuses.
        let mut permit = Permit { counts: self.counts.clone(), address: None, listener: None };
        if let Some(address) = address {
            self.enter_address(&mut permit, address)?;
        }
        if let Some((listener, count)) =
            listener.and_then(|listener| Some((listener, self.counts.listeners.get(listener)?)))
        {
            if !take(count, self.caps.per_listener) {
                return Err(Full::Listener);
            }
            permit.listener = Some(listener);
        }
        Ok(permit)
    }

    /// Assigns an address to a permit that was taken before the address was known.
    ///
    /// # Errors
    /// [`Full::Address`]. The permit stays unchanged.
    pub fn enter_address(&self, permit: &mut Permit, address: TableKey) -> Result<(), Full> {
        if permit.address.is_none() {
            if !self.counts.enter_address(address, self.caps.per_address) {
                return Err(Full::Address);
            }
            permit.address = Some(address);
        }
        Ok(())
    }

    /// Whether verified work would be refused too.
    pub fn is_full(&self) -> bool {
        self.count() >= self.caps.total
    }

    /// The number of all permits.
    pub fn limit(&self) -> usize {
        self.caps.total
    }

    /// The number of permits in use.
    pub fn count(&self) -> usize {
        self.counts.total.load(Ordering::Relaxed)
    }

    /// The number of permits in use in a listener.
    pub fn count_of_listener(&self, listener: usize) -> usize {
        self.counts.listeners.get(listener).map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

impl Counts {
    fn enter_address(&self, address: TableKey, cap: usize) -> bool {
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

    fn leave_address(&self, address: TableKey) {
        let mut addresses = self.shard(address).lock();
        if let Some(count) = addresses.get_mut(&address.0) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&address.0);
            }
        }
    }

    fn shard(&self, address: TableKey) -> &Mutex<Addresses> {
        &self.addresses[address.place(SHARDS)]
    }
}

/// The right to hold a connection open, or to forward a request. Dropping the permit returns it.
pub struct Permit {
    counts: Arc<Counts>,
    address: Option<TableKey>,
    listener: Option<usize>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(address) = self.address {
            self.counts.leave_address(address);
        }
        if let Some(listener) = self.listener {
            put_back(&self.counts.listeners[listener]);
        }
        put_back(&self.counts.total);
    }
}

fn take(count: &AtomicUsize, cap: usize) -> bool {
    let next = |count: usize| (count < cap).then_some(count + 1);
    count.fetch_update(Ordering::Acquire, Ordering::Relaxed, next).is_ok()
}

fn put_back(count: &AtomicUsize) {
    count.fetch_sub(1, Ordering::Release);
}
