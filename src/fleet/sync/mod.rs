//! The task that agrees with other nodes through the store.
//!
//! - `rates`: one exchange about rates, with a script (`buckets.lua`);
//! - `bans`, `entry`: one exchange about bans;
//! - `replays`: one exchange about signatures that were accepted;
//! - `store_log`: a log in the store (`log.lua`), whose entries are encrypted (`seal`);
//! - `backoff`, `outage`: when a lost store is tried again, and what is logged.

mod backoff;
mod bans;
mod entry;
mod outage;
mod rates;
mod replays;
mod seal;
mod store_log;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::time::{Interval, MissedTickBehavior, timeout};
use tokio_rustls::TlsConnector;

use crate::clock;
use crate::fleet::settings::{OnLoss, StoreSettings};
use crate::fleet::store::{StoreConnection, SyncFailure, tls_connector};
use crate::proxy::Shared;
use crate::telemetry::{FleetMetrics, Metrics};
use backoff::{Backoff, chance};
use bans::BanLog;
use outage::Outage;
use rates::RateExchange;
use replays::ReplayLog;

/// How long a decision about a ban waits to be told, at most.
const HASTE: Duration = Duration::from_millis(50);

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
        tls: None,
        shared: shared.clone(),
        metrics: metrics.fleet()?,
        backoff: Backoff::default(),
        outage: Outage::default(),
        rates: RateExchange::default(),
        bans: BanLog::default(),
        replays: ReplayLog::default(),
    };
    task.set_lost(true);
    runtime.spawn(async move {
        loop {
            let Err(failure) = task.serve().await;
            task.lost(&failure);
            tokio::time::sleep(task.backoff.pause(task.settings.sync, clock::now(), chance())).await;
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
        let tls = settings.tls.as_ref().map(tls_connector).transpose()?;
        let store = StoreConnection::connect(settings, tls).await?;
        let probe = timeout(settings.patience(), rates::probe(&store, settings));
        probe.await.unwrap_or(Err(SyncFailure::TooSlow))
    };
    attempt.await.map_err(|failure| failure.explain().to_owned())
}

struct SyncTask {
    settings: StoreSettings,
    /// Made for the first connection, because it reads the authorities of the system.
    tls: Option<TlsConnector>,
    shared: Arc<Shared>,
    metrics: FleetMetrics,
    backoff: Backoff,
    outage: Outage,
    rates: RateExchange,
    bans: BanLog,
    replays: ReplayLog,
}

impl SyncTask {
    /// Agrees for as long as the store answers.
    async fn serve(&mut self) -> Result<Infallible, SyncFailure> {
        self.backoff.begins(clock::now());
        let mut store = self.connect().await?;
        let mut ticks = tokio::time::interval(self.settings.sync);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.wait(&mut ticks).await;
            let began = clock::now();
            self.backoff.begins(began);
            if store.is_outdated() {
                store = self.connect().await?;
            }
            // A later answer about rates would count for longer than it should.
            let exchange = timeout(self.settings.patience(), self.exchange(&store));
            let buckets = exchange.await.unwrap_or(Err(SyncFailure::TooSlow))?;
            self.agreed(began, buckets);
        }
    }

    async fn connect(&mut self) -> Result<StoreConnection, SyncFailure> {
        if let (Some(tls), None) = (&self.settings.tls, &self.tls) {
            self.tls = Some(tls_connector(tls)?);
        }
        StoreConnection::connect(&self.settings, self.tls.clone()).await
    }

    /// Tells and learns everything once. Returns the number of buckets. Buckets, bans and signatures may be on
    /// different nodes of a cluster, so a failure of one does not keep the others back.
    async fn exchange(&mut self, store: &StoreConnection) -> Result<usize, SyncFailure> {
        store.begin_exchange();
        let snapshot = self.shared.snapshot.load_full();
        let buckets = self.rates.exchange(store, &snapshot.limits, &self.settings).await;
        let bans = self.bans.exchange(store, &snapshot.limits, &self.settings).await;
        let replays = self.replays.exchange(store, &snapshot, &self.settings).await;
        bans.and(replays).and(buckets)
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

    fn agreed(&mut self, began: Instant, buckets: usize) {
        self.backoff.succeeds();
        self.metrics.synced(clock::since(began), buckets);
        self.set_lost(false);
        if self.outage.ends() {
            log::info!("fleet store {}: agreeing with the other nodes", self.settings.shown());
        }
    }

    fn lost(&mut self, failure: &SyncFailure) {
        self.set_lost(true);
        self.metrics.failed();
        if self.outage.begins(clock::now()) {
            let alone = match self.settings.on_loss {
                OnLoss::Local => "with its whole limits",
                OnLoss::Share => "with its share of the limits",
            };
            let (store, why) = (self.settings.shown(), failure.explain());
            log::warn!("fleet store {store}: {why}; this node goes on alone, {alone}");
        }
    }

    fn set_lost(&self, is_lost: bool) {
        if let Some(agreement) = self.shared.snapshot.load().limits.agreement() {
            agreement.is_lost.store(is_lost, Ordering::Relaxed);
        }
    }
}
