//! The settings that requests run under.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

use super::correlation::CorrelationSettings;
use crate::approov::ApproovSettings;
use crate::limits::LimitSettings;
use crate::origins::Origin;
use crate::policy::{RouteTable, Share};
use crate::telemetry::PrivacySettings;

/// The part of a configuration that requests run under.
#[derive(Debug)]
pub struct SnapshotSettings {
    /// How tokens are verified.
    pub approov: ApproovSettings,
    /// The answer to refused requests.
    pub rejection: RejectionAnswer,
    /// The protected APIs. Routes name them by position.
    pub origins: Vec<Origin>,
    /// Which policy a request meets.
    pub routes: RouteTable,
    /// Identity headers and method overrides that reach the origin.
    pub forward_headers: Vec<HeaderName>,
    /// Whether requests get an id and take part in traces.
    pub correlation: CorrelationSettings,
    /// Limits of connections and requests.
    pub limits: LimitSettings,
    /// The number of public listeners.
    pub listeners: usize,
    /// Whether requests are written to the access log.
    pub is_logged: bool,
    /// How personal data is logged.
    pub privacy: PrivacySettings,
    /// The share of the accepted requests that are logged.
    pub sample: Share,
}

/// The answer to refused requests: `rejection` in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectionAnswer {
    /// The status. Failures of the origin and requests without a route have their own.
    pub status: StatusCode,
    /// The media type of the body.
    pub content_type: HeaderValue,
    /// The body of every answer.
    pub body: Bytes,
    /// What the answer tells the app about a refused token.
    pub details: Vec<RejectionDetail>,
}

/// A detail that the answer to a refused request may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectionDetail {
    /// The attestation response code, in the field `Approov-ARC`.
    ResponseCode,
}

impl Default for RejectionAnswer {
    fn default() -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            content_type: HeaderValue::from_static("application/json"),
            body: Bytes::from_static(b"{}"),
            details: Vec::new(),
        }
    }
}
