//! A worker: one thread, one event loop, one Pingora service.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use pingora_core::server::ShutdownWatch;
use pingora_core::server::configuration::ServerConf;
use pingora_core::services::Service as _;
use pingora_proxy::http_proxy_service;

use super::listener::{self, BoundListener};
use crate::proxy::{Gateway, Shared};

/// Kept connections to origins, for each worker.
const POOL_SIZE: usize = 1024;

/// The most attempts for one request: several addresses may be down, or a kept connection closed.
const MAX_ATTEMPTS: usize = 4;

/// A running worker. Its thread ends with the process.
pub(super) struct Worker {
    in_flight: Arc<AtomicUsize>,
    accepts: Arc<AtomicBool>,
}

impl Worker {
    /// Starts a thread that accepts from `listeners` until `stopped` says so, and serves what it
    /// has accepted for as long as the process lives.
    pub fn start(
        number: usize,
        shared: Arc<Shared>,
        listeners: &[BoundListener],
        stopped: ShutdownWatch,
    ) -> io::Result<Self> {
        let in_flight = Arc::new(AtomicUsize::new(0));
        let accepts = Arc::new(AtomicBool::new(true));
        let conf = Arc::new(ServerConf {
            threads: 1,
            work_stealing: false,
            max_retries: MAX_ATTEMPTS,
            upstream_keepalive_pool_size: POOL_SIZE,
            ..ServerConf::default()
        });
        let mut service = http_proxy_service(&conf, Gateway::new(shared, in_flight.clone()));
        let fds = listener::hand_over(listeners, |address| service.add_tcp(address))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let worker = Self { in_flight, accepts: accepts.clone() };
        thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            runtime.block_on(async move {
                service.start_service(Some(fds), stopped, 1).await;
                accepts.store(false, Ordering::Release);
                std::future::pending::<()>().await;
            });
        })?;
        Ok(worker)
    }

    /// Requests that have begun and not ended.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    /// Whether it has stopped accepting and finished every request.
    pub fn is_idle(&self) -> bool {
        !self.accepts.load(Ordering::Acquire) && self.in_flight() == 0
    }
}
