//! The messages of OTLP that the exporter needs, with the field numbers of `opentelemetry-proto` 1.x.
//! Fields that the gateway never sets are left out; protobuf reads a missing field as its default.

use prost::{Message, Oneof};

use crate::telemetry::{AttributeValue, EndedSpan, SpanKind};

#[derive(Clone, PartialEq, Message)]
struct ExportRequest {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(string, tag = "3")]
    trace_state: String,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
    #[prost(fixed32, tag = "16")]
    flags: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "PlainValue", tags = "1, 3")]
    value: Option<PlainValue>,
}

#[derive(Clone, PartialEq, Oneof)]
enum PlainValue {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(int64, tag = "3")]
    Number(i64),
}

#[derive(Clone, PartialEq, Message)]
struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_spans: i64,
}

const KIND_SERVER: i32 = 2;
const KIND_CLIENT: i32 = 3;
const STATUS_ERROR: i32 = 2;

/// Every exported span is sampled.
const FLAG_SAMPLED: u32 = 0x1;
/// The next flag tells whether the parent is in another process.
const FLAG_HAS_IS_REMOTE: u32 = 0x100;
const FLAG_IS_REMOTE: u32 = 0x200;

/// An export request as bytes. `resource` describes this process.
pub(super) fn encode(resource: &[(String, String)], spans: Vec<EndedSpan>) -> Vec<u8> {
    let attributes =
        resource.iter().map(|(key, value)| attribute(key, PlainValue::Text(value.clone()))).collect();
    let scope = Scope { name: env!("CARGO_PKG_NAME").to_owned(), version: crate::VERSION.to_owned() };
    let spans = spans.into_iter().map(Span::from).collect();
    let resource_spans = ResourceSpans {
        resource: Some(Resource { attributes }),
        scope_spans: vec![ScopeSpans { scope: Some(scope), spans }],
    };
    ExportRequest { resource_spans: vec![resource_spans] }.encode_to_vec()
}

/// How many spans the collector has refused, by the body of its answer. 0 if `body` is not an OTLP response.
pub(super) fn rejected(body: &[u8]) -> u64 {
    let answer = ExportResponse::decode(body).ok().and_then(|answer| answer.partial_success);
    answer.map_or(0, |partial| u64::try_from(partial.rejected_spans).unwrap_or(0))
}

impl From<EndedSpan> for Span {
    fn from(span: EndedSpan) -> Self {
        let nanoseconds = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let remote = match span.parent {
            Some(parent) if parent.is_remote => FLAG_HAS_IS_REMOTE | FLAG_IS_REMOTE,
            Some(_) => FLAG_HAS_IS_REMOTE,
            None => 0,
        };
        Self {
            trace_id: span.trace_id.to_vec(),
            span_id: span.span_id.to_vec(),
            trace_state: span.state,
            parent_span_id: span.parent.map_or(Vec::new(), |parent| parent.span_id.to_vec()),
            name: span.name,
            kind: match span.kind {
                SpanKind::Server => KIND_SERVER,
                SpanKind::Client => KIND_CLIENT,
            },
            start_time_unix_nano: nanoseconds(span.start),
            end_time_unix_nano: nanoseconds(span.end),
            attributes: span
                .attributes
                .into_iter()
                .map(|(key, value)| attribute(key, value.into()))
                .collect(),
            status: span.is_error.then_some(Status { code: STATUS_ERROR }),
            flags: FLAG_SAMPLED | remote,
        }
    }
}

impl From<AttributeValue> for PlainValue {
    fn from(value: AttributeValue) -> Self {
        match value {
            AttributeValue::Text(text) => PlainValue::Text(text),
            AttributeValue::Number(number) => PlainValue::Number(number),
        }
    }
}

fn attribute(key: &str, value: PlainValue) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }) }
}
