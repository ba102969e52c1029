//! A peer: a Pingora proxy that does nothing but proxy.

use std::net::SocketAddr;
use std::os::fd::IntoRawFd as _;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora_core::modules::http::HttpModules;
use pingora_core::server::Fds;
use pingora_core::server::configuration::ServerConf;
use pingora_core::services::Service as _;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

use crate::rig::Result;

struct Bare(HttpPeer);

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) {}

    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> pingora_core::Result<Box<HttpPeer>> {
        Ok(Box::new(self.0.clone()))
    }
}

/// Serves until it is killed.
pub fn serve(address: SocketAddr, origin: SocketAddr) -> Result<()> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let address = address.to_string();
    let conf =
        Arc::new(ServerConf { threads: 1, upstream_keepalive_pool_size: 16_384, ..ServerConf::default() });
    let mut service = http_proxy_service(&conf, Bare(HttpPeer::new(origin, false, String::new())));
    service.add_tcp(&address);
    let mut fds = Fds::new();
    fds.add(address, listener.into_raw_fd());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (_never, stopped) = tokio::sync::watch::channel(false);
    runtime.block_on(service.start_service(Some(Arc::new(Mutex::new(fds))), stopped, 1));
    Ok(())
}
