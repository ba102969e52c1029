//! Pingora's proxy with a connector of our own.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::sync::Arc;

use parking_lot::Mutex;
use pingora_core::apps::HttpServerOptions;
use pingora_core::connectors::http::custom::Connector;
use pingora_core::server::Fds;
use pingora_core::server::configuration::ServerConf;
use pingora_core::services::Service as _;
use pingora_proxy::{HttpProxy, ProcessCustomSession, ProxyHttp, ProxyServiceBuilder};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

/// A proxy that connects to origins by `connector`.
///
/// Pingora creates a proxy only inside a service, and hands it out only for a connection with a custom
/// protocol. So a service listens on the loopback interface until one connection has come. A process
/// that makes this connection gets no answer.
///
/// # Errors
/// When the loopback interface cannot be used.
pub(super) async fn proxy<G, C>(
    conf: &Arc<ServerConf>,
    gateway: G,
    connector: C,
) -> io::Result<Arc<HttpProxy<G, C>>>
where
    G: ProxyHttp + Send + Sync + 'static,
    G::CTX: Send + Sync + 'static,
    C: Connector,
{
    let (found, mut proxy) = mpsc::channel(1);
    let on_custom: ProcessCustomSession<G, C> = Arc::new(move |proxy, _, _| {
        // Full only if another process has connected first, and then it holds the same proxy.
        let _ = found.try_send(proxy);
        Box::pin(std::future::ready(None))
    });
    let mut options = HttpServerOptions::default();
    options.force_custom = true;
    // CONNECT is refused later, where refusals are counted and logged.
    options.allow_connect_method_proxying = true;
    let builder = ProxyServiceBuilder::new(conf, gateway).custom(connector, on_custom);
    let mut service = builder.server_options(options).build();

    let any_port = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), (Ipv6Addr::LOCALHOST, 0).into()];
    let listener = TcpListener::bind(&any_port[..])?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    service.add_tcp(&address.to_string());
    let mut fds = Fds::new();
    fds.add(address.to_string(), listener.into_raw_fd());
    let (stop, stopped) = watch::channel(false);
    // Dropped and not ended: the end of a service tells the proxy to shut down.
    let service = service.start_service(Some(Arc::new(Mutex::new(fds))), stopped, 1);
    let connect = async {
        let _connection = TcpStream::connect(address).await?;
        proxy.recv().await.ok_or(io::ErrorKind::BrokenPipe.into())
    };
    let proxy = tokio::select! {
        proxy = connect => proxy,
        () = service => Err(io::ErrorKind::BrokenPipe.into()),
    };
    // Ends the task that accepts. A failure means that it has ended.
    let _ = stop.send(true);
    proxy
}
