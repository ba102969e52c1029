//! Where and how spans are sent.

use std::time::Duration;

use http::{HeaderName, HeaderValue};

use crate::origins::Origin;

/// The settings of the exporter, from OpenTelemetry's standard variables.
#[derive(Clone, Debug)]
pub struct OtlpSettings {
    /// The collector that gets the spans.
    pub server: Origin,
    /// Path and query of the requests.
    pub target: Box<str>,
    /// Further fields, such as a key. Their values are marked as sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// How long one export may take.
    pub timeout: Duration,
    /// Attributes of this process, with `service.name`.
    pub resource: Vec<(String, String)>,
    /// The largest number of spans that wait to be sent.
    pub queue: usize,
    /// How long spans gather before they are sent.
    pub delay: Duration,
    /// Spans that are sent at once.
    pub batch: usize,
}
