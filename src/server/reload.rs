//! Loads another configuration while requests run.
//!
//! A thread with a lower priority than the workers does everything, from reading the files to dropping
//! the old configuration. Neither a request nor a signal waits for it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::descriptors::Descriptors;
use super::file_thread::{FileThread, TookTooLong};
use super::fixed_settings::FixedSettings;
use super::machine::machine_name;
use super::notify::{self, Notifier, READY};
use super::origins::Origins;
use super::sockets::Listeners;
use super::watched::{self, WatchedFiles};
use crate::admin::{Access, ConfigStatus, LogLevel};
use crate::config::{AccessLog, Problems, Protection, ServerSettings, Settings, SourceFile, weaker_routes};
use crate::fleet::StoreSettings;
use crate::key_sets::KeySets;
use crate::proxy::{Shared, Snapshot};
use crate::telemetry::{self, Metrics, ShownCertificate};
use crate::tls::{Identity, ServerTls, Tickets};

/// Loads the configuration from the same sources as at the start.
pub type Load = Arc<dyn Fn() -> Result<Settings, LoadError> + Send + Sync>;

/// Why the configuration cannot be used.
#[derive(Debug)]
pub struct LoadError {
    /// Every problem, a line each.
    pub problems: String,
    /// The files that were read. When one of them changes, loading is tried again.
    pub files: Vec<SourceFile>,
}

impl From<Problems> for LoadError {
    fn from(problems: Problems) -> Self {
        Self { problems: problems.to_string(), files: problems.files().to_vec() }
    }
}

/// How long all files of a configuration may take to read. They are read in milliseconds, unless a
/// file system does not answer.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// How far the priority is below that of the workers (`nice(1)`). With both cores busy, a reload gets a
/// tenth of one.
const NICENESS: i32 = 10;

/// Gives orders to the thread that reloads.
pub(super) struct Reloading {
    orders: Sender<&'static str>,
    ending: Arc<Mutex<Ending>>,
}

/// How long the end of the process may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    pub drain_delay: Duration,
    pub grace_period: Duration,
}

impl Ending {
    pub fn of(settings: &ServerSettings) -> Self {
        Self { drain_delay: settings.drain_delay, grace_period: settings.grace_period }
    }
}

impl Reloading {
    /// Starts the thread that reloads.
    pub fn start(reloader: Reloader) -> io::Result<Self> {
        let (orders, received) = mpsc::channel();
        let ending = reloader.ending.clone();
        thread::Builder::new().name("reload".into()).spawn(move || reloader.serve(&received))?;
        Ok(Self { orders, ending })
    }

    /// Orders a reload. `why` is for the log.
    pub fn order(&self, why: &'static str) {
        if self.orders.send(why).is_err() {
            log::error!("{why}: the thread that reloads has ended; the configuration stays as it is");
        }
    }

    /// How long the end may take, by the configuration in force.
    pub fn ending(&self) -> Ending {
        *self.ending.lock()
    }
}

/// Loads configurations and swaps them in.
pub(super) struct Reloader {
    pub load: Load,
    pub files: FileThread,
    pub runtime: Handle,
    pub notifier: Notifier,
    pub shared: Arc<Shared>,
    pub metrics: Arc<Metrics>,
    pub status: Arc<ConfigStatus>,
    pub origins: Origins,
    pub key_sets: KeySets,
    /// The store that this process agrees through.
    pub fleet_store: Option<StoreSettings>,
    pub listeners: Listeners,
    pub tickets: Tickets,
    pub fixed: FixedSettings,
    /// What the configuration in force protects.
    pub protection: Protection,
    pub ending: Arc<Mutex<Ending>>,
    pub access: Arc<ArcSwap<Access>>,
    pub log_level: LogLevel,
    /// The files, if changes are watched for.
    pub watch: Option<WatchedFiles>,
    pub descriptors: Descriptors,
    /// Configurations that requests may still hold. The last handle of each is dropped here, since
    /// that takes milliseconds for a large one.
    pub replaced: Vec<Arc<Snapshot>>,
}

