//! Key sets that are fetched from a URL, outside of requests.
//!
//! A [`RemoteSet`] is fetched at the start and then by a timer. Requests read its keys from a
//! [`SharedKeySet`](crate::approov::SharedKeySet) and never wait for a fetch. A set that was fetched
//! once stays in force until a newer one is fetched, however long that takes.
//!
//! - `settings`: one key set as configured;
//! - `remote`: the state of one key set, and the task that fetches it;
//! - `schedule`: when it is fetched;
//! - `cache`: the file for a start without the server;
//! - `in_use`: which sets are in use over reloads and upgrades.

mod cache;
mod in_use;
mod remote;
mod schedule;
mod settings;

pub use in_use::{KeySets, fetch_once, import_sets};
pub use remote::{HandedSet, RemoteSet};
pub use settings::KeySetSettings;
