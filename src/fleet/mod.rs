//! Several nodes as one: agreement through a store (Redis or Valkey), outside of requests.
//!
//! Each node decides alone, from its own buckets and bans. A task tells the store what was spent and learns what
//! all nodes have spent together. A store that is gone, slow or wrong changes nothing for requests: the node
//! goes on alone.
//!
//! - `settings`: the section `fleet` of the configuration;
//! - `key`: the key of the fleet, and what is derived from it;
//! - `sync`: the task; a build without the feature `fleet` has `without` in its place;
//! - `store`: the connection to the store.

mod key;
mod settings;
#[cfg(feature = "fleet")]
mod store;
#[cfg(feature = "fleet")]
mod sync;
#[cfg(not(feature = "fleet"))]
mod without;

#[cfg(not(feature = "fleet"))]
use without as sync;

pub use key::FleetKey;
pub use settings::{FleetSettings, OnLoss, StoreSettings, StoreTls, Topology};
pub use sync::{reach, start};

/// Whether this build can agree through a store.
pub const HAS_STORE: bool = cfg!(feature = "fleet");
