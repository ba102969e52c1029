//! Health checks: every address is tested periodically, outside of requests.

use std::sync::Arc;
use std::time::Duration;

use pingora_core::connectors::http::Connector;
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::{Error, ErrorType, OrErr};
use pingora_http::RequestHeader;
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;

use super::address::Address;
use super::endpoints::Endpoint;
use super::{NextRequest, OriginConnector, Upstream};
use crate::origins::{CheckKind, HealthCheck, OriginHttp};

type CheckConnector = Connector<OriginConnector>;

impl Upstream {
    /// Tests every address periodically. Never returns if the origin has health checks.
    pub async fn keep_checked(self: Arc<Self>) {
        let Some(rules) = self.origin.health_check.clone() else { return };
        // Each check opens a new connection: a kept one would hide that new ones fail.
        let connector = Arc::new(Connector::new_custom(None, OriginConnector::new(self.dialers.clone())));
        let mut interval = tokio::time::interval(rules.interval);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            let mut checks = JoinSet::new();
            for endpoint in self.endpoints.load().list() {
                let (this, endpoint, connector) = (self.clone(), endpoint.clone(), connector.clone());
                let rules = rules.clone();
                checks.spawn(async move { this.check(&endpoint, &rules, &connector).await });
            }
            while checks.join_next().await.is_some() {}
        }
    }

    /// Asks every address once, for `/`, and tells the status of the answer or what is wrong.
    pub async fn probe(&self) -> Vec<(String, Result<u16, String>)> {
        let connector = Connector::new_custom(None, OriginConnector::new(self.dialers.clone()));
        let limit = self.origin.timeouts.connect + self.origin.timeouts.read;
        let endpoints = self.endpoints.load_full();
        if endpoints.list().is_empty() {
            let message = self.explanation(&failed_to_resolve(), &self.origin.host);
            return vec![(self.origin.host.to_string(), Err(message))];
        }
        let mut found = Vec::new();
        for endpoint in endpoints.list() {
            let address = endpoint.address.to_string();
            let read_timeout = Some(self.origin.timeouts.read);
            let asking = self.ask(endpoint, "/", read_timeout, &connector);
            let asked = match tokio::time::timeout(limit, asking).await {
                Ok(asked) => asked.map_err(|error| self.explanation(&error, &address)),
                Err(_) => Err(format!(
                    "{address} has not sent a whole response head within {limit:?}; check the load of the API"
                )),
            };
            found.push((address, asked));
        }
        found
    }

    async fn check(&self, endpoint: &Endpoint, rules: &HealthCheck, connector: &CheckConnector) {
        let result = match tokio::time::timeout(rules.timeout, self.try_out(endpoint, rules, connector)).await
        {
            Ok(result) => result.map_err(|error| self.why_unhealthy(&error, endpoint)),
            Err(_) => Err(format!("no answer within {:?}", rules.timeout)),
        };
        let (name, address) = (&self.origin.name, &endpoint.address);
        match &result {
            Ok(()) => self.known_failures.is_over(&address.to_string()),
            Err(why) => self.note(&address.to_string(), &format!("its health checks fail: {why}")),
        }
        match (endpoint.health.checked(result.is_ok(), rules), result) {
            (Some(true), _) => log::info!("origin {name}: {address} is healthy again"),
            (Some(false), Err(why)) => {
                log::warn!("origin {name}: {address} fails its health checks and is not used: {why}");
            }
            (Some(false), Ok(())) | (None, _) => {}
        }
    }

    fn why_unhealthy(&self, error: &Error, endpoint: &Endpoint) -> String {
        match error.etype() {
            ErrorType::HTTPStatus(status) => format!("it answers {status}"),
            _ => self.explanation(error, &endpoint.address.to_string()),
        }
    }

    async fn try_out(
        &self,
        endpoint: &Endpoint,
        rules: &HealthCheck,
        connector: &CheckConnector,
    ) -> pingora_core::Result<()> {
        match &rules.kind {
            CheckKind::Tcp => connect(&endpoint.address).await.map_err(|error| {
                let is_refused = error.kind() == std::io::ErrorKind::ConnectionRefused;
                let etype = if is_refused { ErrorType::ConnectRefused } else { ErrorType::ConnectError };
                Error::because(etype, "connecting", error)
            }),
            CheckKind::Http { path, statuses } => {
                let status = self.ask(endpoint, path, None, connector).await?;
                if statuses.iter().any(|range| range.contains(&status)) {
                    return Ok(());
                }
                Error::e_explain(ErrorType::HTTPStatus(status), "")
            }
        }
    }

    /// The status of the answer to a GET. `read_timeout` limits each read; the caller limits the whole.
    async fn ask(
        &self,
        endpoint: &Endpoint,
        path: &str,
        read_timeout: Option<Duration>,
        connector: &CheckConnector,
    ) -> pingora_core::Result<u16> {
        let mut request = RequestHeader::build("GET", path.as_bytes(), Some(4))?;
        for (name, value) in self.origin.own_fields() {
            request.insert_header(name.clone(), value.clone())?;
        }
        request.insert_header("User-Agent", concat!("approov-gateway/", env!("CARGO_PKG_VERSION")))?;
        let is_h2 = matches!(self.origin.http, OriginHttp::H2 { .. });
        if is_h2 {
            let scheme = if self.origin.tls.is_some() { "https" } else { "http" };
            let authority =
                self.origin.authority.to_str().or_err(ErrorType::InternalError, "the authority")?;
            let uri = format!("{scheme}://{authority}{path}").parse();
            request.set_uri(uri.or_err(ErrorType::InternalError, "the URL of a health check")?);
            request.set_version(http::Version::HTTP_2);
            request.remove_header("Host");
        } else {
            request.insert_header("Connection", "close")?;
        }
        let peer = &endpoint.peer;
        let (mut session, _) = connector.get_http_session(peer).await?;
        session.set_read_timeout(read_timeout);
        if let Some(digest) = session.digest() {
            // The answer's body is not read.
            let _ = NextRequest::announce(digest, &request.method);
        }
        session.write_request_header(Box::new(request)).await?;
        session.finish_request_body().await?;
        let status = loop {
            session.read_response_header().await?;
            let status = session.response_header().map(|response| response.status.as_u16());
            // The final response follows an interim one, except where the protocol was switched.
            if !matches!(status, Some(100 | 102..=199)) {
                break status;
            }
        };
        if let HttpSession::H2(_) = session {
            // Dropping the session would keep the connection open for as long as that of a request.
            connector.release_http_session(session, peer, Some(Duration::ZERO)).await;
        }
        status.ok_or_else(|| Error::explain(ErrorType::InvalidHTTPHeader, "no status"))
    }
}

pub(super) fn failed_to_resolve() -> Box<Error> {
    Error::new_up(ErrorType::new("NoAddress"))
}

async fn connect(address: &Address) -> std::io::Result<()> {
    match address {
        Address::Inet(address) => TcpStream::connect(address).await.map(drop),
        Address::Unix(path) => UnixStream::connect(path).await.map(drop),
    }
}
