//! A build without the feature `fleet` has no store. Its configuration never asks for one.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::settings::StoreSettings;
use crate::proxy::Shared;
use crate::telemetry::Metrics;

/// Does nothing.
///
/// # Errors
/// Never.
pub fn start(_: StoreSettings, _: &Arc<Shared>, _: &Metrics, _: &Handle) -> Result<(), prometheus::Error> {
    Ok(())
}

/// Fails.
///
/// # Errors
/// Always.
pub async fn reach(_: &StoreSettings) -> Result<(), String> {
    Err("this build has no store".to_owned())
}
