//! Requests, errors, refusals and latency of the last ten minutes.

use serde::Serialize;

use crate::telemetry::{SAMPLE_EVERY, Totals, Window};

#[derive(Debug, Serialize)]
pub(in crate::admin) struct TrafficReport {
    /// The length of the time that the figures are of: at most ten minutes.
    pub window_seconds: u64,
    pub requests: u64,
    /// Responses with a status of 500 or above.
    pub server_errors: u64,
    pub refused: u64,
    pub lost_log_lines: u64,
    /// From the head of the request to the end of the response.
    pub latency_seconds: Quantiles,
    /// The gateway's own share: to the refusal, or to asking the origin.
    pub own_share_seconds: Quantiles,
    /// The length of each of `parts` but the last.
    pub part_seconds: u64,
    /// The parts of the window, the oldest first.
    pub parts: Vec<TrafficPart>,
}

/// Estimates from the buckets of the histograms; `None` without requests.
#[derive(Clone, Copy, Debug, Serialize)]
pub(in crate::admin) struct Quantiles {
    pub p50: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(in crate::admin) struct TrafficPart {
    pub requests: u64,
    pub server_errors: u64,
    pub refused: u64,
}

impl TrafficReport {
    pub fn of(window: &Window) -> Self {
        let sum = &window.sum;
        let part = |totals: &Totals| TrafficPart {
            requests: totals.requests,
            server_errors: totals.server_errors,
            refused: totals.refused,
        };
        Self {
            window_seconds: window.length.as_secs(),
            requests: sum.requests,
            server_errors: sum.server_errors,
            refused: sum.refused,
            lost_log_lines: sum.lost_lines,
            latency_seconds: quantiles(|quantile| sum.duration(quantile)),
            own_share_seconds: quantiles(|quantile| sum.own_share(quantile)),
            part_seconds: SAMPLE_EVERY.as_secs(),
            parts: window.parts.iter().map(part).collect(),
        }
    }
}

/// Rounded to microseconds: the estimates are no better.
fn quantiles(of: impl Fn(f64) -> Option<f64>) -> Quantiles {
    let rounded = |quantile| of(quantile).map(|seconds| (seconds * 1e6).round() / 1e6);
    Quantiles { p50: rounded(0.5), p95: rounded(0.95), p99: rounded(0.99) }
}
