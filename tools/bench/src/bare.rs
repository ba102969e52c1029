//! A peer: a Pingora proxy that does nothing but proxy.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use pingora_core::modules::http::HttpModules;
use pingora_core::server::configuration::ServerConf;
use pingora_core::services::Service as _;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

use crate::rig::{Result, runtime};

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

pub fn serve(address: SocketAddr, origin: SocketAddr) -> Result<()> {
    let conf =
        Arc::new(ServerConf { threads: 1, upstream_keepalive_pool_size: 16_384, ..ServerConf::default() });
    let mut service = http_proxy_service(&conf, Bare(HttpPeer::new(origin, false, String::new())));
    service.add_tcp(&address.to_string());
    let (_never, stopped) = tokio::sync::watch::channel(false);
    runtime()?.block_on(service.start_service(None, stopped, 1));
    Ok(())
}
