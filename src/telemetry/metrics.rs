//! Metrics in Prometheus' text format. All labels come from closed sets: routes and origins of
//! the configuration, policies, verdicts, reasons, kinds of failure.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use prometheus::{Gauge, GaugeVec, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

use super::limits::{LimitFamilies, LimitState, Outcome};
use super::origins::{OriginFamilies, OriginMetrics, OriginState};
use super::route_metrics::{RouteMetrics, Routes};
use crate::approov::Rejection;
use crate::limits::Cause;
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
    /// Every verdict, in the order in which they are declared.
    pub const ALL: [Verdict; 5] =
        [Verdict::Accepted, Verdict::Rejected, Verdict::Observed, Verdict::Open, Verdict::Denied];

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

/// Every metric family of the process.
pub struct Metrics {
    registry: Registry,
    routes: Routes,
    origins: OriginFamilies,
    limits: LimitFamilies,
    config_reloads: IntCounterVec,
    config_last_reload_success: IntGauge,
    config_last_reload_success_timestamp: Gauge,
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
            routes: Routes::new(&registry)?,
            origins: OriginFamilies::register(&registry)?,
            limits: LimitFamilies::register(&registry)?,
            registry,
            config_reloads: IntCounterVec::new(
                Opts::new("config_reloads_total", "Configurations loaded or refused since the start."),
                &["result"],
            )?,
            config_last_reload_success: IntGauge::new(
                "config_last_reload_success",
                "1 if the last configuration was taken, 0 if it was refused.",
            )?,
            config_last_reload_success_timestamp: Gauge::new(
                "config_last_reload_success_timestamp_seconds",
                "Unix time at which the configuration in force was taken.",
            )?,
            access_log_dropped: IntGauge::new(
                "access_log_dropped_lines",
                "Access log lines lost: they were not taken fast enough, or not at all.",
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
        metrics.registry.register(Box::new(metrics.config_reloads.clone()))?;
        metrics.registry.register(Box::new(metrics.config_last_reload_success.clone()))?;
        metrics.registry.register(Box::new(metrics.config_last_reload_success_timestamp.clone()))?;
        metrics.registry.register(Box::new(metrics.access_log_dropped.clone()))?;
        metrics.registry.register(Box::new(metrics.handshakes.clone()))?;
        metrics.registry.register(Box::new(metrics.certificate_expiry.clone()))?;
        metrics.registry.register(Box::new(build_info))?;
        for result in ["success", "failure"] {
            metrics.config_reloads.with_label_values(&[result]);
        }
        Ok(metrics)
    }

    /// The counters of one route. They go on where the configuration before had the route as well.
    pub fn route(&self, name: &str, policy: Policy) -> Arc<RouteMetrics> {
        self.routes.find(name, policy)
    }

    /// The counters of one origin.
    pub fn origin(&self, name: &str) -> OriginMetrics {
        self.origins.origin(name)
    }

    /// Shows the state of an origin for as long as it lives.
    pub fn watch_origin(&self, origin: &Arc<dyn OriginState>) {
        self.origins.watch(origin);
    }

    /// A connection or request has exceeded a limit.
    pub fn limited(&self, cause: Cause, outcome: Outcome) {
        self.limits.limited(cause, outcome);
    }

    /// Shows the state of the limits for as long as they live.
    pub fn watch_limits(&self, limits: Weak<dyn LimitState>) {
        self.limits.watch(limits);
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
        self.config_last_reload_success.set(1);
        self.config_last_reload_success_timestamp.set(now.as_secs_f64());
        self.routes.forget_unused(Instant::now());
    }

    /// A configuration was refused.
    pub fn config_refused(&self) {
        self.config_reloads.with_label_values(&["failure"]).inc();
        self.config_last_reload_success.set(0);
    }

    /// Everything in Prometheus' text format 0.0.4. `dropped` is the access log's count.
    ///
    /// # Errors
    /// When the text cannot be encoded.
    pub fn encode(&self, dropped: u64) -> Result<String, prometheus::Error> {
        self.routes.forget_unused(Instant::now());
        self.access_log_dropped.set(i64::try_from(dropped).unwrap_or(i64::MAX));
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}
