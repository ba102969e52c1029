//! Metrics in Prometheus' text format. All labels come from closed sets: routes and origins of
//! the configuration, policies, verdicts, reasons, kinds of failure.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts,
    Registry, TextEncoder,
};

use super::origins::{OriginFamilies, OriginMetrics, OriginState};
use crate::approov::Rejection;
use crate::policy::Policy;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Verified and forwarded.
    Accepted,
    /// Refused for want of a good token.
    Rejected,
    /// Verified and forwarded whatever was found.
    Observed,
    /// Forwarded without verification.
    Open,
    /// Refused whatever its token: by policy, without a route, or malformed.
    Denied,
}

impl Verdict {
    const COUNT: usize = 5;

    /// The label in metrics and logs.
    pub fn label(self) -> &'static str {
        match self {
            Verdict::Accepted => "accepted",
            Verdict::Rejected => "rejected",
            Verdict::Observed => "observed",
            Verdict::Open => "open",
            Verdict::Denied => "denied",
        }
    }
}

/// The label of a reason; `ok` where verification found nothing wrong or was not asked for.
pub fn reason_label(rejection: Option<Rejection>) -> &'static str {
    rejection.map_or("ok", Rejection::label)
}

/// How an origin failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamErrorKind {
    /// Its name has no address.
    Resolve,
    /// None of its addresses can be asked.
    AllDown,
    /// Too many requests wait for it.
    QueueFull,
    /// A request has waited for it too long.
    QueueTimeout,
    /// No connection.
    Connect,
    /// No connection in time.
    ConnectTimeout,
    /// No TLS session: handshake, certificate or name.
    Tls,
    /// Nothing came in time.
    ReadTimeout,
    /// Nothing was taken in time.
    WriteTimeout,
    /// The connection ended early.
    Closed,
    /// What came was not HTTP.
    InvalidResponse,
    /// Anything else.
    Other,
}

impl UpstreamErrorKind {
    /// The label in metrics and logs.
    pub fn label(self) -> &'static str {
        match self {
            UpstreamErrorKind::Resolve => "resolve",
            UpstreamErrorKind::AllDown => "all_down",
            UpstreamErrorKind::QueueFull => "queue_full",
            UpstreamErrorKind::QueueTimeout => "queue_timeout",
            UpstreamErrorKind::Connect => "connect",
            UpstreamErrorKind::ConnectTimeout => "connect_timeout",
            UpstreamErrorKind::Tls => "tls",
            UpstreamErrorKind::ReadTimeout => "read_timeout",
            UpstreamErrorKind::WriteTimeout => "write_timeout",
            UpstreamErrorKind::Closed => "closed",
            UpstreamErrorKind::InvalidResponse => "invalid_response",
            UpstreamErrorKind::Other => "other",
        }
    }
}

/// How a TLS handshake with a client ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// With a new session.
    Full,
    /// With one from before.
    Resumed,
    /// Not at all.
    Failed,
    /// Not in time.
    TimedOut,
}

impl Handshake {
    /// The label in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Handshake::Full => "full",
            Handshake::Resumed => "resumed",
            Handshake::Failed => "failed",
            Handshake::TimedOut => "timed_out",
        }
    }
}

/// Seconds; from a refusal to a slow origin.
const DURATION_BUCKETS: [f64; 15] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Every metric family of the process.
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    durations: HistogramVec,
    origins: OriginFamilies,
    config_reloads: IntCounterVec,
    config_last_reload_success: Gauge,
    access_log_dropped: IntGauge,
    handshakes: IntCounterVec,
    certificate_expiry: GaugeVec,
}

