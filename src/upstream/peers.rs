//! Peers as Pingora wants them, prepared once for each address.

use std::net::SocketAddr;
use std::time::Duration;

use pingora_core::listeners::ALPN;
use pingora_core::protocols::TcpKeepalive;
use pingora_core::upstreams::peer::HttpPeer;

use crate::config::Origin;

/// How long a tunnel (WebSocket) may be silent in both directions.
pub const TUNNEL_IDLE: Duration = Duration::from_secs(3600);

/// One peer for each address.
pub(super) fn prepare(origin: &Origin, addresses: &[SocketAddr]) -> Vec<HttpPeer> {
    addresses.iter().map(|address| peer(origin, *address)).collect()
}

fn peer(origin: &Origin, address: SocketAddr) -> HttpPeer {
    // Pingora verifies certificate and name against this name. An empty one would switch that
    // off silently; the configuration never yields one.
    let server_name = origin.host.trim_matches(['[', ']']).to_owned();
    let mut peer = HttpPeer::new(address, origin.tls, server_name);
    let options = &mut peer.options;
    options.connection_timeout = Some(origin.timeouts.connect);
    options.total_connection_timeout = Some(origin.timeouts.connect);
    options.read_timeout = Some(origin.timeouts.read);
    options.write_timeout = Some(origin.timeouts.write);
    options.idle_timeout = Some(origin.timeouts.idle);
    options.alpn = ALPN::H1;
    options.tcp_keepalive = Some(TcpKeepalive {
        idle: Duration::from_secs(60),
        interval: Duration::from_secs(10),
        count: 6,
        #[cfg(target_os = "linux")]
        user_timeout: Duration::ZERO,
    });
    peer
}
