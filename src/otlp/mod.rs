//! Export of spans to a collector of OpenTelemetry (OTLP over HTTP, protobuf).
//!
//! Requests put their spans into a queue and never wait. A separate thread sends them. If the collector is
//! unreachable, slow or sends malformed answers, spans are lost and counted. Requests are not affected.
//!
//! - `settings`: where and how spans are sent;
//! - `exporter`: the handle of the thread;
//! - `sender`: the thread; a build without the feature `otlp` has `without` in its place;
//! - `messages`: the protobuf messages.

mod exporter;
#[cfg(feature = "otlp")]
mod messages;
#[cfg(feature = "otlp")]
mod sender;
mod settings;
#[cfg(not(feature = "otlp"))]
mod without;

#[cfg(not(feature = "otlp"))]
use without as sender;

pub use exporter::Exporter;
pub use settings::OtlpSettings;
