//! The start of a process: everything that can fail or take time first, then the sockets.

use std::env;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use nix::unistd::{dup2_stderr, dup2_stdout};
use parking_lot::Mutex;
use rustix::process::{Uid, geteuid};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::admin_socket;
use super::descriptors::Descriptors;
use super::file_thread::FileThread;
use super::handover::HandedState;
use super::machine::{machine_name, own_executable};
use super::notify::{Notifier, READY, UPGRADE_VARIABLE};
use super::origins::Origins;
use super::pid_file::{self, PidFile};
use super::reload::{self, Ending, FixedSettings, Load, Reloader, Reloading};
use super::signals::Signals;
use super::sockets::{self, Sockets};
use super::worker::{WorkerThread, WorkerUpstream};
use super::{Server, ServerError, Start, become_user};
use crate::admin::{Access, Admin, AdminAddress, ConfigStatus, Health, LogLevel, Readiness};
use crate::clock;
use crate::config::{Protection, ServerSettings, User};
use crate::fleet;
use crate::key_sets::{KeySets, import_sets};
use crate::limits::MostInFlight;
use crate::otlp::{Exporter, OtlpSettings};
use crate::proxy::{HeldBodies, Shared, Snapshot};
use crate::telemetry::{AccessLogSink, Metrics, Recent, SAMPLE_EVERY};
use crate::tls::{self, Tickets};
use crate::upstream::{Dialers, SystemResolver, UpstreamContext};

