//! The spans of one request, after OpenTelemetry's semantic conventions for HTTP.

use std::time::{Duration, Instant};

use super::{AttributeValue, EndedSpan, ParentSpan, SpanKind, TracedAttempt};
use crate::telemetry::access_log::{Entry, write_address};
use crate::telemetry::redact;

/// What the spans of a request say beyond its line in the access log.
#[derive(Clone, Copy, Debug)]
pub struct TracedRequest<'a> {
    /// The span of the trusted proxy in front.
    pub parent: Option<[u8; 8]>,
    /// The trusted proxy's `tracestate`.
    pub state: &'a str,
    /// `http` or `https`, as the client asked.
    pub scheme: &'static str,
    /// The path of the route.
    pub route_path: Option<&'a str>,
    /// Scheme, host and port of the origin.
    pub origin_url: &'a str,
    /// When the head of the request arrived.
    pub started: Instant,
    /// The attempts to ask the origin.
    pub attempts: &'a [TracedAttempt],
}

/// The methods of HTTP. Others become `_OTHER`, so that clients cannot invent span names.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"];

/// The attributes of one span.
#[derive(Default)]
struct Attributes(Vec<(&'static str, AttributeValue)>);

impl Attributes {
    /// Adds a text of a client, the configuration or the gateway. Leaves an empty one out.
    fn text(&mut self, key: &'static str, value: &[u8]) {
        if !value.is_empty() {
            self.0.push((key, AttributeValue::Text(redact::client_value(value).into_owned())));
        }
    }

    fn number(&mut self, key: &'static str, value: impl TryInto<i64>) {
        self.0.push((key, AttributeValue::Number(value.try_into().unwrap_or(i64::MAX))));
    }

    fn method(&mut self, method: &str) {
        if METHODS.contains(&method) {
            self.text("http.request.method", method.as_bytes());
        } else {
            self.text("http.request.method", b"_OTHER");
            self.text("http.request.method_original", method.as_bytes());
        }
    }

    /// Host and port of an authority.
    fn server(&mut self, authority: &[u8]) {
        let text = String::from_utf8_lossy(authority);
        let (host, port) = match text.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>())) {
            Some((host, Ok(port))) => (host, Some(port)),
            _ => (&*text, None),
        };
        self.text("server.address", host.trim_matches(['[', ']']).as_bytes());
        if let Some(port) = port {
            self.number("server.port", port);
        }
    }
}

/// The SERVER span of a request and a CLIENT span for each attempt to ask its origin. `ended` and
/// `ended_at` are the same moment on both clocks. Empty if the request is in no trace.
pub fn spans(
    entry: &Entry<'_>,
    request: &TracedRequest<'_>,
    ended: Instant,
    ended_at: Duration,
) -> Vec<EndedSpan> {
    let Some((trace_id, span_id)) = entry.trace else { return Vec::new() };
    let at = |moment: Instant| ended_at.saturating_sub(ended.saturating_duration_since(moment));
    let server = EndedSpan {
        trace_id,
        span_id,
        parent: request.parent.map(|span_id| ParentSpan { span_id, is_remote: true }),
        state: request.state.to_owned(),
        name: name(entry.method, request.route_path),
        kind: SpanKind::Server,
        start: at(request.started),
        end: ended_at,
        attributes: of_request(entry, request).0,
        is_error: entry.status.is_none_or(|status| status >= 500),
    };
    let attempts = request.attempts.iter().enumerate().map(|(resends, attempt)| EndedSpan {
        trace_id,
        span_id: attempt.span_id,
        parent: Some(ParentSpan { span_id, is_remote: false }),
        state: request.state.to_owned(),
        name: name(entry.method, None),
        kind: SpanKind::Client,
        start: at(attempt.started),
        end: attempt.ended.map_or(ended_at, at),
        attributes: of_attempt(entry, request, attempt, resends).0,
        is_error: error_of(entry, attempt).is_some() || attempt.status.is_none_or(|status| status >= 400),
    });
    std::iter::once(server).chain(attempts).collect()
}

fn name(method: &str, route: Option<&str>) -> String {
    let method = if METHODS.contains(&method) { method } else { "HTTP" };
    match route {
        Some(route) => format!("{method} {route}"),
        None => method.to_owned(),
    }
}

fn of_request(entry: &Entry<'_>, request: &TracedRequest<'_>) -> Attributes {
    let mut attributes = Attributes::default();
    attributes.method(entry.method);
    attributes.text("url.scheme", request.scheme.as_bytes());
    attributes.text("url.path", entry.path);
    attributes.text("http.route", request.route_path.unwrap_or_default().as_bytes());
    attributes.server(entry.host);
    attributes.text("network.protocol.version", entry.protocol.as_bytes());
    attributes.text("user_agent.original", entry.user_agent);
    if let Some((address, port)) = entry.client {
        let mut text = Vec::with_capacity(39);
        write_address(address, &mut text);
        attributes.text("client.address", &text);
        if let Some(port) = port {
            attributes.number("client.port", port);
        }
    }
    if let Some(status) = entry.status {
        attributes.number("http.response.status_code", status);
        if status >= 500 && entry.error.is_none() {
            attributes.text("error.type", status.to_string().as_bytes());
        }
    }
    attributes.number("http.request.body.size", entry.request_bytes);
    attributes.number("http.response.body.size", entry.response_bytes);
    attributes.text("error.type", entry.error.unwrap_or_default().as_bytes());
    attributes.text("request.id", entry.request_id.unwrap_or_default());
    attributes.text("approov.route", entry.route.as_bytes());
    attributes.text("approov.policy", entry.policy.as_bytes());
    attributes.text("approov.verdict", entry.verdict.as_bytes());
    attributes.text("approov.reason", entry.reason.as_bytes());
    attributes.text("approov.limit", entry.limit.map_or("", |limit| limit.cause).as_bytes());
    attributes.text("approov.did", entry.device_id.unwrap_or_default().as_bytes());
    attributes
}

/// Why an attempt failed. One that lasts until the end of the request fails with the request.
fn error_of(entry: &Entry<'_>, attempt: &TracedAttempt) -> Option<&'static str> {
    attempt.error.or(if attempt.ended.is_none() { entry.error } else { None })
}

fn of_attempt(
    entry: &Entry<'_>,
    request: &TracedRequest<'_>,
    attempt: &TracedAttempt,
    resends: usize,
) -> Attributes {
    let mut attributes = Attributes::default();
    attributes.method(entry.method);
    attributes.server(request.origin_url.split_once("://").map_or("", |(_, authority)| authority).as_bytes());
    // Without the query, which often holds secrets.
    attributes.text("url.full", &[request.origin_url.as_bytes(), entry.path].concat());
    if let Some(peer) = attempt.peer {
        let mut text = Vec::with_capacity(39);
        write_address(peer.ip(), &mut text);
        attributes.text("network.peer.address", &text);
        attributes.number("network.peer.port", peer.port());
    }
    if resends > 0 {
        attributes.number("http.request.resend_count", resends);
    }
    if let Some(status) = attempt.status {
        attributes.number("http.response.status_code", status);
        if status >= 400 && error_of(entry, attempt).is_none() {
            attributes.text("error.type", status.to_string().as_bytes());
        }
    }
    attributes.text("error.type", error_of(entry, attempt).unwrap_or_default().as_bytes());
    attributes.text("approov.origin", entry.origin.unwrap_or_default().as_bytes());
    attributes
}
