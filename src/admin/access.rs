//! Which requests the admin listener takes. A page in an operator's browser must not read the listener
//! through a name that resolves to this address (DNS rebinding), and must not change anything.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use http::header::{AUTHORIZATION, HOST, HeaderMap, ORIGIN};
use http::{Method, StatusCode, Version};
use tokio_rustls::TlsAcceptor;

use super::settings::{AdminSettings, AdminToken};
use crate::tls;

/// The other end of a connection to the admin listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    Tcp(SocketAddr),
    /// A process with access to the unix socket.
    Unix {
        user: u32,
        process: Option<i32>,
    },
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix { user, process: Some(process) } => write!(f, "user {user}, process {process}"),
            Self::Unix { user, process: None } => write!(f, "user {user}"),
        }
    }
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AccessRefusal {
    NoHost,
    ForeignHost,
    ForeignOrigin,
    NotLoopback,
    NoToken,
}

impl AccessRefusal {
    pub fn status(self) -> StatusCode {
        match self {
            Self::NoHost => StatusCode::BAD_REQUEST,
            Self::ForeignHost => StatusCode::MISDIRECTED_REQUEST,
            Self::ForeignOrigin | Self::NotLoopback => StatusCode::FORBIDDEN,
            Self::NoToken => StatusCode::UNAUTHORIZED,
        }
    }

    pub fn message(self) -> &'static str {
        match self {
            Self::NoHost => "send one Host field\n",
            Self::ForeignHost => {
                "ask by address, localhost, the name of this machine, or one of admin.names\n"
            }
            Self::ForeignOrigin => "a page of another origin may not change anything here\n",
            Self::NotLoopback => {
                "only this machine may change anything; set admin.token_file to allow others\n"
            }
            Self::NoToken => "send Authorization: Bearer with the token of admin.token_file\n",
        }
    }
}

/// Which requests the admin listener answers, by their Host, Origin and peer.
#[derive(Clone)]
pub struct Access {
    /// Names of this machine, which a request may have as its Host.
    names: Vec<Box<str>>,
    token: Option<AdminToken>,
    /// `https` or `http`.
    scheme: &'static str,
    /// Makes handshakes; `None` in clear text.
    acceptor: Option<TlsAcceptor>,
}

impl Access {
    /// The rules of these settings on a machine of this name.
    pub fn new(settings: &AdminSettings, machine: &str) -> Self {
        let names = settings.names.iter().cloned().chain([machine.into()]);
        Self {
            names: names.filter(|name| !name.is_empty()).collect(),
            token: settings.token.clone(),
            scheme: settings.scheme(),
            acceptor: settings.tls.as_ref().map(|identity| tls::server_config_for_one(identity).into()),
        }
    }

    /// Makes the handshakes of TCP connections; `None` if they are in clear text.
    pub(super) fn acceptor(&self) -> Option<TlsAcceptor> {
        self.acceptor.clone()
    }

    /// Whether changes over this connection need the token.
    pub(super) fn asks_for_token(&self, peer: Peer) -> bool {
        self.token.is_some() && matches!(peer, Peer::Tcp(_))
    }

    pub(super) fn judge(
        &self,
        method: &Method,
        version: Version,
        fields: &HeaderMap,
        peer: Peer,
    ) -> Result<(), AccessRefusal> {
        let host = one(fields, HOST.as_str()).map_err(|()| AccessRefusal::NoHost)?;
        match host {
            Some(host) if self.is_own(host) => {}
            // A browser cannot reach a unix socket.
            _ if matches!(peer, Peer::Unix { .. }) => {}
            Some(_) => return Err(AccessRefusal::ForeignHost),
            None if version < Version::HTTP_11 => {}
            None => return Err(AccessRefusal::NoHost),
        }
        if matches!(*method, Method::GET | Method::HEAD) {
            return Ok(());
        }
        let origin = one(fields, ORIGIN.as_str()).map_err(|()| AccessRefusal::ForeignOrigin)?;
        // A browser sends `Origin` with every request that changes something.
        if let Some(origin) = origin
            && origin.split_once("://") != host.map(|host| (self.scheme, host))
        {
            return Err(AccessRefusal::ForeignOrigin);
        }
        match (peer, &self.token) {
            (Peer::Unix { .. }, _) => Ok(()),
            (Peer::Tcp(_), Some(token)) => {
                let shown = one(fields, AUTHORIZATION.as_str()).ok().flatten();
                match shown.and_then(|value| value.strip_prefix("Bearer ")) {
                    Some(shown) if token.is(shown.as_bytes()) => Ok(()),
                    _ => Err(AccessRefusal::NoToken),
                }
            }
            (Peer::Tcp(peer), None) if peer.ip().to_canonical().is_loopback() => Ok(()),
            (Peer::Tcp(_), None) => Err(AccessRefusal::NotLoopback),
        }
    }

