//! What operators see: the access log, metrics, diagnostics. No credential passes through here.

mod access_log;
mod diagnostics;
mod limits;
mod lines;
mod metrics;
mod origins;
mod redact;
mod route_metrics;

pub(crate) use access_log::write_address;
pub use access_log::{AccessLogSink, AccessLogWriter, Entry, Exceeded};
pub use diagnostics::init as init_diagnostics;
pub use limits::LimitState;
pub use metrics::Metrics;
pub use origins::{OriginMetrics, OriginState};
pub use route_metrics::{RouteMetrics, reason_label};
