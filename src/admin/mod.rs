//! The admin listener: probes, metrics, version, and banned addresses. For operators; never on a
//! public address.

mod access;
mod offenders;
mod serve;
mod status;

use std::fmt::Display;
use std::sync::Arc;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{Method, Response, StatusCode};
use jiff::Timestamp;
use pingora_http::RequestHeader;
use serde_json::json;

use crate::proxy::Shared;

pub use access::Access;
pub use serve::{MAX_CONNECTIONS, serve};
pub use status::{ConfigStatus, Readiness, Refused};

use access::Peer;

/// What the admin listener shows.
pub struct Admin {
    /// Which requests are taken.
    pub access: Access,
    /// Whether the public listeners take requests.
    pub readiness: Arc<Readiness>,
    /// Counters and bans.
    pub shared: Arc<Shared>,
    /// Which configuration is in force.
    pub status: Arc<ConfigStatus>,
    /// When the process started.
    pub started: Timestamp,
    /// Device and inode of the binary: `reload --or-upgrade` compares them with its own.
    pub executable: Option<String>,
}

impl Admin {
    fn answer(&self, request: &RequestHeader, peer: Peer) -> Response<Vec<u8>> {
        let (method, path) = (&request.method, request.uri.path());
        let mut response = match self.access.judge(method, request.version, &request.headers, peer) {
            Ok(()) => self.page_for(method, path),
            Err(refusal) => text(refusal.status(), refusal.message()),
        };
        if method == Method::HEAD {
            response.body_mut().clear();
        }
        response
    }

    fn page_for(&self, method: &Method, path: &str) -> Response<Vec<u8>> {
        let offenders = offenders::is_page(path);
        match *method {
            Method::GET | Method::HEAD if offenders => self.offenders(path),
            Method::GET | Method::HEAD => self.page(path),
            Method::DELETE if offenders => self.forgive(path),
            _ => not_allowed(if offenders { "GET, HEAD, DELETE" } else { "GET, HEAD" }),
        }
    }

    fn page(&self, path: &str) -> Response<Vec<u8>> {
        match path {
            "/livez" => text(StatusCode::OK, "ok\n"),
            "/readyz" | "/healthz" => self.ready(),
            "/metrics" => self.metrics(),
            "/version" => self.version(),
            "/" => text(
                StatusCode::OK,
                "approov-gateway: /livez /readyz /healthz /metrics /version /offenders\n",
            ),
            _ => text(StatusCode::NOT_FOUND, "not found\n"),
        }
    }

    fn ready(&self) -> Response<Vec<u8>> {
        match self.readiness.label() {
            "ready" => text(StatusCode::OK, "ok\n"),
            label => text(StatusCode::SERVICE_UNAVAILABLE, format!("{label}\n")),
        }
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
            "executable": self.executable,
            "started": format!("{:.3}", self.started),
        });
        response(StatusCode::OK, "application/json", format!("{version}\n"))
    }
}

fn not_allowed(methods: &'static str) -> Response<Vec<u8>> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, format_args!("{methods} only\n"));
    response.headers_mut().insert(ALLOW, http::HeaderValue::from_static(methods));
    response
}

fn text(status: StatusCode, body: impl Display) -> Response<Vec<u8>> {
    response(status, "text/plain; charset=utf-8", body.to_string())
}

fn response(status: StatusCode, content_type: &'static str, body: String) -> Response<Vec<u8>> {
    let mut response = Response::new(Vec::new());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    headers.insert(CONTENT_LENGTH, http::HeaderValue::from(body.len()));
    headers.insert(CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    *response.body_mut() = body.into_bytes();
    response
}
