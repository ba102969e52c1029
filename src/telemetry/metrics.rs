//! Metrics in the text format of Prometheus. All labels come from closed sets: the configured routes and
//! origins, policies, verdicts, reasons, kinds of failure.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::{GaugeVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

use super::certificates::{CertificateFamilies, ShownCertificate};
use super::configurations::ConfigFamilies;
use super::distribution::OVERHEAD_BUCKETS;
use super::durations::Durations;
use super::fleet::FleetMetrics;
use super::history::{History, Totals, Window};
use super::key_sets::{KeySetFamilies, KeySetMetrics};
use super::limits::{LimitFamilies, LimitState};
use super::origins::{OriginFamilies, OriginMetrics, OriginReport, OriginState};
use super::process::Process;
use super::registered::registered;
use super::route_counts::RouteCounts;
use super::route_metrics::RouteMetrics;
use super::routes::Routes;
use super::text_format::{Histograms, NAMESPACE};
use crate::approov::AppStatus;
use crate::clock;
use crate::limits::{Cause, Outcome};
use crate::policy::Policy;
use crate::tls::Handshake;

/// Every metric family of this process.
pub struct Metrics {
    registry: Registry,
    routes: Routes,
    origins: OriginFamilies,
    key_sets: KeySetFamilies,
    limits: LimitFamilies,
    config: ConfigFamilies,
    certificates: CertificateFamilies,
    process: Process,
    access_log_dropped: IntCounter,
    /// Held while series are replaced by others, and while all are read.
    series: Mutex<()>,
    overhead: Durations,
    tunnels: IntGauge,
    /// One counter for each value.
    app_statuses: [IntCounter; AppStatus::ALL.len()],
    spans: IntCounterVec,
    failover_tokens: IntCounter,
    history: Mutex<History>,
    /// The bytes of the last page, which tell how many the next one takes.
    page_size: AtomicUsize,
}

