//! The ids by which a request is found again: in the logs of the client, the gateway and the origin, and
//! in traces.

use std::net::SocketAddr;

use http::{HeaderName, HeaderValue};

use super::client::Client;
use super::head::RequestHead;
use super::ids::{self, Id};
use crate::approov::Presented;
use crate::clock;
use crate::http::{TraceParent, trace_state};
use crate::telemetry::TracedAttempt;

static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The longest request id that is kept.
const MAX_REQUEST_ID: usize = 128;

/// Whether requests get an id and take part in traces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorrelationSettings {
    /// The header with the request id; `None` if requests get none.
    pub request_id: Option<HeaderName>,
    /// How traces are sampled; `None` if the gateway takes no part in traces.
    pub tracing: Option<Tracing>,
}

impl Default for CorrelationSettings {
    fn default() -> Self {
        Self { request_id: Some(HeaderName::from_static("x-request-id")), tracing: None }
    }
}

/// How the gateway takes part in traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tracing {
    /// Which requests are sampled.
    pub sampler: Sampler,
    /// Whether sampled spans are exported.
    pub is_exported: bool,
    /// Whether `traceparent` is read from trusted proxies and sent to origins.
    pub is_propagated: bool,
}

/// Which requests are sampled, after OpenTelemetry's samplers of the same names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampler {
    /// Whether the decision of a trusted parent is kept.
    pub is_parent_based: bool,
    /// The sampled share of the other traces: of 63 bits of the trace id, those below this number.
    threshold: u64,
}

/// The place of a request in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trace {
    pub trace_id: Id,
    /// The span of the gateway.
    pub span_id: [u8; 8],
    /// The span of the trusted proxy; `None` if the trace begins here.
    pub parent: Option<[u8; 8]>,
    pub is_sampled: bool,
    /// Whether the spans of the gateway are exported.
    is_recorded: bool,
    /// `tracestate` of the trusted proxy.
    pub state: Option<HeaderValue>,
    /// The span of the present attempt to ask the origin.
    pub attempt: Option<[u8; 8]>,
    /// Whether the origin is told.
    is_propagated: bool,
}

/// The ids of one request.
#[derive(Clone, Debug, Default)]
pub(super) struct Correlation {
    /// The field with the request id.
    pub request_id: Option<(HeaderName, HeaderValue)>,
    pub trace: Option<Box<Trace>>,
}

impl Sampler {
    /// OpenTelemetry's default: the decision of a trusted parent. Without a parent, every request is sampled.
    pub const DEFAULT: Self = Self { is_parent_based: true, threshold: u64::MAX };

    /// Samples this share, from 0 to 1, of the traces that begin here.
    pub fn ratio(share: f64, is_parent_based: bool) -> Self {
        const ALL: f64 = (1u64 << 63) as f64;
        let threshold = if share >= 1.0 { u64::MAX } else { (share.max(0.0) * ALL) as u64 };
        Self { is_parent_based, threshold }
    }

    fn samples(self, trace_id: Id, parent: Option<&TraceParent>) -> bool {
        match parent {
            Some(parent) if self.is_parent_based => parent.is_sampled,
            _ => {
                let low = trace_id.last_chunk().map_or(0, |low| u64::from_be_bytes(*low));
                low >> 1 < self.threshold
            }
        }
    }
}

impl Correlation {
    /// The ids of a request. Valid ids from a trusted proxy are kept. Ids from a client are never kept.
    ///
    /// Never inlined, so that the bench of instructions can count it alone.
    #[inline(never)]
    pub fn of(settings: &CorrelationSettings, client: &Client, head: &impl RequestHead) -> Self {
        if settings.request_id.is_none() && settings.tracing.is_none() && !client.is_told_by_proxy {
            return Self::default();
        }
        let mut fresh = None;
        let mut fresh_id = || *fresh.get_or_insert_with(ids::random);
        let request_id = settings.request_id.as_ref().and_then(|name| {
            let kept = if client.is_told_by_proxy { kept_request_id(head.presented(name)) } else { None };
            Some((name.clone(), kept.or_else(|| ids::text(fresh_id()?))?))
        });
        let parent = if client.is_told_by_proxy { parent(head) } else { None };
        let trace = match (settings.tracing, parent) {
            (None, None) => None,
            // The gateway takes no part in the trace, and the origin gets what the proxy sent.
            (None, Some(parent)) => Some(Trace {
                trace_id: parent.trace_id,
                span_id: parent.span_id,
                parent: None,
                is_sampled: parent.is_sampled,
                is_recorded: false,
                state: state(head),
                attempt: None,
                is_propagated: true,
            }),
            (Some(tracing), parent) => {
                let parent = parent.filter(|_| tracing.is_propagated);
                let trace_id = parent.map(|parent| parent.trace_id).or_else(&mut fresh_id);
                trace_id.zip(ids::random()).map(|(trace_id, span_id)| {
                    let is_sampled = tracing.sampler.samples(trace_id, parent.as_ref());
                    Trace {
                        trace_id,
                        span_id,
                        parent: parent.map(|parent| parent.span_id),
                        is_sampled,
                        is_recorded: is_sampled && tracing.is_exported,
                        state: parent.and_then(|_| state(head)),
                        attempt: None,
                        is_propagated: tracing.is_propagated,
                    }
                })
            }
        };
        Self { request_id, trace: trace.map(Box::new) }
    }

