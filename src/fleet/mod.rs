//! Several nodes as one: agreement through a store (Redis or Valkey), outside of requests.
//!
//! Each node decides alone, from its own buckets and bans. A task tells the store what was spent and learns what
//! all nodes have spent together. A store that is gone, slow or wrong changes nothing for requests: the node
//! goes on alone.
//!
//! - `settings`: the section `fleet` of the configuration;
//! - `key`: the key of the fleet, and what is derived from it;
//! - `sync`: the task; a build without the feature `fleet` has `without` in its place;
//! - `rates`: one exchange about rates;
//! - `bans`, `entry`: one exchange about bans;
//! - `replays`: one exchange about signatures that were accepted;
//! - `log`: a log in the store, whose entries are encrypted (`seal`);
//! - `store`: the connection to the store;
//! - `explain`, `failure`: what an error of the store means;
//! - `outage`: when to try again, and what is logged.

#[cfg(feature = "fleet")]
mod bans;
#[cfg(feature = "fleet")]
mod entry;
#[cfg(feature = "fleet")]
mod explain;
#[cfg(feature = "fleet")]
mod failure;
mod key;
#[cfg(feature = "fleet")]
mod log;
#[cfg(feature = "fleet")]
mod outage;
#[cfg(feature = "fleet")]
mod rates;
#[cfg(feature = "fleet")]
mod replays;
#[cfg(feature = "fleet")]
mod seal;
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