impl Metrics {
    /// Registers the families.
    ///
    /// # Errors
    /// If two families have the same name, which is a bug in this file.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new_custom(Some(NAMESPACE.into()), None)?;
        let build_info =
            GaugeVec::new(Opts::new("build_info", "1, with the version as a label."), &["version"])?;
        registered(&registry, build_info)?.with_label_values(&[crate::VERSION]).set(1.0);
        let app_statuses = IntCounterVec::new(
            Opts::new("app_statuses_total", "Requests with an Approov-Status header, by its value."),
            &["status"],
        )?;
        let app_statuses = registered(&registry, app_statuses)?;
        let access_log_dropped = IntCounter::new(
            "access_log_dropped_lines_total",
            "Access log lines lost: the reader was too slow, or writing failed.",
        )?;
        let spans = IntCounterVec::new(
            Opts::new("spans_total", "Spans of traced requests, by what became of them."),
            &["result"],
        )?;
        let failover_tokens = IntCounter::new(
            "failover_tokens_total",
            "Accepted tokens of Approov's failover service, without binding and installation key.",
        )?;
        let metrics = Self {
            routes: Routes::new(),
            origins: OriginFamilies::register(&registry)?,
            key_sets: KeySetFamilies::register(&registry)?,
            limits: LimitFamilies::register(&registry)?,
            config: ConfigFamilies::register(&registry)?,
            certificates: CertificateFamilies::register(&registry)?,
            process: Process::new()?,
            access_log_dropped: registered(&registry, access_log_dropped)?,
            series: Mutex::default(),
            overhead: Durations::new(&OVERHEAD_BUCKETS),
            tunnels: registered(&registry, IntGauge::new("tunnels", "Open tunnels (WebSocket).")?)?,
            app_statuses: AppStatus::ALL.map(|status| app_statuses.with_label_values(&[status.label()])),
            spans: registered(&registry, spans)?,
            failover_tokens: registered(&registry, failover_tokens)?,
            history: Mutex::new(History::new(clock::now(), Totals::none())),
            page_size: AtomicUsize::new(0),
            registry,
        };
        // Creates the series, so that they are shown before the first span.
        metrics.spans();
        Ok(metrics)
    }

    /// The counters of one route. A route that the previous configuration had keeps its counts.
    pub fn route(&self, name: &str, policy: Policy) -> Arc<RouteMetrics> {
        self.routes.find(name, policy)
    }

    /// The counters of the origin with this name.
    pub fn origin(&self, name: &str) -> OriginMetrics {
        self.origins.origin(name)
    }

    /// Shows the state of an origin until it is dropped.
    pub fn watch_origin(&self, origin: &Arc<dyn OriginState>) {
        self.origins.watch(origin);
    }

    /// The series of a key set that is fetched.
    pub fn key_set(&self, name: &str) -> KeySetMetrics {
        self.key_sets.key_set(name)
    }

    /// Removes the series of a key set that is no longer configured.
    pub fn forget_key_set(&self, name: &str) {
        self.key_sets.forget(name);
    }

    /// The series of the agreement with other nodes. To be called once.
    ///
    /// # Errors
    /// If it was called before.
    pub fn fleet(&self) -> Result<FleetMetrics, prometheus::Error> {
        FleetMetrics::register(&self.registry)
    }

    /// A token of Approov's failover service was accepted.
    pub fn failover_token(&self) {
        self.failover_tokens.inc();
    }

    /// The counters of exported and lost spans.
    pub fn spans(&self) -> SpanCounters {
        SpanCounters {
            exported: self.spans.with_label_values(&["exported"]),
            dropped: self.spans.with_label_values(&["dropped"]),
        }
    }

    /// Counts a request whose app sent a status.
    pub fn app_status(&self, status: AppStatus) {
        self.app_statuses[status as usize].inc();
    }

    /// A connection or request has exceeded a limit.
    pub fn limited(&self, cause: Cause, outcome: Outcome) {
        self.limits.limited(cause, outcome);
    }

    /// Shows the state of the limits until they are dropped.
    pub fn watch_limits(&self, limits: Weak<dyn LimitState>) {
        self.limits.watch(limits);
    }

    /// Counts a finished TLS handshake of this listener.
    pub fn handshake(&self, listener: &str, result: Handshake) {
        self.certificates.handshake(listener, result);
    }

    /// A client has broken off a handshake after it saw the certificate of this name.
    pub fn certificate_refused(&self, listener: &str, certificate: &str) {
        self.certificates.refused(listener, certificate);
    }

    /// Shows the certificates in use. Of several certificates with one name, the earliest expiry is shown.
    /// Replaces the certificates of the previous call. The handshakes of each public listener are shown from
    /// then on.
    pub fn certificates(&self, certificates: impl IntoIterator<Item = ShownCertificate>) {
        let _series = self.series.lock();
        self.certificates.replace(certificates);
    }

    /// Records the time that the gateway needed for a request before it asked the origin or refused.
    pub fn overhead(&self, time: Duration) {
        self.overhead.record(time);
    }

    /// Counts an open tunnel until the returned value is dropped.
    pub fn open_tunnel(&self) -> OpenTunnel {
        self.tunnels.inc();
        OpenTunnel(self.tunnels.clone())
    }

    /// Records that a configuration has taken effect. `hash` is the hash of its file.
    pub fn config_loaded(&self, hash: &str) {
        let _series = self.series.lock();
        self.config.loaded(hash);
    }

    /// Counts a configuration that was refused.
    pub fn config_refused(&self) {
        self.config.refused();
    }

    /// Takes a sample of the counters. To be called every [`super::SAMPLE_EVERY`]. `lost_lines` is the access
    /// log's count.
    pub fn sample(&self, lost_lines: u64) {
        let totals = self.totals(lost_lines);
        self.history.lock().push(clock::now(), totals);
    }

    /// Remembers the counts of each route. To be called once a minute.
    pub fn remember_routes(&self) {
        self.routes.forget_unused(clock::now());
        self.routes.remember();
    }

    /// The last ten minutes.
    pub fn window(&self, lost_lines: u64) -> Window {
        let totals = self.totals(lost_lines);
        self.history.lock().window(clock::now(), &totals)
    }

    fn totals(&self, lost_lines: u64) -> Totals {
        let mut totals = Totals { lost_lines, ..self.routes.totals() };
        totals.overhead.add(&self.overhead);
        totals
    }

    /// The requests of each route that has had one.
    pub fn routes(&self) -> Vec<RouteCounts> {
        self.routes.forget_unused(clock::now());
        self.routes.counts()
    }

    /// The origins in use.
    pub fn origins(&self) -> Vec<OriginReport> {
        self.origins.reports()
    }

    /// How often each limit was exceeded. Limits that were never exceeded are left out.
    pub fn exceeded(&self) -> Vec<(Cause, Outcome, u64)> {
        self.limits.exceeded()
    }

    /// Every key set: its name, its number of keys, and the Unix time at which it was last fetched; 0 if
    /// it never was.
    pub fn key_sets(&self) -> Vec<(String, i64, i64)> {
        self.key_sets.list()
    }

    /// Listener, name and expiry in Unix time of the certificates in use, the first to expire first.
    pub fn certificate_list(&self) -> Vec<(String, String, i64)> {
        self.certificates.list()
    }

    /// All metrics in version 0.0.4 of the text format. `dropped` is the number of lost lines of the access
    /// log.
    ///
    /// # Errors
    /// If the text cannot be encoded.
    pub fn encode(&self, dropped: u64) -> Result<String, prometheus::Error> {
        self.access_log_dropped.inc_by(dropped.saturating_sub(self.access_log_dropped.get()));
        // The routes come first, since the end of a request is counted there last: what the page has of a request there
        // it also has in the other families.
        let mut page = String::with_capacity(self.page_size.load(Ordering::Relaxed));
        self.routes.write(&mut page);
        let mut families = {
            let _series = self.series.lock();
            self.registry.gather()
        };
        families.extend(self.process.read().gather());
        TextEncoder::new().encode_utf8(&families, &mut page)?;
        let help =
            "The gateway's own share: from the request's header to the refusal, or to asking the origin.";
        Histograms::new(&mut page, "overhead_seconds", help, &OVERHEAD_BUCKETS).series("", &self.overhead);
        // Numbers get longer until the next scrape.
        self.page_size.store(page.len() + page.len() / 16, Ordering::Relaxed);
        Ok(page)
    }
}

/// Counters of spans.
#[derive(Clone)]
pub struct SpanCounters {
    /// The collector has taken the span.
    pub exported: IntCounter,
    /// The span found no room, or the collector did not take it.
    pub dropped: IntCounter,
}

/// Counts as an open tunnel until it is dropped.
pub struct OpenTunnel(IntGauge);

impl Drop for OpenTunnel {
    fn drop(&mut self) {
        self.0.dec();
    }
}
