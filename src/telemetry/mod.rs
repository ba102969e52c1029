//! What operators see: the access log, metrics, diagnostics. No credential passes through here.

mod access_log;
mod certificates;
mod configurations;
mod diagnostics;
mod distribution;
mod durations;
mod fleet;
mod history;
mod key_sets;
mod limits;
mod lines;
mod metrics;
mod origins;
mod process;
mod reason;
mod redact;
mod registered;
mod response;
mod route_counts;
mod route_metrics;
mod route_page;
mod routes;
mod spans;
mod text_format;
mod turns;

pub(crate) use access_log::write_address;
pub use access_log::{
    AccessLogSink, AccessLogWriter, AddressPrivacy, DevicePrivacy, Entry, Exceeded, PathPrivacy, PrivacyKey,
    PrivacySettings, Recent, Sample,
};
pub use certificates::ShownCertificate;
pub use diagnostics::{
    DiagnosticsFormat, init as init_diagnostics, set_format as set_diagnostics_format,
    set_level as set_diagnostics_level,
};
pub use distribution::Distribution;
pub use fleet::FleetMetrics;
pub use history::{SAMPLE_EVERY, Totals, Window};
pub use key_sets::KeySetMetrics;
pub use limits::LimitState;
pub use metrics::{Metrics, OpenTunnel, SpanCounters};
pub use origins::{AddressReport, AddressState, LastFailure, OriginMetrics, OriginReport, OriginState};
pub use reason::Reason;
pub use redact::is_deceptive;
pub use response::{Source, StatusClass};
pub use route_counts::{Count, RouteCounts};
pub use route_metrics::{CountedRequest, RouteMetrics};
pub use spans::{
    AttributeValue, EndedSpan, ParentSpan, SpanKind, SpanQueue, TracedAttempt, TracedRequest, spans,
};