    /// Whether a `Host` is an address, `localhost`, or a name of this machine.
    fn is_own(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        address.parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self.names.iter().any(|own| name.eq_ignore_ascii_case(own))
    }
}

/// The only value of a field. `Err` if there are several, or it is not text.
fn one<'f>(fields: &'f HeaderMap, name: &str) -> Result<Option<&'f str>, ()> {
    let mut values = fields.get_all(name).iter();
    let value = values.next().map(|value| value.to_str().map_err(drop)).transpose()?;
    if values.next().is_some() { Err(()) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const HERE: Peer = Peer::Tcp(SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4711));

    fn settings() -> AdminSettings {
        let mut settings = AdminSettings::from(SocketAddr::from(([127, 0, 0, 1], 8788)));
        settings.names = vec!["admin.internal".into()];
        settings
    }

    fn judge(
        method: Method,
        fields: &[(&'static str, &'static str)],
        peer: Peer,
    ) -> Result<(), AccessRefusal> {
        judge_with(&settings(), method, fields, peer)
    }

    fn judge_with(
        settings: &AdminSettings,
        method: Method,
        fields: &[(&'static str, &'static str)],
        peer: Peer,
    ) -> Result<(), AccessRefusal> {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, HeaderValue::from_static(value));
        }
        Access::new(settings, "edge-7").judge(&method, Version::HTTP_11, &map, peer)
    }

    #[test]
    fn host_is_an_address_localhost_or_the_name_of_the_machine() {
        for (host, is_taken) in [
            ("127.0.0.1:8788", true),
            ("10.1.2.3", true),
            ("[::1]:8788", true),
            ("[2001:db8::1]", true),
            ("localhost:8788", true),
            ("LOCALHOST", true),
            ("edge-7:8788", true),
            ("admin.internal", true),
            ("evil.example", false),
            ("evil.example:8788", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("evil.example:127.0.0.1", false),
            ("", false),
        ] {
            let expected = if is_taken { Ok(()) } else { Err(AccessRefusal::ForeignHost) };
            assert_eq!(judge(Method::GET, &[("host", host)], HERE), expected, "{host}");
        }
        assert_eq!(judge(Method::GET, &[], HERE), Err(AccessRefusal::NoHost));
        let twice = [("host", "localhost"), ("host", "evil.example")];
        assert_eq!(judge(Method::GET, &twice, HERE), Err(AccessRefusal::NoHost));
    }

    #[test]
    fn a_foreign_origin_reads_but_changes_nothing() {
        let host = ("host", "127.0.0.1:8788");
        for method in [Method::DELETE, Method::POST, Method::PUT] {
            for origin in ["https://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1:8788", ""]
            {
                let fields = [host, ("origin", origin)];
                assert_eq!(
                    judge(method.clone(), &fields, HERE),
                    Err(AccessRefusal::ForeignOrigin),
                    "{origin}"
                );
                assert_eq!(judge(Method::GET, &fields, HERE), Ok(()));
            }
            assert_eq!(judge(method.clone(), &[host], HERE), Ok(()));
            assert_eq!(judge(method, &[host, ("origin", "http://127.0.0.1:8788")], HERE), Ok(()));
        }
    }

    #[test]
    fn another_machine_reads_but_changes_nothing() {
        let other = Peer::Tcp(([192, 0, 2, 1], 4711).into());
        let host = [("host", "192.0.2.9")];
        assert_eq!(judge(Method::GET, &host, other), Ok(()));
        assert_eq!(judge(Method::DELETE, &host, other), Err(AccessRefusal::NotLoopback));
    }

    #[test]
    fn with_a_token_every_change_over_tcp_shows_it() {
        let other = Peer::Tcp(([192, 0, 2, 1], 4711).into());
        let unix = Peer::Unix { user: 1000, process: Some(7) };
        let mut settings = settings();
        settings.token = Some(AdminToken::new("0123456789abcdef"));
        let host = ("host", "127.0.0.1");
        for peer in [HERE, other] {
            let judge = |fields: &[_]| judge_with(&settings, Method::DELETE, fields, peer);
            assert_eq!(judge(&[host]), Err(AccessRefusal::NoToken));
            for wrong in ["Bearer 0123456789abcdeg", "Bearer ", "Basic 0123456789abcdef", "0123456789abcdef"]
            {
                assert_eq!(judge(&[host, ("authorization", wrong)]), Err(AccessRefusal::NoToken), "{wrong}");
            }
            let right = ("authorization", "Bearer 0123456789abcdef");
            assert_eq!(judge(&[host, right]), Ok(()));
            assert_eq!(judge(&[host, right, right]), Err(AccessRefusal::NoToken));
            assert_eq!(judge_with(&settings, Method::GET, &[host], peer), Ok(()));
        }
        assert_eq!(judge_with(&settings, Method::DELETE, &[("host", "any.name")], unix), Ok(()));
        assert!(!format!("{settings:?}").contains("0123456789abcdef"));
    }
}
