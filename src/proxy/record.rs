//! The record of a request: the one place where requests are counted and logged, whatever became of
//! them.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use http::header::{HOST, USER_AGENT};
use http::{HeaderValue, Method, Uri, Version};
use pingora_http::RequestHeader;

use super::correlation::Correlation;
use super::head::RequestHead;
use super::judgement::Judgement;
use super::shared::Shared;
use super::snapshot::{self, Snapshot};
use crate::admission::Refusal;
use crate::approov::{AppStatus, Device, Rejection};
use crate::clock;
use crate::downstream::Connection;
use crate::policy::{Policy, Verdict};
use crate::telemetry::{
    self, CountedRequest, Entry, Exceeded, Reason, Source, StatusClass, TracedAttempt, TracedRequest,
};

/// The facts about a request that has ended.
pub(super) struct Finished<'r> {
    pub head: HeadFacts<'r>,
    pub connection: &'r Connection,
    /// Address and port of the client; no port if a proxy connected in place of the client.
    pub client: (IpAddr, Option<u16>),
    pub correlation: &'r Correlation,
    /// The position of the route; `None` if no route matched.
    pub route: Option<usize>,
    pub judgement: &'r Judgement,
    /// The limit that the request exceeds.
    pub limit: Option<&'r Refusal>,
    pub transfer: Transfer,
    /// When the head of the request arrived.
    pub started: Instant,
    pub duration: Duration,
    /// The label of the first failure.
    pub error: Option<&'static str>,
    /// Why the exchange with the origin failed, in words.
    pub error_message: Option<&'r str>,
    /// The origin's address that was asked last; `None` if no address was asked, or a unix socket.
    pub peer: Option<SocketAddr>,
    /// The sender of the response.
    pub source: Source,
    /// The name of the origin, if the origin was asked.
    pub origin: Option<&'r str>,
    /// How many times the request was sent to the origin again.
    pub resends: usize,
    /// `http` or `https`, as the client asked.
    pub scheme: &'static str,
    /// The attempts to ask the origin, if the request is traced.
    pub attempts: &'r [TracedAttempt],
}

/// From this duration on a request is always logged.
const SLOW: Duration = Duration::from_secs(1);

impl Finished<'_> {
    /// Why the request has its verdict.
    fn reason(&self) -> Reason {
        match (self.judgement.verdict, self.judgement.rejection) {
            (Verdict::Denied, _) if self.limit.is_some_and(|limit| !limit.is_observed) => Reason::Limit,
            (Verdict::Denied, _) => Reason::PolicyDeny,
            (_, Some(rejection)) => Reason::Rejected(rejection),
            (_, None) => Reason::Ok,
        }
    }

    /// Whether a sample may leave the request out: it was forwarded, and nothing about it is notable.
    fn is_ordinary(&self) -> bool {
        matches!(self.judgement.verdict, Verdict::Accepted | Verdict::Open)
            && self.judgement.rejection.is_none()
            && self.limit.is_none()
            && self.error.is_none()
            && self.resends == 0
            && self.duration < SLOW
            && self.transfer.status.is_some_and(|status| status < 500)
    }

    /// Whether the request was refused, or failed.
    fn is_refused_or_failed(&self) -> bool {
        self.judgement.verdict.is_refusal()
            || self.error.is_some()
            || self.transfer.status.is_none_or(|status| status >= 500)
    }
}

/// What of a head is recorded. A part that is not known is empty.
#[derive(Clone, Copy, Default)]
pub(super) struct HeadFacts<'r> {
    pub method: &'r str,
    /// The path without the query.
    pub path: &'r [u8],
    /// The version of HTTP: `1.0`, `1.1` or `2`.
    pub protocol: &'static str,
    pub host: &'r [u8],
    pub user_agent: &'r [u8],
}

/// What was sent and received.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Transfer {
    /// The status of the response; `None` if the client got no response.
    pub status: Option<u16>,
    /// Bytes of the request body that have arrived.
    pub request_bytes: usize,
    /// Bytes of the response body that were sent.
    pub response_bytes: usize,
}

impl<'r> HeadFacts<'r> {
    /// The facts of this head.
    pub fn of(head: &'r impl RequestHead) -> Self {
        Self {
            method: head.method(),
            path: head.path(),
            protocol: protocol(head.version()),
            host: head.host(),
            user_agent: head.values(&USER_AGENT).next().unwrap_or_default(),
        }
    }
}

/// The version as `network.protocol.version` has it.
fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_11 => "1.1",
        Version::HTTP_2 => "2",
        _ => "",
    }
}

/// The recorded part of a head, kept beyond the head itself. The values share memory with the head.
pub(super) struct KeptHead {
    method: Method,
    uri: Uri,
    version: Version,
    host: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
}

impl KeptHead {
    pub fn new(head: &RequestHeader) -> Self {
        Self {
            method: head.method.clone(),
            uri: head.uri.clone(),
            version: head.version,
            host: head.headers.get(HOST).cloned(),
            user_agent: head.headers.get(USER_AGENT).cloned(),
        }
    }

