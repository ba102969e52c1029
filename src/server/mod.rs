//! The process: sockets, threads, signals, and an end without losing a request.
//!
//! One thread a worker, each with its own event loop, its own Pingora proxy and its own pool of
//! connections to the origins: a request never changes threads. All workers accept from the same
//! listening sockets. One more thread serves the admin listener and keeps the origins' addresses
//! fresh, and that of [`Server::run`] waits for signals:
//!
//! - `reload`: another configuration, validated aside and swapped in whole;
//! - `handover`: the sockets to a successor that is really there;
//! - `drain`: to the end of what is in flight.

mod drain;
mod handover;
mod listener;
mod local;
mod notify;
mod origins;
mod pid_file;
mod pingora;
mod reload;
mod signals;
mod sockets;
mod worker;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::admin::{Admin, ConfigStatus, Readiness};
use crate::config::Settings;
use crate::proxy::{Shared, Snapshot};
use crate::telemetry::{AccessLogSink, Metrics, Writer};
use crate::tls::{self, Tickets};
use crate::upstream::{Dialers, Surroundings, SystemResolver};

pub use local::LocalService;
pub use notify::{READY, UPGRADE_VARIABLE, WAITING};
pub use pid_file::read as read_pid_file;
pub use reload::Load;

use notify::Notifier;
use origins::Origins;
use pid_file::PidFile;
use reload::{Fixed, Reloader};
use signals::{Signal, Signals};
use sockets::Sockets;
use worker::{Worker, WorkerUpstream};

/// Why the process could not start or go on.
#[derive(Debug)]
pub struct ServerError(String);

