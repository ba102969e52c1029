//! Export of spans to a collector of OpenTelemetry (OTLP over HTTP, protobuf).
//!
//! Requests put their spans into a queue and never wait. A thread of its own sends them. A collector that
//! is gone, slow or talks nonsense costs spans, which are counted, and nothing else.
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
