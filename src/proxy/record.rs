//! What is left of a request: it is counted and logged.

use pingora_http::RequestHeader;

use super::{RequestContext, Shared, extract, snapshot};
use crate::approov::Device;
use crate::policy::Policy;
use crate::telemetry::{Entry, Exceeded, reason_label};

/// How far it came.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// Bytes of the request's body that have come.
    pub request_bytes: usize,
    /// Bytes of the answer's body that have been sent.
    pub response_bytes: usize,
}

impl Shared {
    /// Counts and logs a request that has ended.
    pub(super) fn record(&self, request: &RequestHeader, sent: Sent, ctx: &RequestContext) {
        let duration = ctx.started.elapsed();
        ctx.metrics().record(ctx.verdict, ctx.rejection, duration);
        if !ctx.snapshot.is_logged {
            return;
        }
        let Device { id, response_code } = &ctx.device;
        let route = ctx.route();
        let tls = ctx.connection.as_ref().and_then(|connection| connection.tls.as_ref());
        self.access_log.log(&Entry {
            method: request.method.as_str(),
            path: extract::path(request),
            status: sent.status,
            client: ctx.client.as_ref().map(|client| (client.address, client.port)),
            protocol: extract::protocol_version(request),
            tls_version: tls.map(|tls| tls.version),
            client_subject: tls.and_then(|tls| Some(&*tls.client_certificate.as_ref()?.subject)),
            host: extract::host(request),
            user_agent: request.headers.get(http::header::USER_AGENT).map_or(b"", |value| value.as_bytes()),
            request_bytes: sent.request_bytes,
            response_bytes: sent.response_bytes,
            duration,
            error: ctx.error,
            route: route.map_or(snapshot::UNROUTED, |route| &route.name),
            policy: route.map_or(Policy::Deny, |route| route.policy).label(),
            verdict: ctx.verdict.label(),
            reason: reason_label(ctx.rejection),
            limit: ctx.limited.as_ref().map(|limited| Exceeded {
                cause: limited.cause.label(),
                name: limited.name.as_deref(),
                is_observed: limited.is_observed,
            }),
            device_id: id.as_deref(),
            response_code: response_code.as_deref(),
            origin: if ctx.attempts > 0 || ctx.retry_after.is_some() {
                ctx.upstream().map(|upstream| &*upstream.origin().name)
            } else {
                None
            },
            resends: ctx.attempts.saturating_sub(1),
        });
    }
}
