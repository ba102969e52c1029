//! The pages of the admin listener.

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, Method, Response, StatusCode};
use jiff::Timestamp;
use pingora_http::RequestHeader;
use serde_json::json;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::access::{Access, AccessRefusal, Peer};
use super::log_level::{self, LogLevel};
use super::response::{not_allowed, response, text};
use super::serve::{self, AdminListener, Pages};
use super::status::{ConfigStatus, Readiness};
use super::status_page::{self, StatusReport};
use super::{health, offenders};
use crate::proxy::Shared;

/// What the admin listener shows.
pub struct Admin {
    /// Which requests are answered. A reload replaces the rules.
    pub access: Arc<ArcSwap<Access>>,
    /// Whether the public listeners take requests.
    pub readiness: Arc<Readiness>,
    /// The state of the proxy: counters, limits and bans.
    pub shared: Arc<Shared>,
    /// Which configuration is in force.
    pub status: Arc<ConfigStatus>,
    /// The level of diagnostics, which a page can change.
    pub log_level: LogLevel,
    /// The start of the process.
    pub started: Timestamp,
    /// Device and inode of the binary: `reload --or-upgrade` compares them with its own.
    pub executable: Option<String>,
}

impl Admin {
    /// Serves the listener until `stop` says so.
    pub async fn serve(self, listener: AdminListener, stop: watch::Receiver<bool>) {
        serve::serve(Arc::new(self), listener, stop).await;
    }
}

impl Pages for Admin {
    fn answer(&self, request: &RequestHeader, peer: Peer) -> Response<Vec<u8>> {
        let (method, path) = (&request.method, request.uri.path());
        let mut response = match self.access.load().judge(method, request.version, &request.headers, peer) {
            Ok(()) if path == log_level::PAGE => self.log_level(method, request.uri.query(), peer),
            Ok(()) => self.page_for(request, peer),
            Err(refusal) => refuse(refusal),
        };
        if method == Method::HEAD {
            response.body_mut().clear();
        }
        response
    }

    fn acceptor(&self) -> Option<TlsAcceptor> {
        self.access.load().acceptor()
    }
}

impl Admin {
    fn log_level(&self, method: &Method, query: Option<&str>, peer: Peer) -> Response<Vec<u8>> {
        match *method {
            Method::GET | Method::HEAD => self.log_level.show(),
            Method::PUT => self.log_level.change(query.unwrap_or_default(), peer),
            _ => not_allowed("GET, HEAD, PUT"),
        }
    }

    fn page_for(&self, request: &RequestHeader, peer: Peer) -> Response<Vec<u8>> {
        let path = request.uri.path();
        let offenders = offenders::is_page(path);
        match request.method {
            Method::GET | Method::HEAD if offenders => self.offenders(path),
            Method::GET | Method::HEAD => self.page(path, &request.headers, peer),
            Method::DELETE if offenders => self.forgive(path, peer),
            _ => not_allowed(if offenders { "GET, HEAD, DELETE" } else { "GET, HEAD" }),
        }
    }

    fn page(&self, path: &str, fields: &HeaderMap, peer: Peer) -> Response<Vec<u8>> {
        match path {
            "/" | "/status" if status_page::wants_html(fields) => {
                status_page::page(&self.report(), self.access.load().asks_for_token(peer))
            }
            "/status" | "/status.json" => status_page::json(&self.report()),
            "/livez" | "/readyz" | "/healthz" => health::page(&self.readiness, path),
            "/metrics" => self.metrics(),
            "/version" => self.version(),
            "/" => text(
                StatusCode::OK,
                "approov-gateway: /status /livez /readyz /healthz /metrics /version /offenders /log-level\n",
            ),
            _ => text(StatusCode::NOT_FOUND, "not found\n"),
        }
    }

    fn report(&self) -> StatusReport {
        StatusReport::of(&self.readiness, &self.status, &self.shared, self.started)
    }

    fn metrics(&self) -> Response<Vec<u8>> {
        match self.shared.metrics.encode(self.shared.access_log.dropped()) {
            Ok(metrics) => response(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", metrics),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        }
    }

    fn version(&self) -> Response<Vec<u8>> {
        let refused = self.status.refused().map(|refused| {
            json!({ "at": format!("{:.3}", refused.at), "problems": refused.problems.lines().collect::<Vec<_>>() })
        });
        let version = json!({
            "version": crate::VERSION,
            "pid": std::process::id(),
            "config_generation": self.status.generation(),
            "config_refused": refused,
            "config_unapplied": self.status.unapplied(),
            "executable": self.executable,
            "started": format!("{:.3}", self.started),
        });
        response(StatusCode::OK, "application/json", format!("{version}\n"))
    }
}

fn refuse(refusal: AccessRefusal) -> Response<Vec<u8>> {
    let mut response = text(refusal.status(), refusal.message());
    if refusal == AccessRefusal::NoToken {
        response.headers_mut().insert(WWW_AUTHENTICATE, http::HeaderValue::from_static("Bearer"));
    }
    response
}