impl ServerError {
    fn new(what: impl fmt::Display, cause: impl fmt::Display) -> Self {
        Self(format!("{what}: {cause}"))
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ServerError {}

/// What a server is started with.
pub struct Start {
    /// The configuration.
    pub settings: Settings,
    /// Reads it again.
    pub reload: Load,
    /// Whether to wait for the sockets of the running process.
    pub take_over: bool,
}

/// A gateway that has bound its sockets and serves.
pub struct Server {
    runtime: Runtime,
    signals: Signals,
    notifier: Notifier,
    readiness: Arc<Readiness>,
    reloader: Reloader,
    sockets: Arc<Sockets>,
    workers: Vec<Worker>,
    /// Ends accepting on the public listeners.
    stop: watch::Sender<bool>,
    /// Ends accepting on the admin listener.
    stop_admin: watch::Sender<bool>,
    grace_period: Duration,
    upgrade_sock: Option<PathBuf>,
    pid_file: Option<PidFile>,
    /// Dropped last: it writes what the workers have logged.
    _access_log: Writer,
}

impl Server {
    /// Binds or takes over the sockets, then starts the workers and the admin listener.
    ///
    /// # Errors
    /// [`ServerError`] when a socket cannot be had, a file not be written or a thread not be
    /// started. A running predecessor then serves on.
    pub fn start(start: Start) -> Result<Self, ServerError> {
        let Start { settings, reload, take_over } = start;
        tls::install_provider();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("control")
            .enable_all()
            .build()
            .map_err(|error| ServerError::new("cannot start an event loop", error))?;
        let mut signals = {
            let _inside = runtime.enter();
            Signals::catch().map_err(|error| ServerError::new("cannot catch signals", error))?
        };
        let notifier = Notifier::from_environment();
        let server = settings.server.clone();
        for path in server.pid_file.iter().chain(&server.upgrade_sock) {
            pid_file::prepare_folder(path)
                .map_err(|error| ServerError::new(format!("cannot use {}", path.display()), error))?;
        }
        sockets::raise_descriptor_limit();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let tickets = Tickets::new(now.as_secs())
            .map_err(|error| ServerError::new("cannot make keys for TLS session tickets", error))?;
        let (sockets, predecessor) = if take_over {
            let (sockets, predecessor) = sockets::take_over(&settings, &tickets, &notifier, || {
                runtime.block_on(signals.asks_to_end())
            })?;
            (sockets, Some(predecessor))
        } else {
            (Sockets::bind(&settings, &tickets)?, None)
        };

        let metrics =
            Metrics::new().map_err(|error| ServerError::new("cannot register the metrics", error))?;
        let metrics = Arc::new(metrics);
        let (access_log, writer) = AccessLogSink::start(io::stdout())
            .map_err(|error| ServerError::new("cannot start the access log", error))?;
        let fixed = Fixed::of(&settings);
        metrics.certificates(reload::certificates(&settings.listeners));
        let dialers = Dialers::default();
        let mut origins = Origins::new(Surroundings {
            metrics: metrics.clone(),
            dialers: dialers.clone(),
            resolver: Arc::new(SystemResolver),
        });
        let upstreams = runtime
            .block_on(origins.adopt(&settings.origins))
            .map_err(|error| ServerError::new("cannot prepare TLS towards an origin", error))?;
        let snapshot = Snapshot::new(settings, upstreams, &metrics)
            .map_err(|error| ServerError::new("cannot prepare the configuration", error))?;
        let shared = Arc::new(Shared {
            snapshot: ArcSwap::from_pointee(snapshot),
            access_log: access_log.clone(),
            metrics: metrics.clone(),
        });

        let status = Arc::new(ConfigStatus::default());
        let reloader =
            Reloader::new(reload, shared.clone(), metrics.clone(), status.clone(), origins, tickets, fixed);
        let readiness = Arc::new(Readiness::default());
        let started = SystemTime::now();
        let admin = Admin { readiness: readiness.clone(), metrics, access_log, status, started };
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

        let pid_file = server.pid_file.as_deref().map(PidFile::write).transpose();
        let pid_file = pid_file.map_err(|error| ServerError::new("cannot write the pid file", error))?;
        if let Some(predecessor) = predecessor {
            predecessor
                .acknowledge()
                .map_err(|error| ServerError::new("the running process ended meanwhile", error))?;
        }
        readiness.set_ready();
        for listener in &sockets.public {
            let scheme = listener.settings.load().scheme();
            log::info!("listening on {scheme}://{}", listener.socket.address());
        }
        log::info!("admin on http://{}", sockets.admin.address());
        notifier.tell(&format!("{READY}\nMAINPID={}\nSTATUS=serving", std::process::id()));
        Ok(Self {
            runtime,
            signals,
            notifier,
            readiness,
            reloader,
            sockets: Arc::new(sockets),
            workers,
            stop,
            stop_admin,
            grace_period: server.grace_period,
            upgrade_sock: server.upgrade_sock,
            pid_file,
            _access_log: writer,
        })
    }

    /// Where clients connect.
    pub fn listeners(&self) -> Vec<SocketAddr> {
        self.sockets.public.iter().map(|listener| listener.socket.address()).collect()
    }

    /// Where operators connect.
    pub fn admin(&self) -> SocketAddr {
        self.sockets.admin.address()
    }

    /// Serves until a signal ends it.
    pub fn run(mut self) {
        loop {
            match self.runtime.block_on(self.signals.next()) {
                Signal::Hangup => self.reload(),
                Signal::User1 => log::info!("SIGUSR1: no log goes to a file, nothing to reopen"),
                Signal::Interrupt => return log::info!("SIGINT: stopping at once"),
                Signal::Terminate => return self.terminate(),
                Signal::Quit => match self.offer_sockets() {
                    drain::Offer::Taken => return self.retire(),
                    drain::Offer::Refused => {}
                    drain::Offer::Interrupted(Signal::Terminate) => return self.terminate(),
                    drain::Offer::Interrupted(_) => return log::info!("SIGINT: stopping at once"),
                },
            }
        }
    }

    fn reload(&mut self) {
        log::info!("SIGHUP: reloading the configuration");
        self.notifier.tell(&notify::reloading());
        if let Some(grace_period) = self.runtime.block_on(self.reloader.reload(&self.sockets)) {
            self.grace_period = grace_period;
        }
        self.notifier.tell(READY);
    }
}