impl Server {
    /// Binds or takes over the sockets, then starts the workers and the admin listener.
    ///
    /// # Errors
    /// [`ServerError`] if a socket cannot be bound, a file cannot be written, or a thread cannot be
    /// started. A running predecessor then serves on.
    pub fn start(start: Start) -> Result<Self, ServerError> {
        let Start { mut settings, reload, take_over, successor } = start;
        let passed = sockets::passed_by_service_manager()?;
        tls::install_provider();
        let runtime = event_loop()?;
        let mut signals = {
            let _inside = runtime.enter();
            Signals::catch().map_err(|error| ServerError::new("cannot catch signals", error))?
        };
        let notifier = Notifier::from_environment();
        let (server, admin_settings) = (settings.server.clone(), settings.admin.clone());
        prepare_folders(&server, &admin_settings.address)?;
        if let (false, Some(path)) = (take_over, &server.pid_file) {
            pid_file::refuse_running(path)
                .map_err(|error| ServerError::new(format!("server.pid_file {}", path.display()), error))?;
        }
        let descriptors = Descriptors::raise();
        descriptors.fit(&mut settings.limits.connections);
        tell_of_memory(settings.limits.requests.in_flight);
        let metrics =
            Metrics::new().map_err(|error| ServerError::new("cannot register the metrics", error))?;
        let metrics = Arc::new(metrics);
        let dialers = Dialers::default();
        let mut origins = Origins::new(UpstreamContext {
            metrics: metrics.clone(),
            dialers: dialers.clone(),
            resolver: Arc::new(SystemResolver),
        });
        let upstreams = runtime
            .block_on(origins.adopt(&settings.origins))
            .map_err(|error| ServerError::new("cannot prepare TLS towards an origin", error))?;
        let key_sets = KeySets::new(metrics.clone());
        let fetched_sets = runtime
            .block_on(key_sets.prepare(&settings.key_sets))
            .map_err(|error| ServerError::new("cannot prepare TLS towards a key server", error))?;
        let tickets = Tickets::new(clock::unix_time().as_secs())
            .map_err(|error| ServerError::new("cannot make keys for TLS session tickets", error))?;

        let (sockets, mut predecessor) = if take_over {
            let future_user = server.user.as_ref().map(|user| Uid::from_raw(user.uid));
            let asked_to_end = || runtime.block_on(signals.asks_to_end());
            let (sockets, predecessor) =
                sockets::take_over(&settings, &tickets, passed, future_user, &notifier, asked_to_end)?;
            (sockets, Some(predecessor))
        } else {
            (Sockets::bind(&settings, &tickets, passed)?, None)
        };
        if let Some(user) = &server.user {
            give_up_rights(user, &reload)?;
        }
        let (access_log, writer) = AccessLogSink::start(reload::log_file(&settings))
            .map_err(|error| ServerError::new("cannot start the access log", error))?;
        let protection = Protection::of(&settings);
        let (fixed, watch) = (FixedSettings::of(&settings), reload::watch_of(&settings));
        metrics.certificates(reload::certificates(&settings));
        let hash = settings.hash.clone();
        let fleet_store = settings.fleet.store.take();
        let exporter = start_exporter(settings.otlp.take(), &metrics)?;
        let log_level = LogLevel::new(settings.log.level);
        let snapshot = Snapshot::new(settings.into_snapshot_settings(), upstreams, &metrics, None)
            .map_err(|error| ServerError::new("cannot prepare the configuration", error))?;
        let shared = Arc::new(Shared {
            snapshot: ArcSwap::from_pointee(snapshot),
            access_log: access_log.clone(),
            spans: exporter.as_ref().map(Exporter::queue),
            recent: Recent::default(),
            metrics: metrics.clone(),
            listeners: sockets.public.iter().map(|public| public.settings.load().label.clone()).collect(),
            held_bodies: HeldBodies::default(),
        });
        let limits: Weak<Shared> = Arc::downgrade(&shared);
        metrics.watch_limits(limits);
        runtime.spawn(keep_time(shared.clone()));
        if let Some(predecessor) = &mut predecessor {
            let asked_to_end = || runtime.block_on(signals.asks_to_end());
            let (keys, state) = predecessor.ready(asked_to_end).map_err(|error| too_late(&error))?;
            adopt_ticket_keys(&tickets, keys.as_deref().map(Vec::as_slice));
            let HandedState { key_sets, replays } = state.unwrap_or_default();
            import_sets(&fetched_sets, key_sets);
            shared.snapshot.load().import_replays(&replays, clock::unix_time().as_secs());
        }

        key_sets.adopt(fetched_sets, runtime.handle());
        if let Some(store) = &fleet_store {
            log::info!("agreeing with other nodes through {}", store.shown());
            fleet::start(store.clone(), &shared, &metrics, runtime.handle())
                .map_err(|error| ServerError::new("cannot register the metrics", error))?;
        }
        let status = Arc::new(ConfigStatus::default());
        metrics.config_loaded(&hash);
        status.taken(&hash, Vec::new());
        let files = FileThread::start()
            .map_err(|error| ServerError::new("cannot start the thread that reads files", error))?;
        let access = Arc::new(ArcSwap::from_pointee(Access::new(&admin_settings, &machine_name())));
        let reloading = Reloading::start(Reloader {
            log_level: log_level.clone(),
            access: access.clone(),
            load: reload,
            files,
            runtime: runtime.handle().clone(),
            notifier: notifier.clone(),
            shared: shared.clone(),
            metrics: metrics.clone(),
            status: status.clone(),
            origins,
            key_sets: key_sets.clone(),
            fleet_store,
            listeners: sockets.listeners(),
            tickets: tickets.clone(),
            fixed,
            protection,
            ending: Arc::new(Mutex::new(Ending::of(&server))),
            watch,
            descriptors,
            replaced: Vec::new(),
        })
        .map_err(|error| ServerError::new("cannot start the thread that reloads", error))?;
        let readiness = Arc::new(Readiness::default());
        let started = clock::timestamp();
        let admin = Admin {
            access: access.clone(),
            readiness: readiness.clone(),
            log_level: log_level.clone(),
            shared: shared.clone(),
            status,
            started,
            executable: own_executable(),
        };
        let (stop_admin, admin_stopped) = watch::channel(false);
        let cannot_serve = |error| ServerError::new("cannot serve the admin listener", error);
        {
            let _inside = runtime.enter();
            let listener = sockets.admin.listen().map_err(cannot_serve)?;
            tokio::spawn(admin.serve(listener, admin_stopped.clone()));
            if let Some(health) = &sockets.health {
                let listener = admin_socket::listen(health).map_err(cannot_serve)?;
                tokio::spawn(Health::new(readiness.clone()).serve(listener, admin_stopped));
            }
        }
        let (stop, stopped) = watch::channel(false);
        let upstream = WorkerUpstream {
            dialers,
            keepalive_pool_size: server.upstream_keepalive_pool_size,
            http1_exchange: server.http1_exchange,
        };
        let workers = (0..server.threads)
            .map(|number| {
                WorkerThread::start(
                    number,
                    shared.clone(),
                    upstream.clone(),
                    &sockets.public,
                    stopped.clone(),
                )
            })
            .collect::<io::Result<Vec<_>>>()
            .map_err(|error| ServerError::new("cannot start a worker", error))?;

        let mut started = Self {
            runtime,
            signals,
            notifier,
            readiness,
            reloading,
            admin_socket: sockets.admin.clone(),
            sockets: Arc::new(sockets),
            tickets,
            key_sets,
            shared,
            workers,
            stop,
            stop_admin,
            upgrade_sock: server.upgrade_sock,
            successor,
            pid_file: None,
            access_log,
            access_log_writer: writer,
            exporter,
        };
        if let Some(mut predecessor) = predecessor {
            let asked_to_end = || started.runtime.block_on(started.signals.asks_to_end());
            match predecessor.accepting(asked_to_end) {
                Ok(streams) => log_where_the_predecessor_does(streams),
                Err(error) => {
                    started.withdraw();
                    return Err(too_late(&error));
                }
            }
        }
        match started.admin_socket.publish() {
            // The predecessor no longer serves, so this process must.
            Err(error) if take_over => log::error!("cannot serve the admin listener: {error}"),
            published => published.map_err(cannot_serve)?,
        }
        started.pid_file = match server.pid_file.as_deref().map(PidFile::write).transpose() {
            // The predecessor no longer serves, so this process must.
            Err(error) if take_over => {
                log::error!(
                    "cannot write the pid file: {error}; `reload` and `upgrade` will not find this process"
                );
                None
            }
            written => written.map_err(|error| ServerError::new("cannot write the pid file", error))?,
        };
        started.readiness.set_ready();
        started.announce(admin_settings.scheme());
        Ok(started)
    }

