//! The client of a request: as the connection tells it, or as a trusted proxy tells it.

use std::net::IpAddr;

use http::{HeaderName, HeaderValue};

use super::head::RequestHead;
use crate::approov::Presented;
use crate::downstream::Connection;
use crate::http::is_host;

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The client of one request.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub address: IpAddr,
    /// The client's port; `None` if a proxy connected in place of the client.
    pub port: Option<u16>,
    /// Whether a trusted proxy that writes fields has sent the request. Its other fields count as well.
    pub is_told_by_proxy: bool,
    /// Whether the client used TLS.
    pub is_secure: bool,
    /// The host that the client asked a trusted proxy for, if the proxy tells it.
    pub host: Option<HeaderValue>,
}

impl Client {
    /// The client of a request on this connection.
    pub fn of(connection: &Connection, head: &impl RequestHead) -> Self {
        let direct = Self {
            address: connection.client.to_canonical(),
            port: (connection.client == connection.peer.ip()).then(|| connection.peer.port()),
            is_told_by_proxy: false,
            is_secure: connection.tls.is_some(),
            host: None,
        };
        let Some(proxies) = &connection.listener.trusted_proxies else { return direct };
        // A proxy that speaks the PROXY protocol has no field: it passes on the client's own fields.
        let (true, Some(field)) = (proxies.trusts(connection.peer.ip()), proxies.field()) else {
            return direct;
        };
        let host = match head.presented(&X_FORWARDED_HOST) {
            Presented::Once(host) if is_host(host) => HeaderValue::from_bytes(host).ok(),
            _ => None,
        };
        Self {
            address: proxies
                .client_of_request(connection.peer.ip(), head.values(&HeaderName::from_static(field))),
            port: None,
            is_told_by_proxy: true,
            is_secure: match head.presented(&X_FORWARDED_PROTO) {
                Presented::Once(scheme) => scheme.eq_ignore_ascii_case(b"https"),
                Presented::Missing | Presented::Repeated => direct.is_secure,
            },
            host,
        }
    }

    /// The scheme of the client's URL: `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.is_secure { "https" } else { "http" }
    }
}