impl Reloader {
    fn serve(mut self, orders: &Receiver<&'static str>) {
        // If it is forbidden, a reload competes with the workers.
        let _ = rustix::process::setpriority_process(None, NICENESS);
        loop {
            let order = match (&self.watch, self.replaced.is_empty()) {
                (None, true) => orders.recv().map_err(RecvTimeoutError::from),
                _ => orders.recv_timeout(watched::EVERY),
            };
            match order {
                Ok(why) => {
                    // This reload fulfils every order up to now.
                    while orders.try_recv().is_ok() {}
                    self.reload(why);
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.sweep();
                    if self.have_files_changed() {
                        self.reload("files have changed");
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Loads everything again and swaps it in, or reports every problem and changes nothing. Requests
    /// in progress keep the configuration that they began with.
    fn reload(&mut self, why: &str) {
        log::info!("{why}: reloading the configuration");
        self.notifier.tell(&notify::reloading());
        let outcome = self.read();
        if let Err(problems) = outcome.and_then(|settings| self.adopt(settings, why)) {
            // Before the counter: a client that sees the counter finds the reasons.
            self.status.refuse(problems.clone());
            self.metrics.config_refused();
            log::error!("the configuration was not reloaded, the old one stays in force:");
            for problem in problems.lines() {
                log::error!("{problem}");
            }
        }
        self.notifier.tell(READY);
    }

    fn read(&mut self) -> Result<Settings, String> {
        let load = self.load.clone();
        match self.files.run(READ_WITHIN, move || load()) {
            Ok(Ok(settings)) => Ok(settings),
            Ok(Err(error)) => {
                self.watch = self.watch.take().map(|_| WatchedFiles::new(error.files));
                Err(error.problems)
            }
            Err(TookTooLong) => Err(format!(
                "reading the configuration takes longer than {READ_WITHIN:?}; check that the file systems \
                 of its files answer"
            )),
        }
    }

    fn have_files_changed(&mut self) -> bool {
        let Some(watch) = &mut self.watch else { return false };
        let look = watch.look();
        self.files.run(READ_WITHIN, look).is_ok_and(|now| watch.have_changed(now))
    }

    fn adopt(&mut self, mut settings: Settings, why: &str) -> Result<(), String> {
        // The buckets of addresses, devices and tokens belong to the key of the fleet.
        let keeps_store = match (&settings.fleet.store, &self.fleet_store) {
            (Some(wanted), Some(present)) => wanted.has_buckets_of(present),
            (wanted, present) => wanted.is_none() && present.is_none(),
        };
        if !keeps_store {
            let message = "with a store, fleet.nodes and the name, key_file and on_loss of fleet.store cannot change \
                           while running, and no store can be added or removed; use `approov-gateway upgrade`";
            return Err(message.to_owned());
        }
        self.watch = watch_of(&settings);
        self.descriptors.fit(&mut settings.limits.connections);
        for warning in &settings.warnings {
            log::warn!("{warning}");
        }
        let mut unapplied = self.fixed.differences(&FixedSettings::of(&settings));
        if settings.fleet.store != self.fleet_store {
            let key = "fleet.store: how to reach the store";
            unapplied.push(format!("{key} cannot change while running; use `approov-gateway upgrade`"));
        }
        for sentence in &unapplied {
            log::warn!("{sentence}");
        }
        let ending = Ending::of(&settings.server);
        let access = Access::new(&settings.admin, &machine_name());
        let log_file = log_file(&settings).map(Path::to_owned);
        let listeners =
            self.listeners.prepare(&settings.listeners, &self.tickets).map_err(|error| error.to_string())?;
        let certificates = certificates(&settings);
        let hash = settings.hash.clone();
        let (level, format) = (settings.log.level, settings.log.format);
        let upstreams = self.runtime.block_on(self.origins.adopt(&settings.origins));
        let upstreams = upstreams.map_err(|error| error.to_string())?;
        let key_sets = self.runtime.block_on(self.key_sets.prepare(&settings.key_sets));
        let key_sets = key_sets.map_err(|error| error.to_string())?;
        let previous = self.shared.snapshot.load_full();
        let protection = Protection::of(&settings);
        let mut weaker = protection.weaker_than(&self.protection);
        weaker.extend(weaker_routes(&settings.routes, previous.routes()));
        let snapshot = Snapshot::new(
            settings.into_snapshot_settings(),
            upstreams.clone(),
            &self.metrics,
            Some(&previous),
        );
        let snapshot = snapshot.map_err(|error| error.to_string())?;
        drop(previous);
        let moved = self.shared.access_log.redirect(log_file.as_deref());
        moved.map_err(|error| format!("log.access_file: {error}"))?;
        self.replaced.push(self.shared.snapshot.swap(Arc::new(snapshot)));
        listeners.adopt();
        self.metrics.certificates(certificates);
        self.origins.keep(&upstreams);
        self.key_sets.adopt(key_sets, &self.runtime);
        *self.ending.lock() = ending;
        self.access.store(Arc::new(access));
        self.log_level.configure(level);
        telemetry::set_diagnostics_format(format);
        self.metrics.config_loaded(&hash);
        log::info!("configuration reloaded, generation {}", self.status.taken(&hash, unapplied));
        log::info!("audit: configuration with SHA-256 {hash}… in force; ordered by: {why}");
        if !weaker.is_empty() {
            log::warn!("audit: protection is weaker than before: {}", weaker.join("; "));
        }
        self.protection = protection;
        self.sweep();
        Ok(())
    }

    fn sweep(&mut self) {
        self.replaced.retain(|snapshot| Arc::strong_count(snapshot) > 1);
    }
}

/// The files to watch, if watching is configured.
pub(super) fn watch_of(settings: &Settings) -> Option<WatchedFiles> {
    settings.server.watch.then(|| WatchedFiles::new(settings.files.clone()))
}

/// The file that the access log goes to; `None` for standard output.
pub(super) fn log_file(settings: &Settings) -> Option<&Path> {
    settings.log.file.as_deref().filter(|_| settings.log.access != AccessLog::Off)
}

/// Every certificate of a listener, for the metrics.
pub(super) fn certificates(settings: &Settings) -> Vec<ShownCertificate> {
    let of_listeners = settings.listeners.iter().flat_map(|listener| {
        let certificates = listener.tls.iter().flat_map(ServerTls::certificates);
        certificates.map(|found| (listener.address.to_string(), true, found))
    });
    let of_admin = settings.admin.tls.iter().map(Identity::certificate);
    let of_admin = of_admin.map(|found| (settings.admin.address.to_string(), false, found));
    let shown = of_listeners.chain(of_admin).map(|(listener, is_public, found)| ShownCertificate {
        listener,
        is_public,
        name: found.name(),
        expiry: found.not_after,
    });
    shown.collect()
}
