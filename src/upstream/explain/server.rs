//! What explanations need to know of the server that was asked.

use std::time::Duration;

use crate::origins::OriginTimeouts;

/// The server that was asked, as far as explanations need it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AskedServer<'a> {
    /// The address, or the host name if it has none.
    pub address: &'a str,
    /// Host and port of the server.
    pub domain: &'a str,
    /// What the server is to the gateway.
    pub server: ServerKind<'a>,
    /// Whether TLS is configured.
    pub is_tls: bool,
    /// Whether the trusted authorities are configured. Otherwise they are those of the system.
    pub has_own_authorities: bool,
    /// The time limits of an exchange.
    pub timeouts: &'a OriginTimeouts,
    /// The total time of the request, if it has passed. Other limits were then cut to what was left of it.
    pub passed_total: Option<Duration>,
}

/// What a server is to the gateway. It decides which setting helps.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ServerKind<'a> {
    /// The origin of this name.
    Origin(&'a str),
    /// A server of key sets, which has a URL and no other setting.
    KeySets,
    /// A collector of spans, which has a URL and no other setting.
    Collector,
}

impl ServerKind<'_> {
    /// What runs there.
    pub fn what(self) -> &'static str {
        match self {
            ServerKind::Origin(_) => "the API",
            ServerKind::KeySets => "the key server",
            ServerKind::Collector => "the collector",
        }
    }

    /// How to trust a private authority.
    pub fn how_to_trust(self, what: &str) -> String {
        match self {
            ServerKind::Origin(name) => format!("name {what} in tls.ca_file of origin {name}"),
            ServerKind::KeySets | ServerKind::Collector => {
                format!("add {what} to the certificates of the system, or set SSL_CERT_FILE")
            }
        }
    }

    /// How to get the certificate for another name verified.
    pub fn how_to_name(self) -> String {
        match self {
            ServerKind::Origin(name) => {
                format!("correct the domain, or set tls.server_name of origin {name}")
            }
            ServerKind::KeySets | ServerKind::Collector => "correct the URL".to_owned(),
        }
    }

    /// How to wait for longer.
    pub fn or_raise(self, limit: &str) -> String {
        match self {
            ServerKind::Origin(_) => format!(", or raise {limit}"),
            ServerKind::KeySets | ServerKind::Collector => String::new(),
        }
    }
}
