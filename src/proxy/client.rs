//! Who the client is, and how it came: the connection's word, or that of a proxy in front of the
//! gateway that is configured to be believed.

use std::net::IpAddr;

use http::{HeaderName, HeaderValue};
use pingora_http::RequestHeader;

use super::{Connection, extract};
use crate::approov::Presented;
use crate::http::is_host;

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The client of one request.
#[derive(Clone, Debug)]
pub(super) struct Client {
    /// Its address.
    pub address: IpAddr,
    /// Its port, where it connected itself.
    pub port: Option<u16>,
    /// Whether it came with TLS.
    pub is_secure: bool,
    /// The host that it asked a proxy for, where that is another than the request's.
    pub host: Option<HeaderValue>,
}

impl Client {
    /// What is known of the client behind a request.
    pub fn of(connection: &Connection, request: &RequestHeader) -> Self {
        let direct = Self {
            address: connection.client.to_canonical(),
            port: (connection.client == connection.peer.ip()).then(|| connection.peer.port()),
            is_secure: connection.tls.is_some(),
            host: None,
        };
        let Some(proxies) = &connection.listener.trusted_proxies else { return direct };
        // One that looks into nothing (PROXY protocol) passes on whatever fields the client sent.
        let (true, Some(field)) = (proxies.trusts(connection.peer.ip()), proxies.field()) else {
            return direct;
        };
        let headers = &request.headers;
        let values = headers.get_all(field).iter().map(HeaderValue::as_bytes);
        let host = match extract::presented(headers, &X_FORWARDED_HOST) {
            Presented::Once(host) if is_host(host) => headers.get(X_FORWARDED_HOST).cloned(),
            _ => None,
        };
        Self {
            address: proxies.client_of_request(connection.peer.ip(), values),
            port: None,
            is_secure: match extract::presented(headers, &X_FORWARDED_PROTO) {
                Presented::Once(scheme) => scheme.eq_ignore_ascii_case(b"https"),
                Presented::Missing | Presented::Repeated => direct.is_secure,
            },
            host,
        }
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.is_secure { "https" } else { "http" }
    }
}
