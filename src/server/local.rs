//! A small HTTP service next to the proxy: the example API of `demo`.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use pingora_core::apps::http_app::ServeHttp;
use pingora_core::services::Service as _;
use pingora_core::services::listening::Service;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::listener::{self, BoundListener};

/// An HTTP service on a free loopback port, with its own thread.
pub struct LocalService {
    address: SocketAddr,
    _stop: watch::Sender<bool>,
    _runtime: Runtime,
}

impl LocalService {
    /// Starts to serve. The service ends when the value is dropped.
    ///
    /// # Errors
    /// If no socket can be bound or no thread started.
    pub fn start(app: impl ServeHttp + Send + Sync + 'static) -> io::Result<Self> {
        let listener = BoundListener::bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("local-service")
            .enable_all()
            .build()?;
        let (stop, stopped) = watch::channel(false);
        let mut service = Service::new("local service".into(), app);
        service.add_tcp(&listener.address().to_string());
        let fds = listener::lend(std::slice::from_ref(&listener))?;
        runtime.spawn(async move {
            service.start_service(Some(fds), stopped, 1).await;
        });
        Ok(Self { address: listener.address(), _stop: stop, _runtime: runtime })
    }

    /// The address with the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