    fn announce(&self, admin_scheme: &str) {
        for listener in &self.sockets.public {
            let scheme = listener.settings.load().scheme();
            log::info!("listening on {scheme}://{}", listener.socket.address());
        }
        match self.admin() {
            AdminAddress::Tcp(address) => log::info!("admin on {admin_scheme}://{address}"),
            address @ AdminAddress::Unix(_) => log::info!("admin on {address}"),
        }
        if let Some(health) = &self.sockets.health {
            log::info!("health on http://{}", health.address());
        }
        self.notifier.report(&format!("{READY}\nMAINPID={}\nSTATUS=serving", std::process::id()));
    }
}

/// Starts the thread that exports spans, if they are exported.
fn start_exporter(
    settings: Option<OtlpSettings>,
    metrics: &Metrics,
) -> Result<Option<Exporter>, ServerError> {
    let Some(settings) = settings else { return Ok(None) };
    log::info!("exporting spans to {}", settings.server.name);
    let started = Exporter::start(settings, metrics);
    started.map(Some).map_err(|error| ServerError::new("cannot export spans", error))
}

fn tell_of_memory(most: MostInFlight) {
    if let MostInFlight { requests, memory: Some(bytes) } = most {
        let mebibytes = bytes >> 20;
        log::info!("limits.requests.in_flight is not written: {requests}, fitting {mebibytes} MiB of memory");
    }
}

/// What is done once a second, every ten seconds and once a minute.
async fn keep_time(shared: Arc<Shared>) {
    let mut interval = tokio::time::interval(Duration::from_secs(1));
    // After a pause of the process, a burst of ticks would fill the history with samples of one moment.
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for second in 1_u64.. {
        interval.tick().await;
        shared.access_log.report_if_slow();
        shared.recent.refill();
        if second % SAMPLE_EVERY.as_secs() == 0 {
            shared.metrics.sample(shared.access_log.dropped());
        }
        if second % 60 == 0 {
            shared.metrics.remember_routes();
        }
    }
}

fn event_loop() -> Result<Runtime, ServerError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(|error| ServerError::new("cannot start an event loop", error))
}

/// Creates the folders of the pid file and of the upgrade socket for the user that this process will become.
fn prepare_folders(server: &ServerSettings, admin: &AdminAddress) -> Result<(), ServerError> {
    let admin = match admin {
        AdminAddress::Unix(path) => Some(path),
        AdminAddress::Tcp(_) => None,
    };
    let user = server.user.as_ref().map_or_else(|| geteuid().as_raw(), |user| user.uid);
    for path in server.pid_file.iter().chain(&server.upgrade_sock).chain(admin) {
        pid_file::prepare_folder(path, user)
            .map_err(|error| ServerError::new(format!("cannot use {}", path.display()), error))?;
    }
    Ok(())
}

/// Changes to the configured user, and checks that it can read everything that a reload reads.
fn give_up_rights(user: &User, load: &Load) -> Result<(), ServerError> {
    become_user(user)
        .map_err(|error| ServerError::new(format!("server.user: cannot become {user}"), error))?;
    load().map_err(|error| {
        ServerError::Configuration(format!(
            "as the user {user}, that a reload would run as:\n{}",
            error.problems
        ))
    })?;
    log::info!("running as {user}");
    Ok(())
}

/// Takes the keys of the running process, so that clients can resume its TLS sessions here.
fn adopt_ticket_keys(tickets: &Tickets, keys: Option<&[u8]>) {
    let what = match keys {
        Some(keys) if tickets.adopt(keys, clock::unix_time().as_secs()) => return,
        Some(_) => "are of another version",
        None => "were not handed over",
    };
    log::info!("the ticket keys of the running process {what}: its TLS sessions are not resumed here");
}

/// Uses the standard streams of the predecessor. Until now, a process that `upgrade` has started has the
/// streams of that command.
fn log_where_the_predecessor_does(streams: Option<[OwnedFd; 2]>) {
    let Some([output, error]) = streams.filter(|_| env::var_os(UPGRADE_VARIABLE).is_some()) else { return };
    if let Err(failure) = dup2_stdout(output).and_then(|()| dup2_stderr(error)) {
        log::warn!("cannot log where the running process does: {failure}");
    }
}

fn too_late(error: &io::Error) -> ServerError {
    ServerError::new("the running process did not hand over", error)
}
