//! The start of a process: everything that can fail or take time first, then the sockets.

use std::io;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustix::process::{Uid, geteuid};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::file_thread::FileThread;
use super::notify::{Notifier, READY};
use super::origins::Origins;
use super::pid_file::{self, PidFile};
use super::reload::{self, Fixed, Load, Reloader, Reloading};
use super::signals::Signals;
use super::sockets::{self, Sockets};
use super::worker::{Worker, WorkerUpstream};
use super::{Server, ServerError, Start, become_user, local};
use crate::admin::{Admin, ConfigStatus, Readiness};
use crate::config::{ServerSettings, User};
use crate::proxy::{Shared, Snapshot};
use crate::telemetry::{AccessLogSink, Metrics};
use crate::tls::{self, Tickets};
use crate::upstream::{Dialers, Surroundings, SystemResolver};

impl Server {
    /// Binds or takes over the sockets, then starts the workers and the admin listener.
    ///
    /// # Errors
    /// [`ServerError`] when a socket cannot be had, a file not be written or a thread not be
    /// started. A running predecessor then serves on.
    pub fn start(start: Start) -> Result<Self, ServerError> {
        let Start { settings, reload, take_over } = start;
        let passed = sockets::passed_by_service_manager()?;
        tls::install_provider();
        let runtime = event_loop()?;
        let mut signals = {
            let _inside = runtime.enter();
            Signals::catch().map_err(|error| ServerError::new("cannot catch signals", error))?
        };
        let notifier = Notifier::from_environment();
        let server = settings.server.clone();
        prepare_folders(&server)?;
        sockets::raise_descriptor_limit(settings.limits.connections.total);
        let metrics =
            Metrics::new().map_err(|error| ServerError::new("cannot register the metrics", error))?;
        let metrics = Arc::new(metrics);
        let dialers = Dialers::default();
        let mut origins = Origins::new(Surroundings {
            metrics: metrics.clone(),
            dialers: dialers.clone(),
            resolver: Arc::new(SystemResolver),
        });
        let upstreams = runtime
            .block_on(origins.adopt(&settings.origins))
            .map_err(|error| ServerError::new("cannot prepare TLS towards an origin", error))?;
        let tickets = Tickets::new(unix_now())
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
        runtime.spawn(report_slow_log(access_log.clone()));
        let (fixed, watch) = (Fixed::of(&settings), reload::watch_of(&settings));
        metrics.certificates(reload::certificates(&settings.listeners));
        let snapshot = Snapshot::new(settings, upstreams, &metrics, None)
            .map_err(|error| ServerError::new("cannot prepare the configuration", error))?;
        let shared = Arc::new(Shared {
            snapshot: ArcSwap::from_pointee(snapshot),
            access_log: access_log.clone(),
            metrics: metrics.clone(),
            listeners: sockets.public.iter().map(|public| public.settings.load().label.clone()).collect(),
        });
        let limits: Weak<Shared> = Arc::downgrade(&shared);
        metrics.watch_limits(limits);
        if let Some(predecessor) = &mut predecessor {
            let asked_to_end = || runtime.block_on(signals.asks_to_end());
            let keys = predecessor.ready(asked_to_end).map_err(|error| too_late(&error))?;
            adopt_ticket_keys(&tickets, keys.as_deref().map(Vec::as_slice));
        }

        let status = Arc::new(ConfigStatus::default());
        metrics.config_loaded();
        status.taken();
        let files = FileThread::start()
            .map_err(|error| ServerError::new("cannot start the thread that reads files", error))?;
        let reloading = Reloading::start(Reloader {
            load: reload,
            files,
            runtime: runtime.handle().clone(),
            notifier: notifier.clone(),
            shared: shared.clone(),
            metrics: metrics.clone(),
            status: status.clone(),
            origins,
            listeners: sockets.listeners(),
            tickets: tickets.clone(),
            fixed,
            grace_period: Arc::new(Mutex::new(server.grace_period)),
            watch,
            replaced: Vec::new(),
        })
        .map_err(|error| ServerError::new("cannot start the thread that reloads", error))?;
        let readiness = Arc::new(Readiness::default());
        let started = SystemTime::now();
        let admin = Admin { readiness: readiness.clone(), shared: shared.clone(), status, started };
        let (stop_admin, admin_stopped) = watch::channel(false);
        local::serve(&runtime, "admin", admin, &sockets.admin, admin_stopped)
            .map_err(|error| ServerError::new("cannot serve the admin listener", error))?;
        let (stop, stopped) = watch::channel(false);
        let upstream = WorkerUpstream { dialers, keepalive_pool_size: server.upstream_keepalive_pool_size };
        let workers = (0..server.threads)
            .map(|number| {
                Worker::start(number, shared.clone(), upstream.clone(), &sockets.public, stopped.clone())
            })
            .collect::<io::Result<Vec<_>>>()
            .map_err(|error| ServerError::new("cannot start a worker", error))?;

        let mut started = Self {
            runtime,
            signals,
            notifier,
            readiness,
            reloading,
            sockets: Arc::new(sockets),
            tickets,
            workers,
            stop,
            stop_admin,
            upgrade_sock: server.upgrade_sock,
            pid_file: None,
            access_log,
            access_log_writer: writer,
        };
        if let Some(mut predecessor) = predecessor {
            let asked_to_end = || started.runtime.block_on(started.signals.asks_to_end());
            if let Err(error) = predecessor.accepting(asked_to_end) {
                started.withdraw();
                return Err(too_late(&error));
            }
        }
        started.pid_file = match server.pid_file.as_deref().map(PidFile::write).transpose() {
            // Nobody else serves any more.
            Err(error) if take_over => {
                log::error!(
                    "cannot write the pid file: {error}; `reload` and `upgrade` will not find this process"
                );
                None
            }
            written => written.map_err(|error| ServerError::new("cannot write the pid file", error))?,
        };
        started.readiness.set_ready();
        started.announce();
        Ok(started)
    }

    fn announce(&self) {
        for listener in &self.sockets.public {
            let scheme = listener.settings.load().scheme();
            log::info!("listening on {scheme}://{}", listener.socket.address());
        }
        log::info!("admin on http://{}", self.admin());
        self.notifier.tell(&format!("{READY}\nMAINPID={}\nSTATUS=serving", std::process::id()));
    }
}

async fn report_slow_log(access_log: AccessLogSink) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        access_log.report_if_slow();
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

/// The folders of pid file and upgrade socket, for the user that this process will be.
fn prepare_folders(server: &ServerSettings) -> Result<(), ServerError> {
    let user = server.user.as_ref().map_or_else(|| geteuid().as_raw(), |user| user.uid);
    for path in server.pid_file.iter().chain(&server.upgrade_sock) {
        pid_file::prepare_folder(path, user)
            .map_err(|error| ServerError::new(format!("cannot use {}", path.display()), error))?;
    }
    Ok(())
}

/// Changes to the configured user, who must be able to read everything again at a reload.
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

/// Goes on with the keys of the running process, so that its TLS sessions are resumed here.
fn adopt_ticket_keys(tickets: &Tickets, keys: Option<&[u8]>) {
    let what = match keys {
        Some(keys) if tickets.adopt(keys, unix_now()) => return,
        Some(_) => "are of another version",
        None => "were not handed over",
    };
    log::info!("the ticket keys of the running process {what}: its TLS sessions are not resumed here");
}

/// In seconds.
fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn too_late(error: &io::Error) -> ServerError {
    ServerError::new("the running process did not hand over", error)
}
