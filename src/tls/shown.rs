//! Which certificate a client sees, for metrics.

use super::names::Names;
use super::{Identity, UnknownName};

/// The names of a listener's certificates by server name. A name is that of the certificate in metrics.
#[derive(Clone, Debug)]
pub struct ShownCertificates {
    names: Names<Box<str>>,
    /// For unknown server names; `None` if these are rejected.
    default: Option<Box<str>>,
}

impl ShownCertificates {
    /// The names of the certificates of `identities`, of which the first is the default.
    pub(super) fn new(identities: &[Identity], unknown_name: UnknownName) -> Self {
        let mut names = Names::new();
        for identity in identities {
            for name in &identity.certificate().dns_names {
                names.add(name, identity.certificate().name().into());
            }
        }
        let default = match unknown_name {
            UnknownName::Reject => None,
            UnknownName::Default => identities.first().map(|first| first.certificate().name().into()),
        };
        Self { names, default }
    }

    /// The certificate for a client that asks for this server name. `None` if the client gets none.
    pub fn find(&self, server_name: Option<&str>) -> Option<&str> {
        let found = server_name.and_then(|name| self.names.find(name)?.first());
        found.or(self.default.as_ref()).map(|name| &**name)
    }
}
