//! Chooses the identity for a server name.

use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::Identity;
use super::names::Names;

/// What a client gets if no certificate has the server name, or if the client sends none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownName {
    /// The client gets the first certificate.
    #[default]
    Default,
    /// The handshake is refused.
    Reject,
}

/// Chooses by server name. If several certificates have the name, the client gets the first one with a kind
/// of key that it supports.
#[derive(Debug)]
pub(super) struct CertificateResolver {
    names: Names<Arc<CertifiedKey>>,
    /// The identities for unknown names, in order. Empty if unknown names are rejected.
    default: Vec<Arc<CertifiedKey>>,
}

impl CertificateResolver {
    /// Chooses among `identities`, of which the first is the default.
    pub fn new(identities: &[Identity], unknown_name: UnknownName) -> Self {
        let mut names = Names::new();
        for identity in identities {
            for name in &identity.certificate().dns_names {
                names.add(name, identity.certified_key().clone());
            }
        }
        let default = match unknown_name {
            UnknownName::Reject => Vec::new(),
            UnknownName::Default => {
                // Also identities with the same names: one for each kind of key.
                let same = |identity: &&Identity| {
                    identity.certificate().dns_names == identities[0].certificate().dns_names
                };
                identities.iter().filter(same).map(|identity| identity.certified_key().clone()).collect()
            }
        };
        Self { names, default }
    }

    fn find(&self, server_name: Option<&str>) -> &[Arc<CertifiedKey>] {
        server_name.and_then(|name| self.names.find(name)).unwrap_or(&self.default)
    }
}

impl ResolvesServerCert for CertificateResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        match self.find(hello.server_name()) {
            [] => None,
            [only] => Some(only.clone()),
            several => choose(several, hello.signature_schemes()).cloned(),
        }
    }
}

fn choose<'k>(keys: &'k [Arc<CertifiedKey>], schemes: &[SignatureScheme]) -> Option<&'k Arc<CertifiedKey>> {
    keys.iter().find(|key| key.key.choose_scheme(schemes).is_some()).or(keys.first())
}
