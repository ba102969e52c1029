//! Registering of metric families.

use prometheus::core::Collector;
use prometheus::{Error, Registry};

/// Registers the family and returns it.
///
/// # Errors
/// If the registry has a family with the same name.
pub(super) fn registered<F: Collector + Clone + 'static>(registry: &Registry, family: F) -> Result<F, Error> {
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}
