//! The parts that serve: the admin listener, the workers, and what is done periodically.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::failed;
use crate::admin::{Admin, Health};
use crate::proxy::Shared;
use crate::server::ServerError;
use crate::server::admin_socket;
use crate::server::sockets::Sockets;
use crate::server::worker::{WorkerThread, WorkerUpstream};
use crate::telemetry::SAMPLE_EVERY;

/// What is done once a second, every ten seconds and once a minute.
pub(super) async fn keep_time(shared: Arc<Shared>) {
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

/// Serves the admin listener and the listener for probes. Returns the sender that stops both.
pub(super) fn serve_admin(
    runtime: &Runtime,
    sockets: &Sockets,
    admin: Admin,
) -> Result<watch::Sender<bool>, ServerError> {
    let (stop, stopped) = watch::channel(false);
    let _inside = runtime.enter();
    let health = Health::new(admin.readiness.clone());
    let listener = sockets.admin.listen().map_err(failed(CANNOT_SERVE_ADMIN))?;
    tokio::spawn(admin.serve(listener, stopped.clone()));
    if let Some(socket) = &sockets.health {
        let listener = admin_socket::listen(socket).map_err(failed(CANNOT_SERVE_ADMIN))?;
        tokio::spawn(health.serve(listener, stopped));
    }
    Ok(stop)
}

/// What failed if the admin listener cannot be served.
pub(super) const CANNOT_SERVE_ADMIN: &str = "cannot serve the admin listener";

/// Starts `count` workers. Returns them, and the sender that stops them.
pub(super) fn start_workers(
    count: usize,
    shared: &Arc<Shared>,
    upstream: &WorkerUpstream,
    sockets: &Sockets,
) -> Result<(Vec<WorkerThread>, watch::Sender<bool>), ServerError> {
    let (stop, stopped) = watch::channel(false);
    let start = |number| {
        WorkerThread::start(number, shared.clone(), upstream.clone(), &sockets.public, stopped.clone())
    };
    let workers = (0..count).map(start).collect::<io::Result<Vec<_>>>();
    Ok((workers.map_err(failed("cannot start a worker"))?, stop))
}
