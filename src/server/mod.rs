//! The process: sockets, threads, signals, and an end without losing a request.
//!
//! One thread a worker, each with its own event loop, its own Pingora service and its own pool of
//! connections to the origins: a request never changes threads. All workers accept from the same
//! listening sockets. One more thread, that of [`Server::run`], serves the admin listener, keeps
//! the origins' addresses fresh and waits for signals.

mod accept;
mod handover;
mod listener;
mod local;
mod signals;
mod worker;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::admin::{Admin, Readiness};
use crate::config::{Listener, Settings};
use crate::proxy::{Shared, Snapshot};
use crate::telemetry::{AccessLogSink, Metrics, Writer};
use crate::upstream::Upstream;

use listener::BoundListener;
pub use local::LocalService;
use signals::{Signal, Signals};
use worker::Worker;

/// How long the first resolution of the origins' names may hold up the start.
const FIRST_RESOLUTION: Duration = Duration::from_secs(5);

/// How often a draining process looks whether it is idle.
const DRAIN_POLL: Duration = Duration::from_millis(10);

/// How long a kept-alive connection without a request is left open while draining: its next
/// request may be on the way, and is answered with `Connection: close`.
const IDLE_CONNECTIONS: Duration = Duration::from_millis(150);

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

/// A gateway that has bound its sockets and serves.
pub struct Server {
    runtime: Runtime,
    signals: Signals,
    readiness: Arc<Readiness>,
    workers: Vec<Worker>,
    stop: watch::Sender<bool>,
    grace_period: Duration,
    listeners: Vec<SocketAddr>,
    admin: SocketAddr,
    /// Dropped last: it writes what the workers have logged.
    _access_log: Option<Writer>,
}

impl Server {
    /// Binds, starts the workers and the admin listener.
    ///
    /// # Errors
    /// [`ServerError`] when a socket cannot be bound or a thread not be started.
    pub fn start(settings: Settings) -> Result<Self, ServerError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("control")
            .enable_all()
            .build()
            .map_err(|error| ServerError::new("cannot start an event loop", error))?;
        let signals = {
            let _inside = runtime.enter();
            Signals::catch().map_err(|error| ServerError::new("cannot catch signals", error))?
        };
        let listeners = bind_all(&settings.listeners)?;
        let admin_listener = BoundListener::bind(settings.admin.address)
            .map_err(|error| cannot_listen("admin", settings.admin.address, error))?;

        let metrics =
            Arc::new(Metrics::new().map_err(|error| ServerError::new("cannot register the metrics", error))?);
        let (access_log, writer) = AccessLogSink::start(settings.log.access, io::stdout())
            .map_err(|error| ServerError::new("cannot start the access log", error))?;
        let server = settings.server.clone();
        let upstreams: Vec<Arc<Upstream>> =
            settings.origins.iter().map(|origin| Arc::new(Upstream::new(origin.clone(), &metrics))).collect();
        runtime.block_on(resolve_all(&upstreams));
        for upstream in &upstreams {
            let upstream = upstream.clone();
            runtime.spawn(async move { upstream.keep_resolved().await });
        }
        let snapshot = Snapshot::new(settings, upstreams, &metrics)
            .map_err(|error| ServerError::new("cannot prepare the configuration", error))?;
        metrics.config_loaded();
        let shared =
            Arc::new(Shared { snapshot: ArcSwap::from_pointee(snapshot), access_log: access_log.clone() });

        let (stop, stopped) = watch::channel(false);
        let readiness = Arc::new(Readiness::default());
        let admin = Admin {
            readiness: readiness.clone(),
            metrics,
            access_log,
            generation: Arc::new(AtomicU64::new(1)),
            started: SystemTime::now(),
        };
        let admin_address = admin_listener.address();
        local::serve(&runtime, "admin", admin, &admin_listener)
            .map_err(|error| ServerError::new("cannot serve the admin listener", error))?;
        let workers = (0..server.threads)
            .map(|number| Worker::start(number, shared.clone(), &listeners, stopped.clone()))
            .collect::<io::Result<Vec<_>>>()
            .map_err(|error| ServerError::new("cannot start a worker", error))?;
        readiness.set_ready();
        let addresses: Vec<SocketAddr> = listeners.iter().map(BoundListener::address).collect();
        for address in &addresses {
            log::info!("listening on http://{address}");
        }
        log::info!("admin on http://{admin_address}");
        Ok(Self {
            runtime,
            signals,
            readiness,
            workers,
            stop,
            grace_period: server.grace_period,
            listeners: addresses,
            admin: admin_address,
            _access_log: writer,
        })
    }

    /// Where clients connect.
    pub fn listeners(&self) -> &[SocketAddr] {
        &self.listeners
    }

    /// Where operators connect.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Serves until a signal ends it. SIGTERM lets requests in flight finish; SIGINT does not.
    pub fn run(mut self) {
        loop {
            match self.runtime.block_on(self.signals.next()) {
                Signal::Interrupt => {
                    log::info!("SIGINT: stopping at once");
                    return;
                }
                Signal::Terminate => return self.drain(),
                Signal::Quit => log::warn!("SIGQUIT: no successor is waiting for the sockets; serving on"),
                Signal::Hangup => {
                    log::warn!("SIGHUP: this version cannot reload; the configuration stays in force");
                }
            }
        }
    }

    /// Stops accepting, waits for requests in flight, at most for the grace period.
    fn drain(mut self) {
        log::info!("SIGTERM: draining, at most {:?}", self.grace_period);
        self.readiness.set_draining();
        // Fails only when every worker has ended by itself.
        let _ = self.stop.send(true);
        let start = Instant::now();
        let workers = &self.workers;
        let signals = &mut self.signals;
        let is_done = |after: Duration| {
            after >= self.grace_period
                || workers.iter().all(Worker::is_empty)
                || after >= IDLE_CONNECTIONS && workers.iter().all(Worker::is_idle)
        };
        self.runtime.block_on(async {
            while !is_done(start.elapsed()) {
                tokio::select! {
                    () = tokio::time::sleep(DRAIN_POLL) => {}
                    signal = signals.next() => {
                        if matches!(signal, Signal::Terminate | Signal::Interrupt) {
                            log::info!("second signal: stopping at once");
                            return;
                        }
                    }
                }
            }
        });
        let unfinished: usize = self.workers.iter().map(Worker::requests).sum();
        if unfinished > 0 {
            log::warn!("{unfinished} requests were not finished in time");
        }
        log::info!("stopped");
    }
}

fn bind_all(listeners: &[Listener]) -> Result<Vec<BoundListener>, ServerError> {
    listeners
        .iter()
        .map(|listener| {
            BoundListener::bind(listener.address)
                .map_err(|error| cannot_listen("listener", listener.address, error))
        })
        .collect()
}

fn cannot_listen(what: &str, address: SocketAddr, error: io::Error) -> ServerError {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => "; another process listens there, stop it or choose another address",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need CAP_NET_BIND_SERVICE",
        io::ErrorKind::AddrNotAvailable => "; no interface of this machine has that address",
        _ => "",
    };
    ServerError(format!("{what} {address}: cannot listen: {error}{hint}"))
}

async fn resolve_all(upstreams: &[Arc<Upstream>]) {
    let all = async {
        for upstream in upstreams {
            upstream.resolve().await;
        }
    };
    if tokio::time::timeout(FIRST_RESOLUTION, all).await.is_err() {
        log::warn!("the origins' names take long to resolve; requests get 502 until they are");
    }
}
