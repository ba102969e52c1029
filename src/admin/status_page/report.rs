//! What the status page says, as data. `/status.json` is this structure: its names are documented in
//! docs/reference/status.md and stay.

use jiff::Timestamp;
use serde::Serialize;

use super::super::status::{ConfigStatus, Readiness};
use super::keys::{CertificateReport, KeyReport, KeySetReport};
use super::limits::LimitReport;
use super::origins::OriginStatus;
use super::routes::RouteReports;
use super::traffic::TrafficReport;
use crate::clock;
use crate::proxy::Shared;

/// Everything that the status page shows.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct StatusReport {
    pub state: &'static str,
    /// The state in one sentence.
    pub reason: String,
    /// Everything that makes the state `degraded`.
    pub problems: Vec<String>,
    pub time: String,
    pub process: ProcessReport,
    pub config: ConfigReport,
    pub traffic: TrafficReport,
    pub routes: RouteReports,
    pub origins: Vec<OriginStatus>,
    pub limits: LimitReport,
    pub certificates: Vec<CertificateReport>,
    pub keys: Vec<KeyReport>,
    pub key_sets: Vec<KeySetReport>,
    /// The last refusals and failures as lines of the access log, the latest first.
    pub recent: Vec<serde_json::Value>,
}

#[derive(Debug, Serialize)]
pub(in crate::admin) struct ProcessReport {
    pub version: &'static str,
    pub pid: u32,
    pub started: String,
    pub uptime_seconds: i64,
}

#[derive(Debug, Serialize)]
pub(in crate::admin) struct ConfigReport {
    /// The start of the SHA-256 of the configuration file; `None` without a file.
    pub hash: Option<String>,
    pub generation: u64,
    pub taken: Option<String>,
    pub refused: Option<RefusedReport>,
}

/// The last reload, if it was refused.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct RefusedReport {
    pub at: String,
    pub problems: Vec<String>,
}

impl StatusReport {
    /// The state of this process, which has been `started` then.
    pub fn of(readiness: &Readiness, config: &ConfigStatus, shared: &Shared, started: Timestamp) -> Self {
        let now = clock::timestamp();
        let snapshot = shared.snapshot.load();
        let window = shared.metrics.window(shared.access_log.dropped());
        let mut report = Self {
            state: readiness.label(),
            reason: String::new(),
            problems: Vec::new(),
            time: format!("{now:.3}"),
            process: ProcessReport {
                version: crate::VERSION,
                pid: std::process::id(),
                started: format!("{:.3}", started),
                uptime_seconds: now.duration_since(started).as_secs().max(0),
            },
            config: ConfigReport::of(config),
            traffic: TrafficReport::of(&window),
            routes: RouteReports::of(shared.metrics.routes()),
            origins: shared.metrics.origins().into_iter().map(OriginStatus::of).collect(),
            limits: LimitReport::of(shared, now),
            certificates: CertificateReport::all(&shared.metrics, now),
            keys: KeyReport::all(&snapshot),
            key_sets: KeySetReport::all(&shared.metrics, now),
            recent: shared.recent.entries(),
        };
        report.judge();
        report
    }

    /// Finds the problems, and says the state in one sentence.
    fn judge(&mut self) {
        let origins = self.origins.iter().filter_map(OriginStatus::problem);
        let key_sets = self.key_sets.iter().filter_map(KeySetReport::problem);
        let certificates = self.certificates.iter().filter_map(CertificateReport::problem);
        self.problems = origins.chain(key_sets).chain(certificates).collect();
        if self.config.refused.is_some() {
            self.problems.push("the last reload was refused; the configuration before stays in force".into());
        }
        if self.traffic.lost_log_lines > 0 {
            let lost = self.traffic.lost_log_lines;
            self.problems.push(format!("the access log has lost {lost} lines in the last ten minutes"));
        }
        let in_flight = self.limits.requests_in_flight.count;
        (self.state, self.reason) = match self.state {
            "ready" if self.problems.is_empty() => ("serving", self.is_well()),
            "ready" => ("degraded", self.problems[0].clone()),
            "draining" if in_flight == 0 => ("draining", "no request is in flight; this process ends".into()),
            "draining" => {
                ("draining", format!("this process finishes its {in_flight} requests in flight and ends"))
            }
            state => (state, "the listeners are not open yet".into()),
        };
    }

    fn is_well(&self) -> String {
        let addresses: usize = self.origins.iter().map(|origin| origin.addresses.len()).sum();
        match (self.origins.len(), addresses) {
            (1, 1) => "the origin takes requests, and no problem is known".into(),
            (1, addresses) => format!("all {addresses} addresses of the origin take requests"),
            (origins, addresses) => format!("all {addresses} addresses of {origins} origins take requests"),
        }
    }
}

impl ConfigReport {
    fn of(config: &ConfigStatus) -> Self {
        let (generation, in_force) = (config.generation(), config.in_force());
        Self {
            hash: in_force.as_ref().map(|config| config.hash.clone()).filter(|hash| !hash.is_empty()),
            generation,
            taken: in_force.map(|config| format!("{:.3}", config.taken)),
            refused: config.refused().map(|refused| RefusedReport {
                at: format!("{:.3}", refused.at),
                problems: refused.problems.lines().map(str::to_owned).collect(),
            }),
        }
    }
}
