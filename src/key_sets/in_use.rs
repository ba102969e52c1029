//! The key sets in use, over reloads.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinSet};

use super::remote::{HandedSet, RemoteSet};
use super::settings::KeySetSettings;
use crate::telemetry::Metrics;

/// How long the first fetch of a set may hold up a start or a reload.
const FIRST_FETCH: Duration = Duration::from_secs(5);

/// The key sets in use, and the tasks that keep them fresh.
#[derive(Clone)]
pub struct KeySets {
    metrics: Arc<Metrics>,
    running: Arc<Mutex<Vec<RunningSet>>>,
}

struct RunningSet {
    set: Arc<RemoteSet>,
    task: AbortHandle,
}

impl KeySets {
    /// Starts without a key set. The series go to `metrics`.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, running: Arc::default() }
    }

    /// Prepares the sets of a configuration: with the keys of a running set of the same URL, else with
    /// those of the cache file, else fetched. A set that cannot be had now is fetched later.
    ///
    /// # Errors
    /// If TLS cannot be prepared.
    pub async fn prepare(&self, wanted: &[KeySetSettings]) -> Result<Vec<Arc<RemoteSet>>, rustls::Error> {
        let mut fetching = JoinSet::new();
        let mut prepared = Vec::with_capacity(wanted.len());
        for settings in wanted {
            let set = Arc::new(RemoteSet::new(settings.clone(), &self.metrics)?);
            if !self.go_on(&set) && !set.read_cache() {
                let set = set.clone();
                fetching.spawn(async move { set.refresh().await });
            }
            prepared.push(set);
        }
        let all = async { while fetching.join_next().await.is_some() {} };
        if tokio::time::timeout(FIRST_FETCH, all).await.is_err() {
            log::warn!("a key set takes long to fetch; requests that need it get 503 until it is there");
        }
        Ok(prepared)
    }

    /// Keeps `sets` fresh from now on, and no others, with tasks on `runtime`.
    pub fn adopt(&self, sets: Vec<Arc<RemoteSet>>, runtime: &Handle) {
        let mut running = self.running.lock();
        running.iter().for_each(|running| running.task.abort());
        for set in &sets {
            // A fetch may have ended since the set was prepared.
            if let Some(before) = running.iter().find(|before| before.set.name() == set.name()) {
                set.go_on_from(&before.set);
            }
        }
        for gone in running.iter().filter(|gone| sets.iter().all(|set| set.name() != gone.set.name())) {
            self.metrics.forget_key_set(gone.set.name());
        }
        *running = sets
            .into_iter()
            .map(|set| {
                let task = runtime.spawn(set.clone().keep_fresh()).abort_handle();
                RunningSet { set, task }
            })
            .collect();
    }

    /// The sets in force, for a successor.
    pub fn export(&self) -> Vec<HandedSet> {
        self.running.lock().iter().filter_map(|running| running.set.hand_over()).collect()
    }

    /// Takes keys from the set of the same name, if it runs. Returns whether there are any.
    fn go_on(&self, set: &RemoteSet) -> bool {
        let running = self.running.lock();
        running.iter().any(|running| running.set.name() == set.name() && set.go_on_from(&running.set))
    }
}

/// Fetches each set once and puts it in force. Returns its name and the number of its keys, or what is
/// wrong in words.
///
/// # Errors
/// If TLS cannot be prepared.
pub async fn fetch_once(
    wanted: &[KeySetSettings],
    metrics: &Metrics,
) -> Result<Vec<(Box<str>, Result<usize, String>)>, rustls::Error> {
    let mut results = Vec::with_capacity(wanted.len());
    for settings in wanted {
        let set = RemoteSet::new(settings.clone(), metrics)?;
        results.push((settings.name.clone(), set.try_out().await));
    }
    Ok(results)
}

/// Gives each of `sets` the keys that a predecessor had from the same URL, unless it was fetched already.
pub fn import_sets(sets: &[Arc<RemoteSet>], handed: Vec<HandedSet>) {
    for handed in handed {
        if let Some(set) = sets.iter().find(|set| set.is_source_of(&handed)) {
            set.take(handed);
        }
    }
}
