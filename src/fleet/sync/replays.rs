//! One exchange about signatures that were accepted.

use std::time::Duration;

use super::seal::SealKey;
use super::store_log::{Keep, StoreLog};
use crate::clock;
use crate::fleet::settings::StoreSettings;
use crate::fleet::store::{StoreConnection, SyncFailure};
use crate::proxy::Snapshot;

/// The bytes of one entry of the log, before it is sealed: 250 signatures. `log.lua` leaves out what is longer than
/// 8192 characters.
const MOST_BYTES: usize = 250 * 24;

/// How much the log keeps. A signature is good for minutes; a node that has just started reads the log once.
const KEEP: Keep = Keep { age: Duration::from_secs(300), entries: 10_000 };

/// What this node has told and read.
#[derive(Default)]
pub(super) struct ReplayLog(StoreLog);

impl ReplayLog {
    /// Tells which signatures this node has accepted, and remembers those of others.
    pub async fn exchange(
        &mut self,
        store: &StoreConnection,
        snapshot: &Snapshot,
        settings: &StoreSettings,
    ) -> Result<(), SyncFailure> {
        let Some(fresh) = snapshot.take_fresh_replays() else { return Ok(()) };
        let purpose = format!("replays 1 {}", settings.name);
        let Some(key) = SealKey::new(&settings.key.entry_key(), purpose) else { return Ok(()) };
        self.0.write(fresh.chunks(MOST_BYTES).filter_map(|part| key.seal(part)));
        let name = format!("ag1:{{{}:replays}}", settings.name);
        let now = clock::unix_time().as_secs();
        for entry in self.0.exchange(store, name, KEEP).await?.entries {
            if let Some(signatures) = key.open(&entry) {
                snapshot.import_replays(&signatures, now);
            }
        }
        Ok(())
    }
}