    /// The ids of bytes that are not a request.
    pub fn of_unparsed(settings: &CorrelationSettings) -> Self {
        let request_id = || Some((settings.request_id.clone()?, ids::text(ids::random()?)?));
        Self { request_id: request_id(), trace: None }
    }

    /// Whether the spans of the request are exported.
    pub fn is_recorded(&self) -> bool {
        self.trace.as_ref().is_some_and(|trace| trace.is_recorded)
    }

    /// An attempt to ask the origin begins. Returns its span if it is exported.
    pub fn begin_attempt(&mut self, peer: Option<SocketAddr>) -> Option<TracedAttempt> {
        let trace = self.trace.as_mut().filter(|trace| trace.is_recorded)?;
        let span_id = ids::random()?;
        trace.attempt = Some(span_id);
        Some(TracedAttempt { span_id, started: clock::now(), ended: None, peer, status: None, error: None })
    }

    /// Calls `set` for each field that the origin gets.
    pub fn each<'s>(&'s self, mut set: impl FnMut(&'s HeaderName, HeaderValue)) {
        if let Some((name, value)) = &self.request_id {
            set(name, value.clone());
        }
        let Some(trace) = self.trace.as_deref().filter(|trace| trace.is_propagated) else { return };
        let span_id = trace.attempt.unwrap_or(trace.span_id);
        let parent = TraceParent { trace_id: trace.trace_id, span_id, is_sampled: trace.is_sampled };
        // Hex digits and dashes are a valid field value.
        if let Some(value) = ids::value(&parent.to_value()) {
            set(&TRACEPARENT, value);
        }
        if let Some(state) = &trace.state {
            set(&TRACESTATE, state.clone());
        }
    }
}

/// A request id that is kept: of limited length, and of characters that need no escape in any log.
fn kept_request_id(presented: Presented<'_>) -> Option<HeaderValue> {
    let Presented::Once(value) = presented else { return None };
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~:/+=@".contains(byte);
    let is_kept = (1..=MAX_REQUEST_ID).contains(&value.len()) && value.iter().all(is_plain);
    if is_kept { HeaderValue::from_bytes(value).ok() } else { None }
}

fn parent(head: &impl RequestHead) -> Option<TraceParent> {
    match head.presented(&TRACEPARENT) {
        Presented::Once(value) => TraceParent::parse(value),
        Presented::Missing | Presented::Repeated => None,
    }
}

fn state(head: &impl RequestHead) -> Option<HeaderValue> {
    HeaderValue::from_maybe_shared(bytes::Bytes::from(trace_state(head.values(&TRACESTATE))?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sampler_takes_its_share_and_follows_a_parent_only_if_it_is_based_on_it() {
        let id = |low: u64| {
            let mut id = [0; 16];
            id[8..].copy_from_slice(&low.to_be_bytes());
            id
        };
        let parent = |is_sampled| TraceParent { trace_id: id(1), span_id: [1; 8], is_sampled };
        let count = |sampler: Sampler, parent: Option<&TraceParent>| {
            (0..1000u64).filter(|n| sampler.samples(id((2 * n + 1) * (u64::MAX / 2000)), parent)).count()
        };
        for (share, expected) in [(0.0, 0), (0.01, 10), (0.5, 500), (1.0, 1000), (7.0, 1000), (-1.0, 0)] {
            assert_eq!(count(Sampler::ratio(share, false), None), expected, "{share}");
            assert_eq!(count(Sampler::ratio(share, false), Some(&parent(true))), expected, "{share}");
            assert_eq!(count(Sampler::ratio(share, true), Some(&parent(true))), 1000);
            assert_eq!(count(Sampler::ratio(share, true), Some(&parent(false))), 0);
        }
        assert_eq!(count(Sampler::DEFAULT, None), 1000);
        assert!(Sampler::DEFAULT.samples([0xff; 16], None));
    }

    #[test]
    fn only_plain_request_ids_are_kept() {
        for kept in ["a", "7f3c-11_x.~:/+=@", &"x".repeat(MAX_REQUEST_ID)] {
            assert!(kept_request_id(Presented::Once(kept.as_bytes())).is_some(), "{kept}");
        }
        for other in ["", "a b", "a\"b", "a,b", "\u{e9}", &"x".repeat(MAX_REQUEST_ID + 1)] {
            assert_eq!(kept_request_id(Presented::Once(other.as_bytes())), None, "{other}");
        }
        assert_eq!(kept_request_id(Presented::Repeated), None);
    }
}
