//! A worker: one thread, one event loop, one Pingora proxy with its own pool of connections.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use pingora_core::server::ShutdownWatch;
use pingora_core::server::configuration::ServerConf;
use pingora_core::services::Service as _;
use pingora_core::services::listening::Service;
use pingora_proxy::http_proxy;

use super::connections::Connections;
use super::listener::{self, BoundListener};
use crate::proxy::{Gateway, Shared};

/// Kept connections to origins, for each worker.
const POOL_SIZE: usize = 1024;

/// The most attempts for one request: several addresses may be down, or a kept connection closed.
const MAX_ATTEMPTS: usize = 4;

/// A running worker. Its thread ends with the process.
pub(super) struct Worker {
    load: Arc<Load>,
}

/// What a worker has to do, seen from outside.
#[derive(Default)]
pub(super) struct Load {
    /// Requests that have begun and not ended.
    requests: Arc<AtomicUsize>,
    /// Open connections, idle ones too.
    connections: Arc<AtomicUsize>,
    /// No connection is accepted any more.
    closed: AtomicBool,
}

impl Worker {
    /// Starts a thread that accepts from `listeners` until `stop` says so, and serves what it has
    /// accepted for as long as the process lives.
    pub fn start(
        number: usize,
        shared: Arc<Shared>,
        listeners: &[BoundListener],
        stop: ShutdownWatch,
    ) -> io::Result<Self> {
        let conf = Arc::new(ServerConf {
            threads: 1,
            work_stealing: false,
            max_retries: MAX_ATTEMPTS,
            upstream_keepalive_pool_size: POOL_SIZE,
            ..ServerConf::default()
        });
        let load = Arc::new(Load::default());
        let mut proxy = http_proxy(&conf, Gateway::new(shared, load.requests.clone()));
        // Not to serve CONNECT, but to refuse it as anything else, counted and logged.
        let options = proxy.server_options.get_or_insert_default();
        options.allow_connect_method_proxying = true;
        let connections = Connections::new(proxy, load.connections.clone());
        let mut service = Service::new(format!("worker-{number}"), connections);
        for listener in listeners {
            service.add_tcp(&listener.address().to_string());
        }
        let fds = listener::lend(listeners)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let worker = Self { load: load.clone() };
        thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            runtime.block_on(async move {
                service.start_service(Some(fds), stop, 1).await;
                load.closed.store(true, Ordering::Release);
                // What has been accepted is served to its end.
                std::future::pending::<()>().await;
            });
        })?;
        Ok(worker)
    }

    /// Requests that have begun and not ended.
    pub fn requests(&self) -> usize {
        self.load.requests.load(Ordering::Acquire)
    }

    /// Whether it has stopped accepting and has no connection left.
    pub fn is_empty(&self) -> bool {
        self.is_idle() && self.load.connections.load(Ordering::Acquire) == 0
    }

    /// Whether it has stopped accepting and has no unfinished request.
    pub fn is_idle(&self) -> bool {
        self.load.closed.load(Ordering::Acquire) && self.requests() == 0
    }
}
