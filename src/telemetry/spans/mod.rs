//! Spans of traced requests, and the queue in which they wait for their export.

mod build;
mod queue;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub use build::{TracedRequest, spans};
pub use queue::SpanQueue;

/// A span that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct EndedSpan {
    /// Id of the trace; all spans of a request chain share it.
    pub trace_id: [u8; 16],
    /// Id of this span within the trace.
    pub span_id: [u8; 8],
    /// The span that this one is a part of; `None` if the trace begins with this span.
    pub parent: Option<ParentSpan>,
    /// The `tracestate` that a trusted proxy has sent; empty without one.
    pub state: String,
    /// The name, from a closed set but for the method.
    pub name: String,
    /// Whether the gateway serves a request or sends one.
    pub kind: SpanKind,
    /// Start, as the time since 1970.
    pub start: Duration,
    /// End, as the time since 1970.
    pub end: Duration,
    /// Attributes, after OpenTelemetry's semantic conventions for HTTP.
    pub attributes: Vec<(&'static str, AttributeValue)>,
    /// Whether the span counts as failed.
    pub is_error: bool,
}

/// The parent of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParentSpan {
    /// Id of the parent span within the trace.
    pub span_id: [u8; 8],
    /// Whether another process made the span.
    pub is_remote: bool,
}

/// The side of a request that a span describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// A request of a client.
    Server,
    /// An attempt to have it answered by an origin.
    Client,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum AttributeValue {
    /// A text, `string_value` in OTLP.
    Text(String),
    /// A number, `int_value` in OTLP.
    Number(i64),
}

/// An attempt to ask the origin.
#[derive(Clone, Debug)]
pub struct TracedAttempt {
    /// Identifies the span of the attempt.
    pub span_id: [u8; 8],
    /// When the address was chosen.
    pub started: Instant,
    /// When the attempt failed; `None` for the attempt that lasts as long as the request.
    pub ended: Option<Instant>,
    /// The address; `None` for a unix socket.
    pub peer: Option<SocketAddr>,
    /// The status of the response.
    pub status: Option<u16>,
    /// Label of the failure, as in `error.type`; `None` if the attempt succeeded.
    pub error: Option<&'static str>,
}
