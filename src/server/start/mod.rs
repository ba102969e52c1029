//! The start of a process: everything that can fail or take time first, then the sockets.

mod prepare;
mod serve;
mod take_over;

use std::fmt;
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustix::process::Uid;

use super::descriptors::Descriptors;
use super::file_thread::FileThread;
use super::fixed_settings::FixedSettings;
use super::handover::{HandedState, Predecessor};
use super::machine::{machine_name, own_executable};
use super::notify::{Notifier, READY};
use super::origins::Origins;
use super::pid_file::PidFile;
use super::reload::{self, Ending, Reloader, Reloading};
use super::sockets::{self, Sockets};
use super::worker::WorkerUpstream;
use super::{Server, ServerError, Start};
use crate::admin::{Access, Admin, AdminAddress, ConfigStatus, LogLevel, Readiness};
use crate::clock;
use crate::config::{Protection, ServerSettings};
use crate::fleet;
use crate::key_sets::{KeySets, import_sets};
use crate::otlp::Exporter;
use crate::proxy::{HeldBodies, Shared, Snapshot};
use crate::telemetry::{AccessLogSink, Metrics, Recent};
use crate::tls::{self, Tickets};
use crate::upstream::{Dialers, SystemResolver, UpstreamContext};

use prepare::{
    catch_signals, event_loop, give_up_rights, prepare_folders, refuse_second, start_exporter, tell_of_memory,
};
use serve::{CANNOT_SERVE_ADMIN, keep_time, serve_admin, start_workers};
use take_over::{adopt_ticket_keys, log_where_the_predecessor_does, too_late};

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
        let mut signals = catch_signals(&runtime)?;
        let notifier = Notifier::from_environment();
        let (server, admin_settings) = (settings.server.clone(), settings.admin.clone());
        prepare_folders(&server, &admin_settings.address)?;
        if !take_over {
            refuse_second(&server)?;
        }
        let descriptors = Descriptors::raise();
        descriptors.fit(&mut settings.limits.connections);
        tell_of_memory(settings.limits.requests.in_flight);
        let metrics = Arc::new(Metrics::new().map_err(failed("cannot register the metrics"))?);
        let dialers = Dialers::default();
        let mut origins = Origins::new(UpstreamContext {
            metrics: metrics.clone(),
            dialers: dialers.clone(),
            resolver: Arc::new(SystemResolver),
        });
        let upstreams = runtime
            .block_on(origins.adopt(&settings.origins))
            .map_err(failed("cannot prepare TLS towards an origin"))?;
        let key_sets = KeySets::new(metrics.clone());
        let fetched_sets = runtime
            .block_on(key_sets.prepare(&settings.key_sets))
            .map_err(failed("cannot prepare TLS towards a key server"))?;
        let tickets = Tickets::new(clock::unix_time().as_secs())
            .map_err(failed("cannot make keys for TLS session tickets"))?;

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

        let (access_log, access_log_writer) = AccessLogSink::start(reload::log_file(&settings))
            .map_err(failed("cannot start the access log"))?;
        let protection = Protection::of(&settings);
        let (fixed, watch) = (FixedSettings::of(&settings), reload::watch_of(&settings));
        metrics.certificates(reload::certificates(&settings));
        let hash = settings.hash.clone();
        let fleet_store = settings.fleet.store.take();
        let exporter = start_exporter(settings.otlp.take(), &metrics)?;
        let log_level = LogLevel::new(settings.log.level);
        let snapshot = Snapshot::new(settings.into_snapshot_settings(), upstreams, &metrics, None)
            .map_err(failed("cannot prepare the configuration"))?;
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
                .map_err(failed("cannot register the metrics"))?;
        }

        let status = Arc::new(ConfigStatus::default());
        metrics.config_loaded(&hash);
        status.taken(&hash, Vec::new());
        let files = FileThread::start().map_err(failed("cannot start the thread that reads files"))?;
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
        .map_err(failed("cannot start the thread that reloads"))?;

        let readiness = Arc::new(Readiness::default());
        let admin = Admin {
            access,
            readiness: readiness.clone(),
            log_level,
            shared: shared.clone(),
            status,
            started: clock::timestamp(),
            executable: own_executable(),
        };
        let stop_admin = serve_admin(&runtime, &sockets, admin)?;
        let upstream = WorkerUpstream {
            dialers,
            keepalive_pool_size: server.upstream_keepalive_pool_size,
            http1_exchange: server.http1_exchange,
        };
        let (workers, stop) = start_workers(server.threads, &shared, &upstream, &sockets)?;
        let started = Self {
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
            upgrade_sock: server.upgrade_sock.clone(),
            successor,
            pid_file: None,
            access_log,
            access_log_writer,
            exporter,
        };
        let mut started = match predecessor {
            Some(predecessor) => started.relieve(predecessor)?,
            None => started,
        };
        started.publish(&server, take_over)?;
        started.readiness.set_ready();
        started.announce(admin_settings.scheme());
        Ok(started)
    }

    /// Tells the predecessor that this process accepts connections. If the predecessor serves on, this process
    /// finishes what it has accepted.
    fn relieve(mut self, mut predecessor: Predecessor) -> Result<Self, ServerError> {
        let asked_to_end = || self.runtime.block_on(self.signals.asks_to_end());
        match predecessor.accepting(asked_to_end) {
            Ok(streams) => {
                log_where_the_predecessor_does(streams);
                Ok(self)
            }
            Err(error) => {
                self.withdraw();
                Err(too_late(&error))
            }
        }
    }

    /// Makes the process known by its admin socket and its pid file. After `take_over` a failure is only logged:
    /// the predecessor no longer serves, so this process must.
    fn publish(&mut self, server: &ServerSettings, take_over: bool) -> Result<(), ServerError> {
        match self.admin_socket.publish() {
            Err(error) if take_over => log::error!("{CANNOT_SERVE_ADMIN}: {error}"),
            published => published.map_err(failed(CANNOT_SERVE_ADMIN))?,
        }
        self.pid_file = match server.pid_file.as_deref().map(PidFile::write).transpose() {
            Err(error) if take_over => {
                log::error!(
                    "cannot write the pid file: {error}; `reload` and `upgrade` will not find this process"
                );
                None
            }
            written => written.map_err(failed("cannot write the pid file"))?,
        };
        Ok(())
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

/// A function for `map_err`. It makes the error a [`ServerError`] that says that `what` failed.
fn failed<E: fmt::Display>(what: &'static str) -> impl FnOnce(E) -> ServerError {
    move |error| ServerError::new(what, error)
}
