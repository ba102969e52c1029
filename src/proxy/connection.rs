//! What is known of a client's connection.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use pingora_proxy::Session;

use crate::downstream::Listener;
use crate::policy::ClientCertificate;
use crate::tls::Certificate;

/// A client's connection, for as long as it lasts: shared by its stream and its requests.
pub struct Connection {
    /// Who connected.
    pub peer: SocketAddr,
    /// The client's address, where that is known of the connection: the peer, or whom a trusted proxy
    /// named in a PROXY header.
    pub client: IpAddr,
    /// Where it was accepted.
    pub listener: Arc<Listener>,
    /// What the handshake settled.
    pub tls: Option<TlsSession>,
    is_tunnel: AtomicBool,
    is_ended: AtomicBool,
}

/// What a TLS handshake settled.
#[derive(Clone, Debug)]
pub struct TlsSession {
    /// The version, such as `1.3`.
    pub version: &'static str,
    /// The client's certificate, verified.
    pub client_certificate: Option<Certificate>,
}

impl TlsSession {
    /// The client's certificate for as long as it is valid: a connection may last longer.
    pub fn valid_certificate(&self) -> Option<&Certificate> {
        let shown = self.client_certificate.as_ref()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        shown.is_valid_at(i64::try_from(now).unwrap_or(i64::MAX)).then_some(shown)
    }
}

impl<'c> From<&'c Certificate> for ClientCertificate<'c> {
    /// Of a certificate that has been verified.
    fn from(certificate: &'c Certificate) -> Self {
        Self {
            subject: &certificate.subject,
            dns_names: &certificate.dns_names,
            uris: &certificate.uris,
            emails: &certificate.emails,
            fingerprint: &certificate.fingerprint.0,
        }
    }
}

impl Connection {
    /// A connection accepted from `peer`, which is the client as far as anybody knows.
    pub fn new(peer: SocketAddr, listener: Arc<Listener>) -> Self {
        Self {
            peer,
            client: peer.ip(),
            listener,
            tls: None,
            is_tunnel: AtomicBool::new(false),
            is_ended: AtomicBool::new(false),
        }
    }

    /// The client's address, unless a trusted proxy has connected, which speaks for others.
    pub fn known_client(&self) -> Option<IpAddr> {
        let proxies = self.listener.trusted_proxies.as_ref();
        let is_proxy = proxies.is_some_and(|proxies| proxies.trusts(self.client));
        (!is_proxy).then_some(self.client)
    }

    /// The connection of a request; none where the stream is not the gateway's own.
    pub(super) fn of(session: &Session) -> Option<&Arc<Self>> {
        let digest = session.digest()?.proxy_digest.as_ref()?;
        digest.user_data.as_ref()?.downcast_ref::<Arc<Self>>()
    }

    /// From now on its bytes are no requests any more.
    pub(super) fn becomes_tunnel(&self) {
        self.is_tunnel.store(true, Ordering::Relaxed);
    }

    /// It is to be ended: its client is not welcome any more.
    pub(super) fn end(&self) {
        self.is_ended.store(true, Ordering::Relaxed);
    }

    /// Whether it is to be ended.
    pub fn is_ended(&self) -> bool {
        self.is_ended.load(Ordering::Relaxed)
    }

    /// Whether its bytes are no requests any more.
    pub fn is_tunnel(&self) -> bool {
        self.is_tunnel.load(Ordering::Relaxed)
    }
}
