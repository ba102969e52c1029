//! The admin listener: status page, probes, metrics, version, and banned addresses. For operators; never on a
//! public address.

mod access;
mod health;
mod log_level;
mod offenders;
mod pages;
mod response;
mod serve;
mod settings;
mod status;
mod status_page;
mod tls;

pub use access::Access;
pub use health::Health;
pub use log_level::LogLevel;
pub use pages::Admin;
pub use serve::{AdminListener, MAX_CONNECTIONS};
pub use settings::{AdminAddress, AdminEndpoint, AdminSettings, AdminToken};
pub use status::{ConfigStatus, Readiness, RefusedConfiguration};
