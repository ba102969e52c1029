//! What operators see: the access log, metrics, diagnostics. No credential passes through here.

mod access_log;
mod diagnostics;
mod key_sets;
mod limits;
mod lines;
mod metrics;
mod origins;
mod process;
mod redact;
mod response;
mod route_metrics;

pub(crate) use access_log::write_address;
pub use access_log::{AccessLogSink, AccessLogWriter, Entry, Exceeded, Sample};
pub use diagnostics::{init as init_diagnostics, set_level as set_diagnostics_level};
pub use key_sets::KeySetMetrics;
pub use limits::LimitState;
pub use metrics::{Metrics, OpenTunnel};
pub use origins::{OriginMetrics, OriginState};
pub use response::{Source, StatusClass};
pub use route_metrics::{CountedRequest, Reason, RouteMetrics};
