//! TLS towards clients: certificates, resumption, client certificates, pins.
//!
//! Bytes and values in, [`ServerTls`] out: the configuration reads the files and tells what is wrong
//! with them. [`ServerTls::server_config`] makes of it what rustls serves with, as often as the
//! configuration is loaded; [`Tickets`] stays, so that sessions outlive a reload.
//!
//! - `certificate`, `distinguished_name`: what a certificate says;
//! - `identity`: a chain and the key that belongs to it;
//! - `names`, `resolver`: which of them answers to a server name;
//! - `tickets`: sessions resumed on any thread and, with shared keys, by any process;
//! - `client_auth`: whose certificates are asked for, and what was verified.

mod certificate;
mod client_auth;
mod distinguished_name;
mod handshake;
mod identity;
mod names;
mod resolver;
mod server;
mod tickets;

pub use certificate::{Certificate, Digest, MalformedCertificate, Pin, canonical_subject};
pub use client_auth::{AuthorityError, ClientAuth, ClientAuthMode, client_certificate};
pub use handshake::Handshake;
pub use identity::{CertificateChain, ChainError, Identity, IdentityError, PrivateKey, PrivateKeyError};
pub use resolver::UnknownName;
pub use server::{Protocol, ServerTls, Version};
pub use tickets::{TicketKey, TicketKeyError, Tickets};

use std::sync::{Arc, LazyLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// AWS-LC with the defaults of rustls: AEAD suites with ephemeral keys only, and X25519MLKEM768
/// first among the groups.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));
    PROVIDER.clone()
}

/// Makes it what everything in this process uses that does not choose by itself. To be called
/// before Pingora makes its own choice.
pub fn install_provider() {
    // It fails where there is one already: this one, by an earlier call.
    let _ = provider().as_ref().clone().install_default();
}
