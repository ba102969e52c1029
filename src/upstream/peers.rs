//! Pingora's peers, prepared once for each address.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use pingora_core::listeners::ALPN;
use pingora_core::protocols::TcpKeepalive;
use pingora_core::protocols::tls::CustomALPN;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::utils::tls::{CertKey, WrappedX509, parse_x509};

use super::address::Address;
use super::dialer::Registered;
use crate::origins::{Origin, OriginHttp, OriginTls};

/// How long a tunnel (WebSocket) may be silent in both directions.
pub const TUNNEL_IDLE: Duration = Duration::from_secs(3600);

/// The common part of all peers of an origin.
pub(super) struct PeerTemplate(HttpPeer);

impl PeerTemplate {
    /// A template with the settings of `origin`. `dialer` makes the connections; `None` leaves that to Pingora.
    pub fn new(origin: &Origin, dialer: Option<&Registered>) -> Self {
        // Pingora verifies the certificate against this name. An empty name would silently switch verification
        // off; the configuration never yields one.
        let server_name = origin.tls.as_ref().map_or_else(
            || origin.host.trim_matches(['[', ']']).to_owned(),
            |tls| tls.server_name.to_str().into_owned(),
        );
        let any: SocketAddr = (Ipv4Addr::UNSPECIFIED, 0).into();
        let mut peer = HttpPeer::new(any, origin.tls.is_some(), server_name);
        if let (Some(tls), OriginHttp::H2 { .. }) = (&origin.tls, origin.http) {
            set_trust(&mut peer, tls);
        }
        let options = &mut peer.options;
        options.connection_timeout = Some(origin.timeouts.connect);
        options.total_connection_timeout = Some(origin.timeouts.connect);
        options.read_timeout = Some(origin.timeouts.read);
        options.write_timeout = Some(origin.timeouts.write);
        options.idle_timeout = Some(origin.timeouts.idle);
        options.tcp_keepalive = Some(TcpKeepalive {
            idle: origin.keepalive.idle,
            interval: origin.keepalive.interval,
            count: origin.keepalive.count,
            #[cfg(target_os = "linux")]
            user_timeout: Duration::ZERO,
        });
        options.alpn = match (origin.http, dialer) {
            (OriginHttp::H2 { max_streams, ping_interval }, _) => {
                options.max_h2_streams = max_streams;
                options.h2_ping_interval = ping_interval;
                ALPN::H2
            }
            // Not a protocol, but the mark that makes Pingora use our connector.
            (OriginHttp::H1, Some(_)) => ALPN::Custom(CustomALPN::new(b"own".to_vec())),
            (OriginHttp::H1, None) => ALPN::H1,
        };
        if let Some(dialer) = dialer {
            peer.group_key = dialer.key();
        }
        Self(peer)
    }

    /// The peer at this address. `None` if the path is too long for a socket.
    pub fn at(&self, address: &Address) -> Option<HttpPeer> {
        let mut peer = self.0.clone();
        peer._address = address.to_peer()?;
        Some(peer)
    }
}

/// Sets authorities and client certificate for Pingora's own connector.
fn set_trust(peer: &mut HttpPeer, tls: &OriginTls) {
    if let Some(roots) = &tls.roots {
        let roots = roots.iter().map(|root| WrappedX509::new(root.to_vec(), parse_x509));
        peer.options.ca = Some(roots.collect::<Vec<_>>().into());
    }
    if let (Some(identity), Some(key)) = (&tls.identity, &tls.identity_key) {
        let chain = identity.chain().der().iter().map(|certificate| certificate.to_vec()).collect();
        peer.client_cert_key = Some(Arc::new(CertKey::new(chain, key.secret_der().to_vec())));
    }
}
