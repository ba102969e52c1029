//! The content of a line of the access log.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::line::{self, Clock};

/// One finished request. Attribute names follow OpenTelemetry's semantic conventions for HTTP.
#[derive(Debug)]
pub struct Entry<'a> {
    /// `http.request.method`
    pub method: &'a str,
    /// `url.path`, without the query
    pub path: &'a [u8],
    /// `http.response.status_code`; `None` if the client was gone before an answer
    pub status: Option<u16>,
    /// `client.address`, and `client.port` if no proxy is in between
    pub client: Option<(IpAddr, Option<u16>)>,
    /// `network.protocol.version`
    pub protocol: &'static str,
    /// `tls.protocol.version`
    pub tls_version: Option<&'static str>,
    /// `tls.client.subject`: of a verified certificate
    pub client_subject: Option<&'a str>,
    /// `server.address`: the `Host` field
    pub host: &'a [u8],
    /// `user_agent.original`
    pub user_agent: &'a [u8],
    /// `http.request.body.size`, bytes
    pub request_bytes: usize,
    /// `http.response.body.size`, bytes
    pub response_bytes: usize,
    /// `http.server.request.duration`, written in seconds
    pub duration: Duration,
    /// `request.id`
    pub request_id: Option<&'a [u8]>,
    /// `trace_id` and `span_id`
    pub trace: Option<([u8; 16], [u8; 8])>,
    /// `error.type`: what went wrong at the origin or with the client's connection
    pub error: Option<&'static str>,
    /// `error.message`: why the exchange with the origin failed, and how to fix it
    pub error_message: Option<&'a str>,
    /// `network.peer.address` and `network.peer.port`: the origin's address that was asked last
    pub peer: Option<SocketAddr>,
    /// `approov.route`
    pub route: &'a str,
    /// `approov.policy`
    pub policy: &'static str,
    /// `approov.verdict`
    pub verdict: &'static str,
    /// `approov.reason`
    pub reason: &'static str,
    /// `approov.limit`, `approov.limit_name` and `approov.limit_observed`
    pub limit: Option<Exceeded<'a>>,
    /// `approov.did`
    pub device_id: Option<&'a str>,
    /// `approov.arc`
    pub response_code: Option<&'a str>,
    /// `approov.status`: what the app says in `Approov-Status`.
    pub app_status: Option<&'static str>,
    /// `approov.unverified.did`: the device id of a token that no key verifies.
    pub unverified_device_id: Option<&'a str>,
    /// `approov.unverified.arc`: the attestation response code of a token that no key verifies.
    pub unverified_response_code: Option<&'a str>,
    /// `approov.message_signature.result`.
    pub message_signature: Option<&'static str>,
    /// `approov.message_signature.reason`: why the signature is not good.
    pub message_signature_reason: Option<&'static str>,
    /// `approov.origin`
    pub origin: Option<&'a str>,
    /// `http.request.resend_count`: attempts beyond the first to have it answered by the origin
    pub resends: usize,
    /// `sample_rate`: the line stands for `1 / sample_rate` requests like it; `None` if it stands for
    /// itself
    pub sample_rate: Option<f64>,
}

/// A limit that a request has exceeded.
#[derive(Clone, Copy, Debug)]
pub struct Exceeded<'a> {
    /// `approov.limit`: which kind, as in metrics
    pub cause: &'static str,
    /// `approov.limit_name`: the name of a rate limit
    pub name: Option<&'a str>,
    /// `approov.limit_observed`: the limit is only observed, so the request went on
    pub is_observed: bool,
}

impl Entry<'_> {
    /// The line with its line break, and with the time of this call.
    pub fn to_line(&self) -> Vec<u8> {
        let mut line = Vec::new();
        line::write(self, &mut Clock::default(), &mut line);
        line
    }
}
