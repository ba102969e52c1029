//! The task that agrees with other nodes through the store.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Interval, MissedTickBehavior, timeout};

use super::bans::BanLog;
use super::explain::explain;
use super::outage::{Outage, pause};
use super::rates;
use super::replays::ReplayLog;
use super::settings::{OnLoss, StoreSettings};
use super::store::StoreConnection;
use crate::clock;
use crate::proxy::Shared;
use crate::telemetry::{FleetMetrics, Metrics};

/// Time limit for all steps of connecting (name, TLS, login, sentinels), in multiples of the patience.
const STEPS: u32 = 4;

/// How long a decision about a ban waits to be told, at most.
const HASTE: Duration = Duration::from_millis(50);

const TOO_SLOW: &str = "it does not answer in time";

/// Starts the task on `runtime`. Neither the start nor a request waits for the store.
///
/// # Errors
/// If the metrics are registered already.
pub fn start(
    settings: StoreSettings,
    shared: &Arc<Shared>,
    metrics: &Metrics,
    runtime: &Handle,
) -> Result<(), prometheus::Error> {
    let mut task = SyncTask {
        settings,
        shared: shared.clone(),
        metrics: metrics.fleet()?,
        outage: Outage::default(),
        bans: BanLog::default(),
        replays: ReplayLog::default(),
    };
    task.set_lost(true);
    runtime.spawn(async move {
        loop {
            let why = task.serve().await;
            task.lost(why);
            tokio::time::sleep(pause(task.settings.sync)).await;
        }
    });
    Ok(())
}

/// Connects to the store and makes one exchange about nothing.
///
/// # Errors
/// What failed, in words.
pub async fn reach(settings: &StoreSettings) -> Result<(), String> {
    let attempt = async {
        let store = StoreConnection::connect(settings).await.map_err(|error| explain(&error))?;
        rates::probe(&store, settings).await.map_err(|failure| failure.explain())
    };
    timeout(settings.patience() * STEPS, attempt).await.unwrap_or(Err(TOO_SLOW)).map_err(str::to_owned)
}

struct SyncTask {
    settings: StoreSettings,
    shared: Arc<Shared>,
    metrics: FleetMetrics,
    outage: Outage,
    bans: BanLog,
    replays: ReplayLog,
}

impl SyncTask {
    /// Agrees for as long as the store answers. Returns what failed.
    async fn serve(&mut self) -> &'static str {
        let connecting = timeout(self.settings.patience() * STEPS, StoreConnection::connect(&self.settings));
        let mut store = match connecting.await {
            Ok(Ok(store)) => store,
            Ok(Err(error)) => return explain(&error),
            Err(_) => return TOO_SLOW,
        };
        let mut ticks = tokio::time::interval(self.settings.sync);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.wait(&mut ticks).await;
            let began = clock::now();
            let snapshot = self.shared.snapshot.load_full();
            let exchange = async {
                let buckets = rates::exchange(&store, &snapshot.limits, &self.settings).await?;
                self.bans.exchange(&mut store, &snapshot.limits, &self.settings).await?;
                self.replays.exchange(&mut store, &snapshot, &self.settings).await.map(|()| buckets)
            };
            // A later answer about rates would count for longer than it should.
            match timeout(self.settings.patience(), exchange).await {
                Ok(Ok(buckets)) => {
                    self.metrics.synced(clock::since(began), buckets);
                    self.set_lost(false);
                    if self.outage.ends() {
                        log::info!("fleet store {}: agreeing with the other nodes", self.settings.shown());
                    }
                }
                Ok(Err(failure)) => return failure.explain(),
                Err(_) => return TOO_SLOW,
            }
        }
    }

    /// Waits for the next exchange. What this node has decided about bans does not wait.
    async fn wait(&self, ticks: &mut Interval) {
        loop {
            match timeout(HASTE, ticks.tick()).await {
                Ok(_) => return,
                Err(_) if self.shared.snapshot.load().limits.has_decrees() => return,
                Err(_) => {}
            }
        }
    }

    fn lost(&mut self, why: &'static str) {
        self.set_lost(true);
        self.metrics.failed();
        if self.outage.begins(clock::now()) {
            let alone = match self.settings.on_loss {
                OnLoss::Local => "with its whole limits",
                OnLoss::Share => "with its share of the limits",
            };
            log::warn!("fleet store {}: {why}; this node goes on alone, {alone}", self.settings.shown());
        }
    }

    fn set_lost(&self, is_lost: bool) {
        if let Some(agreement) = self.shared.snapshot.load().limits.agreement() {
            agreement.is_lost.store(is_lost, Ordering::Relaxed);
        }
    }
}
