//! The yardstick: a Pingora proxy that does nothing but proxy.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora_core::Result;
use pingora_core::modules::http::HttpModules;
use pingora_core::server::Fds;
use pingora_core::server::configuration::ServerConf;
use pingora_core::services::Service as _;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};
use std::os::fd::IntoRawFd;

struct Bare(HttpPeer);

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) {}

    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn upstream_peer(&self, _session: &mut Session, _ctx: &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(self.0.clone()))
    }
}

/// Serves on a free port, printed as the one line of output, until killed.
pub fn serve(origin: SocketAddr) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("non-blocking");
    let address = listener.local_addr().expect("an address").to_string();
    let conf =
        Arc::new(ServerConf { threads: 1, upstream_keepalive_pool_size: 1024, ..ServerConf::default() });
    let peer = HttpPeer::new(origin, false, String::new());
    let mut service = http_proxy_service(&conf, Bare(peer));
    service.add_tcp(&address);
    let mut fds = Fds::new();
    fds.add(address.clone(), listener.into_raw_fd());
    println!("{address}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (_never, stopped) = tokio::sync::watch::channel(false);
    runtime.block_on(service.start_service(Some(Arc::new(Mutex::new(fds))), stopped, 1));
}
