//! A worker: one thread, one event loop, one Pingora proxy with its own pool of connections.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use pingora_core::server::ShutdownWatch;
use pingora_core::server::configuration::ServerConf;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::pingora;
use super::sockets::PublicListener;
use crate::config::Http1Exchange;
use crate::downstream::{self, accept};
use crate::proxy::{Direct, Gateway, Shared, WorkerProxy};
use crate::upstream::{Dialers, MAX_ATTEMPTS, OriginConnector, Pool};

/// A worker that runs. Its thread ends with the process.
pub(super) struct WorkerThread {
    connections: Arc<downstream::Worker<WorkerProxy>>,
    /// The number of requests that have begun and not ended.
    requests: Arc<AtomicUsize>,
    /// Whether the worker has stopped accepting connections.
    closed: Arc<AtomicBool>,
}

/// What a worker needs for its connections to origins.
#[derive(Clone)]
pub(super) struct WorkerUpstream {
    /// Opens the connections that Pingora does not open itself.
    pub dialers: Dialers,
    /// The most unused connections that are kept.
    pub keepalive_pool_size: usize,
    /// What serves plain HTTP/1.1 exchanges.
    pub http1_exchange: Http1Exchange,
}

impl WorkerThread {
    /// Starts a thread. It accepts from `listeners` until `stop` is set, and serves the accepted connections
    /// until the process ends.
    pub fn start(
        number: usize,
        shared: Arc<Shared>,
        upstream: WorkerUpstream,
        listeners: &[PublicListener],
        stop: ShutdownWatch,
    ) -> io::Result<Self> {
        let conf = Arc::new(ServerConf {
            threads: 1,
            work_stealing: false,
            max_retries: MAX_ATTEMPTS,
            upstream_keepalive_pool_size: upstream.keepalive_pool_size,
            ..ServerConf::default()
        });
        let requests = Arc::new(AtomicUsize::new(0));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let gateway = Gateway::new(shared.clone(), requests.clone());
        let connector = OriginConnector::new(upstream.dialers);
        let proxy = runtime.block_on(pingora::proxy(&conf, gateway, connector))?;
        let direct = (upstream.http1_exchange == Http1Exchange::Direct).then(|| {
            let pool = Arc::new(Pool::new(upstream.keepalive_pool_size));
            let tended = pool.clone();
            runtime.spawn(async move { tended.tend().await });
            Direct::new(shared.clone(), requests.clone(), pool)
        });
        let connections = Arc::new(downstream::Worker::new(WorkerProxy { proxy, direct, shared }));
        let mut accepting = JoinSet::new();
        for (number, listener) in listeners.iter().enumerate() {
            let _inside = runtime.enter();
            let socket = TcpListener::from_std(listener.socket.try_clone()?)?;
            let settings = listener.settings.clone();
            let accept = accept(connections.clone(), socket, settings, number, stop.clone());
            accepting.spawn_on(accept, runtime.handle());
        }
        let closed = Arc::new(AtomicBool::new(false));
        let worker = Self { connections, requests, closed: closed.clone() };
        thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            runtime.block_on(async move {
                while accepting.join_next().await.is_some() {}
                closed.store(true, Ordering::Release);
                // The accepted connections are served until the process ends.
                std::future::pending::<()>().await;
            });
        })?;
        Ok(worker)
    }

    /// The number of requests that have begun and not ended.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Acquire)
    }

    /// Whether the worker has stopped accepting and has no connection left.
    pub fn is_empty(&self) -> bool {
        self.is_idle() && self.connections.open() == 0
    }

    /// Whether the worker has stopped accepting and has no unfinished request.
    pub fn is_idle(&self) -> bool {
        self.closed.load(Ordering::Acquire) && self.requests() == 0
    }
}