impl Metrics {
    /// Registers the families.
    ///
    /// # Errors
    /// When two families have one name: a fault of this file.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new_custom(Some("approov_gateway".into()), None)?;
        let metrics = Self {
            origins: OriginFamilies::register(&registry)?,
            registry,
            requests: IntCounterVec::new(
                Opts::new("requests_total", "Requests answered, by route, policy, verdict and reason."),
                &["route", "policy", "verdict", "reason"],
            )?,
            durations: HistogramVec::new(
                HistogramOpts::new(
                    "request_duration_seconds",
                    "Time from the request's header to the response's end.",
                )
                .buckets(DURATION_BUCKETS.to_vec()),
                &["route"],
            )?,
            config_reloads: IntCounterVec::new(
                Opts::new("config_reloads_total", "Configurations loaded or refused since the start."),
                &["result"],
            )?,
            config_last_reload_success: Gauge::new(
                "config_last_reload_success",
                "Unix time of the last configuration that was taken.",
            )?,
            access_log_dropped: IntGauge::new(
                "access_log_dropped_lines",
                "Access log lines dropped because standard output was not read fast enough.",
            )?,
            handshakes: IntCounterVec::new(
                Opts::new("tls_handshakes_total", "TLS handshakes with clients, by listener and result."),
                &["listener", "result"],
            )?,
            certificate_expiry: GaugeVec::new(
                Opts::new(
                    "certificate_expiry_timestamp_seconds",
                    "Unix time at which a listener's certificate expires.",
                ),
                &["listener", "certificate"],
            )?,
        };
        let build_info =
            GaugeVec::new(Opts::new("build_info", "1, with the version as a label."), &["version"])?;
        build_info.with_label_values(&[crate::VERSION]).set(1.0);
        metrics.registry.register(Box::new(metrics.requests.clone()))?;
        metrics.registry.register(Box::new(metrics.durations.clone()))?;
        metrics.registry.register(Box::new(metrics.config_reloads.clone()))?;
        metrics.registry.register(Box::new(metrics.config_last_reload_success.clone()))?;
        metrics.registry.register(Box::new(metrics.access_log_dropped.clone()))?;
        metrics.registry.register(Box::new(metrics.handshakes.clone()))?;
        metrics.registry.register(Box::new(metrics.certificate_expiry.clone()))?;
        metrics.registry.register(Box::new(build_info))?;
        for result in ["success", "failure"] {
            metrics.config_reloads.with_label_values(&[result]);
        }
        Ok(metrics)
    }

    /// The counters of one route, found once and then incremented without a lookup.
    pub fn route(&self, name: &str, policy: Policy) -> RouteMetrics {
        RouteMetrics {
            route: name.into(),
            policy,
            requests: self.requests.clone(),
            cells: std::iter::repeat_with(OnceLock::new).take(Verdict::COUNT * REASONS).collect(),
            durations: self.durations.with_label_values(&[name]),
        }
    }

    /// The counters of one origin.
    pub fn origin(&self, name: &str) -> OriginMetrics {
        self.origins.origin(name)
    }

    /// Shows the state of an origin for as long as it lives.
    pub fn watch_origin(&self, origin: &Arc<dyn OriginState>) {
        self.origins.watch(origin);
    }

    /// A TLS handshake with a client of this listener has ended.
    pub fn handshake(&self, listener: &str, result: Handshake) {
        self.handshakes.with_label_values(&[listener, result.label()]).inc();
    }

    /// The certificates in use, each with its listener, its name and its expiry in Unix time; of
    /// several with one name the first to expire counts. Those told before are forgotten.
    pub fn certificates(&self, certificates: impl IntoIterator<Item = (String, String, i64)>) {
        let mut first = BTreeMap::new();
        for (listener, name, expiry) in certificates {
            let first = first.entry((listener, name)).or_insert(expiry);
            *first = expiry.min(*first);
        }
        self.certificate_expiry.reset();
        for ((listener, name), expiry) in first {
            self.certificate_expiry.with_label_values(&[&*listener, &*name]).set(expiry as f64);
        }
    }

    /// A configuration was taken.
    pub fn config_loaded(&self) {
        self.config_reloads.with_label_values(&["success"]).inc();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.config_last_reload_success.set(now.as_secs_f64());
    }

    /// A configuration was refused.
    pub fn config_refused(&self) {
        self.config_reloads.with_label_values(&["failure"]).inc();
    }

    /// Everything in Prometheus' text format 0.0.4. `dropped` is the access log's count.
    ///
    /// # Errors
    /// When the text cannot be encoded.
    pub fn encode(&self, dropped: u64) -> Result<String, prometheus::Error> {
        self.access_log_dropped.set(i64::try_from(dropped).unwrap_or(i64::MAX));
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

const REASONS: usize = Rejection::ALL.len() + 1;

/// The counters of one route.
pub struct RouteMetrics {
    route: Box<str>,
    policy: Policy,
    requests: IntCounterVec,
    /// One for each verdict and reason, looked up at its first use.
    cells: Box<[OnceLock<IntCounter>]>,
    durations: Histogram,
}

impl RouteMetrics {
    /// Counts a finished request.
    pub fn record(&self, verdict: Verdict, rejection: Option<Rejection>, duration: Duration) {
        let reason = rejection.map_or(0, |rejection| rejection as usize + 1);
        self.cells[verdict as usize * REASONS + reason]
            .get_or_init(|| {
                self.requests.with_label_values(&[
                    &*self.route,
                    self.policy.label(),
                    verdict.label(),
                    reason_label(rejection),
                ])
            })
            .inc();
        self.durations.observe(duration.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verdict_and_reason_has_a_counter_of_its_own() {
        let metrics = Metrics::new().expect("names are unique");
        let route = metrics.route("/v1/", Policy::Protect);
        route.record(Verdict::Accepted, None, Duration::from_millis(3));
        let mut rejected = 0;
        for rejection in Rejection::ALL {
            for _ in 0..=rejection as usize {
                route.record(Verdict::Rejected, Some(rejection), Duration::ZERO);
            }
            rejected += 1;
        }
        assert_eq!(rejected, 18);
        let text = metrics.encode(0).expect("encodes");
        for rejection in Rejection::ALL {
            let line = format!(
                "approov_gateway_requests_total{{policy=\"protect\",reason=\"{}\",route=\"/v1/\",verdict=\"rejected\"}} {}\n",
                rejection.label(),
                rejection as usize + 1
            );
            assert!(text.contains(&line), "{line}{text}");
        }
    }
}
