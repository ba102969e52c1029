//! The settings of the environment, which override those of the file.

use std::net::SocketAddr;
use std::path::PathBuf;

use http::HeaderName;
use log::LevelFilter;

use super::document::{Located, Reported};
use super::settings::Http1Exchange;
use super::values::Domain;
use crate::admin::AdminAddress;
use crate::approov::{Secret, Strategy};
use crate::otlp::OtlpSettings;
use crate::proxy::Tracing;

/// The settings of the environment. `Some(Err(Reported))` is a variable whose value cannot be used.
pub struct Overrides {
    pub secret: Option<Result<Secret, Reported>>,
    pub domain: Option<Result<Located<Domain>, Reported>>,
    pub token: TokenOverrides,
    pub strategy: Option<Located<Strategy>>,
    pub listen: Option<Result<Located<SocketAddr>, Reported>>,
    pub admin: Option<Result<Located<AdminAddress>, Reported>>,
    pub server: ServerOverrides,
    pub log_level: Option<LevelFilter>,
    pub otel: OtelOverrides,
    /// The file with the certificates of trusted authorities, in place of those of the system.
    pub authorities: Option<Located<PathBuf>>,
}

/// The settings of OpenTelemetry's variables.
pub struct OtelOverrides {
    /// How the gateway takes part in traces.
    pub tracing: Option<Tracing>,
    /// Where spans are sent.
    pub exporter: Option<OtlpSettings>,
}

/// The settings of the environment that concern tokens.
pub struct TokenOverrides {
    pub token_header: Option<Located<HeaderName>>,
    pub binding_headers: Option<Vec<Located<HeaderName>>>,
    pub binding_claim: Option<Located<String>>,
}

/// The settings of the environment that concern the process.
pub struct ServerOverrides {
    pub threads: Option<usize>,
    pub http1_exchange: Option<Http1Exchange>,
    pub runtime_folder: Option<PathBuf>,
}
