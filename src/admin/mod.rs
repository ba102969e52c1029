//! The admin listener: probes, metrics, version, and who is banned. For operators; never on a public address.

mod offenders;
mod status;

use std::fmt::Display;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{Method, Response, StatusCode};
use jiff::Timestamp;
use pingora_core::apps::http_app::ServeHttp;
use pingora_core::protocols::http::ServerSession;
use serde_json::json;

use crate::proxy::Shared;

pub use status::{ConfigStatus, Readiness, Refused};

/// What the admin listener tells about.
pub struct Admin {
    /// Whether requests are taken.
    pub readiness: Arc<Readiness>,
    /// Everything counted, and who is banned.
    pub shared: Arc<Shared>,
    /// Which configuration is in force.
    pub status: Arc<ConfigStatus>,
    /// When the process started.
    pub started: SystemTime,
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let request = session.req_header();
        let (method, path) = (&request.method, request.uri.path());
        let is_head = method == Method::HEAD;
        let offenders = offenders::is_page(path);
        let mut response = match method {
            &Method::GET | &Method::HEAD if offenders => self.offenders(path),
            &Method::GET | &Method::HEAD => self.page(path),
            &Method::DELETE if offenders => self.forgive(path),
            _ => not_allowed(if offenders { "GET, HEAD, DELETE" } else { "GET, HEAD" }),
        };
        if is_head {
            response.body_mut().clear();
        }
        response
    }
}

impl Admin {
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
        let started = Timestamp::try_from(self.started).map(|started| format!("{started:.3}"));
        let refused = self.status.refused().map(|refused| {
            json!({ "at": format!("{:.3}", refused.at), "problems": refused.problems.lines().collect::<Vec<_>>() })
        });
        let version = json!({
            "version": crate::VERSION,
            "pid": std::process::id(),
            "config_generation": self.status.generation(),
            "config_refused": refused,
            "started": started.unwrap_or_default(),
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
