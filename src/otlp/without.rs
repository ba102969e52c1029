//! A build without the feature `otlp` has no thread that sends spans.

use std::io;
use std::sync::{Arc, mpsc};

use super::settings::OtlpSettings;
use crate::telemetry::{SpanCounters, SpanQueue};

/// Fails. The configuration of such a build never asks for an export.
pub(super) fn start(
    _: OtlpSettings,
    _: SpanCounters,
    _: Arc<SpanQueue>,
    _: mpsc::Sender<()>,
) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
