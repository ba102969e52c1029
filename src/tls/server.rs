//! The TLS settings of a listener, and the configuration of rustls.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::NoServerSessionStorage;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::version::{TLS12, TLS13};
use sha2::{Digest as _, Sha256};

use super::resolver::CertificateResolver;
use super::shown::ShownCertificates;
use super::tickets::Ticketer;
use super::{Certificate, ClientAuth, Digest, Identity, TicketKey, Tickets, UnknownName, provider};
use crate::closed_set::closed_set;

closed_set! {
    /// A version of TLS that a listener can require as the oldest.
    #[derive(Default)]
    pub enum Version {
        /// TLS 1.2 (RFC 5246).
        #[default]
        Tls12 => "1.2",
        /// TLS 1.3 (RFC 8446).
        Tls13 => "1.3",
    }
}

closed_set! {
    /// An application protocol that is negotiated by ALPN (RFC 7301), in the order of preference. The
    /// label is its ALPN identifier.
    pub enum Protocol {
        /// HTTP/2.
        Http2 => "h2",
        /// HTTP/1.1.
        Http11 => "http/1.1",
    }
}

/// The TLS settings of a listener, loaded and checked.
#[derive(Clone, Debug)]
pub struct ServerTls {
    /// Certificates with their keys. Never empty. The first is the default.
    pub identities: Vec<Identity>,
    /// What a client with an unknown server name gets.
    pub unknown_name: UnknownName,
    /// The oldest version that clients may use.
    pub min_version: Version,
    /// Application protocols in the order of preference.
    pub protocols: Vec<Protocol>,
    /// Whether clients must have certificates, and from which authorities.
    pub client_auth: ClientAuth,
    /// Ticket keys from files: the first encrypts, all decrypt. If there are none, the keys of the process
    /// are used.
    pub ticket_keys: Vec<Arc<TicketKey>>,
}

/// The number of TLS 1.3 tickets after a handshake. A ticket is used once: with two of them, a client that
/// opens two connections at the same time resumes both. A ticket costs less than it saves: see
/// docs/how-to/tls.md.
const TICKETS: usize = 2;

/// The most tickets that a client gets if it asks for a number (RFC 9149).
const MAX_TICKETS: usize = 4;

impl ServerTls {
    /// The configuration of rustls. `tickets` are those of the process and stay the same at every reload.
    ///
    /// # Errors
    /// If rustls has no cipher suite for the versions, which its own provider excludes.
    pub fn server_config(&self, tickets: &Tickets) -> Result<Arc<ServerConfig>, rustls::Error> {
        self.server_config_at(tickets, Arc::new(DefaultTimeProvider))
    }

    fn server_config_at(
        &self,
        tickets: &Tickets,
        time: Arc<dyn TimeProvider>,
    ) -> Result<Arc<ServerConfig>, rustls::Error> {
        let versions = match self.min_version {
            Version::Tls12 => &[&TLS13, &TLS12][..],
            Version::Tls13 => &[&TLS13],
        };
        let mut config = ServerConfig::builder_with_details(provider(), time.clone())
            .with_protocol_versions(versions)?
            .with_client_cert_verifier(self.client_auth.verifier())
            .with_cert_resolver(Arc::new(CertificateResolver::new(&self.identities, self.unknown_name)));
        config.alpn_protocols = self.protocols.iter().map(|protocol| protocol.label().into()).collect();
        // Only tickets: they work on every thread and need no memory.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        let lists_expire = self.client_auth.lists_expire().map(|time| u64::try_from(time).unwrap_or(0));
        let ticketer = Ticketer::new(&self.ticket_keys, tickets, self.context(), time).until(lists_expire);
        config.ticketer = Arc::new(ticketer);
        config.send_tls13_tickets = TICKETS;
        config.max_tls13_tickets = MAX_TICKETS;
        Ok(Arc::new(config))
    }

    /// The certificates by server name, for metrics.
    pub fn shown_certificates(&self) -> ShownCertificates {
        ShownCertificates::new(&self.identities, self.unknown_name)
    }

    /// The server's own certificates, the default first. The metric `certificate_expiry_timestamp_seconds`
    /// is about them.
    pub fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        self.identities.iter().map(Identity::certificate)
    }

    /// A digest of everything that is not checked again when a session is resumed. A renewed certificate
    /// with the same names does not change it.
    fn context(&self) -> Digest {
        let mut names: Vec<&str> =
            self.certificates().flat_map(|certificate| &certificate.dns_names).map(|name| &**name).collect();
        names.sort_unstable();
        names.dedup();
        let mut digest = Sha256::new();
        let mut add = |part: &[u8]| {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        };
        self.client_auth.covered().for_each(&mut add);
        add(b"names");
        names.into_iter().for_each(|name| add(name.as_bytes()));
        Digest(digest.finalize().into())
    }
}

/// The configuration of rustls for a listener with one certificate that speaks HTTP/1.1 only.
#[expect(clippy::expect_used, reason = "the provider has suites for both versions")]
pub fn server_config_for_one(identity: &Identity) -> Arc<ServerConfig> {
    let identity = std::slice::from_ref(identity);
    let resolver = CertificateResolver::new(identity, UnknownName::Default);
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .expect("suites for both versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![Protocol::Http11.label().into()];
    Arc::new(config)
}
