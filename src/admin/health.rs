//! Probes, on the admin listener and on a listener of their own that shows nothing else.

use std::sync::Arc;

use http::{Method, Response, StatusCode};
use pingora_http::RequestHeader;
use tokio::sync::watch;

use super::access::Peer;
use super::response::{not_allowed, text};
use super::serve::{self, AdminListener, Pages};
use super::status::Readiness;

/// Serves the health pages at `admin.health_address`.
pub struct Health(Arc<Readiness>);

impl Health {
    /// Shows the state of `readiness`.
    pub fn new(readiness: Arc<Readiness>) -> Self {
        Self(readiness)
    }

    /// Serves the listener until `stop` says so.
    pub async fn serve(self, listener: AdminListener, stop: watch::Receiver<bool>) {
        serve::serve(Arc::new(self), listener, stop).await;
    }
}

impl Pages for Health {
    /// Any `Host` is accepted: probes use any name, and the answer shows nothing but health.
    fn answer(&self, request: &RequestHeader, _peer: Peer) -> Response<Vec<u8>> {
        match request.method {
            Method::GET => page(&self.0, request.uri.path()),
            Method::HEAD => {
                let mut response = page(&self.0, request.uri.path());
                response.body_mut().clear();
                response
            }
            _ => not_allowed("GET, HEAD"),
        }
    }
}

/// The pages `/livez`, `/readyz` and `/healthz`.
pub(super) fn page(readiness: &Readiness, path: &str) -> Response<Vec<u8>> {
    match (path, readiness.label()) {
        ("/livez", _) | ("/readyz" | "/healthz", "ready") => text(StatusCode::OK, "ok\n"),
        ("/readyz" | "/healthz", label) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{label}\n")),
        _ => text(StatusCode::NOT_FOUND, "not found\n"),
    }
}
