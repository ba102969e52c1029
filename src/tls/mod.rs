//! TLS towards clients: certificates, resumption, client certificates, pins.
//!
//! The configuration reads the files, builds a [`ServerTls`] and reports what is wrong with it.
//! [`ServerTls::server_config`] turns it into the configuration of rustls, again at every reload.
//! [`Tickets`] live as long as the process, so that sessions survive a reload.
//!
//! - `certificate`, `distinguished_name`: the fields of a certificate;
//! - `identity`: a chain and its private key;
//! - `names`, `resolver`: the identity for a server name;
//! - `tickets`: sessions that any thread can resume, and any process with the same ticket keys;
//! - `client_auth`: the accepted authorities, and the facts of a verified client certificate.

mod certificate;
mod client_auth;
mod distinguished_name;
mod handshake;
mod identity;
mod names;
mod resolver;
mod server;
mod shown;
mod tickets;

pub use certificate::{Certificate, Digest, MalformedCertificate, Pin, canonical_subject};
pub use client_auth::{AuthorityError, ClientAuth, ClientAuthMode, client_certificate};
pub use handshake::Handshake;
pub use identity::{CertificateChain, ChainError, Identity, IdentityError, PrivateKey, PrivateKeyError};
pub use resolver::UnknownName;
pub use server::{Protocol, ServerTls, Version, server_config_for_one};
pub use shown::ShownCertificates;
pub use tickets::{TicketKey, TicketKeyError, Tickets};

use std::sync::{Arc, LazyLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// AWS-LC with the defaults of rustls: AEAD suites with ephemeral keys only, and X25519MLKEM768 as the first
/// group.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));
    PROVIDER.clone()
}

/// Makes AWS-LC the default of this process, for code that does not choose a provider itself. Must be called
/// before Pingora chooses its own default.
pub fn install_provider() {
    // It fails if a default exists already, and then this function was called before.
    let _ = provider().as_ref().clone().install_default();
}