    /// The facts of the head.
    pub fn facts(&self) -> HeadFacts<'_> {
        let authority = || self.uri.authority().map_or(&b""[..], |authority| authority.as_str().as_bytes());
        HeadFacts {
            method: self.method.as_str(),
            path: self.uri.path().as_bytes(),
            protocol: protocol(self.version),
            host: self.host.as_ref().map_or_else(authority, HeaderValue::as_bytes),
            user_agent: self.user_agent.as_ref().map_or(b"", HeaderValue::as_bytes),
        }
    }
}

impl Shared {
    /// Counts a request that has ended.
    fn count(&self, snapshot: &Snapshot, request: &Finished<'_>) {
        let Finished { transfer, judgement, .. } = request;
        let metrics = match request.route {
            Some(route) => &snapshot.route_metrics[route],
            None => &snapshot.unrouted_metrics,
        };
        if request.origin.is_none() {
            self.metrics.overhead(request.duration);
        }
        if let Some(signature) = judgement.signature {
            metrics.record_signature(signature.label, signature.result);
        }
        if judgement.is_failover {
            self.metrics.failover_token();
        }
        if let Some(status) = judgement.self_report.as_deref().and_then(|report| report.status) {
            self.metrics.app_status(status);
        }
        metrics.record(CountedRequest {
            verdict: judgement.verdict,
            reason: request.reason(),
            response: transfer.status.map(|status| (StatusClass::from(status), request.source)),
            duration: request.duration,
            is_tunnel: transfer.status == Some(101),
        });
    }

    /// Counts and logs a request that has ended.
    ///
    /// Never inlined, so that the bench of instructions can count it alone.
    #[inline(never)]
    pub(super) fn record(&self, snapshot: &Snapshot, request: &Finished<'_>) {
        self.count(snapshot, request);
        let is_sampled = request.is_ordinary();
        let is_logged = snapshot.is_logged && (!is_sampled || snapshot.sample.takes_next());
        let spans = self.spans.as_ref().filter(|_| request.correlation.is_recorded());
        let is_recent = request.is_refused_or_failed() && self.recent.takes_next();
        if !is_logged && !is_recent && spans.is_none() {
            return;
        }
        let Finished { head, connection, transfer, judgement, limit, .. } = request;
        let self_report = judgement.self_report.as_deref();
        let Device { id, response_code } = &judgement.device;
        let unverified = self_report.map(|report| &report.claims);
        let route = request.route.map(|route| &snapshot.routes.routes()[route]);
        let route_path = route.map(|route| route.path.text());
        let tls = connection.tls.as_ref();
        let Correlation { request_id, trace } = request.correlation;
        let privacy = &snapshot.privacy;
        let device = |id| privacy.device(&snapshot.privacy_key, id);
        let device_id = device(id.as_deref());
        let unverified_device_id = device(unverified.and_then(|claims| claims.device_id.as_deref()));
        let entry = Entry {
            method: head.method,
            path: privacy.path(head.path, route_path),
            status: transfer.status,
            client: privacy.client(request.client),
            protocol: head.protocol,
            tls_version: tls.map(|tls| tls.version),
            client_subject: tls.and_then(|tls| Some(&*tls.client_certificate.as_ref()?.subject)),
            host: head.host,
            user_agent: head.user_agent,
            request_bytes: transfer.request_bytes,
            response_bytes: transfer.response_bytes,
            duration: request.duration,
            request_id: request_id.as_ref().map(|(_, id)| id.as_bytes()),
            trace: trace.as_ref().map(|trace| (trace.trace_id, trace.span_id)),
            error: request.error,
            error_message: request.error_message,
            peer: request.peer,
            route: route.map_or(snapshot::UNROUTED, |route| &route.name),
            policy: route.map_or(Policy::Deny, |route| route.policy).label(),
            verdict: judgement.verdict.label(),
            reason: request.reason().log_label(),
            limit: limit.map(|limit| Exceeded {
                cause: limit.cause.label(),
                name: limit.name.as_deref(),
                is_observed: limit.is_observed,
            }),
            device_id: device_id.as_deref(),
            response_code: response_code.as_deref(),
            app_status: self_report.and_then(|report| report.status).map(AppStatus::label),
            unverified_device_id: unverified_device_id.as_deref(),
            unverified_response_code: unverified.and_then(|claims| claims.response_code.as_deref()),
            message_signature: judgement.signature.map(|signature| signature.result.label()),
            message_signature_reason: judgement
                .signature
                .and_then(|signature| signature.rejection.map(Rejection::label)),
            origin: request.origin,
            resends: request.resends,
            sample_rate: snapshot.sample.rate().filter(|_| is_sampled),
        };
        if is_logged {
            self.access_log.log(&entry);
        }
        if is_recent {
            self.recent.push(&entry);
        }
        if let (Some(queue), Some(trace)) = (spans, trace) {
            let traced = TracedRequest {
                parent: trace.parent,
                state: trace.state.as_ref().and_then(|state| state.to_str().ok()).unwrap_or_default(),
                scheme: request.scheme,
                route_path,
                origin_url: &route
                    .map_or(String::new(), |route| snapshot.upstreams[route.origin].origin().base_url()),
                started: request.started,
                attempts: request.attempts,
            };
            queue.push(telemetry::spans(&entry, &traced, clock::now(), clock::unix_time()));
        }
    }
}
