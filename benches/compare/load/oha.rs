//! oha, as a process of its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::super::Result;
use super::super::requests::Request;
use super::super::tls::NAME;
use super::{Percentiles, Seen, Target};

/// What it reports.
pub struct Report {
    /// How often each status came.
    pub statuses: BTreeMap<String, u64>,
    /// How often what else came of a request.
    pub errors: BTreeMap<String, u64>,
    pub elapsed: Duration,
    /// Not numbers where no answer came.
    pub latencies: Percentiles,
    /// The longest that an answer took, in seconds.
    pub slowest: f64,
}

/// Sends for `seconds`, and fails where an answer is not the expected one.
pub fn run(oha: &Path, target: Target<'_>, request: &Request, seconds: f64) -> Result<Seen> {
    let report = read(start(oha, target, request, &for_seconds(seconds))?)?;
    let status = request.status.to_string();
    let requests = report.statuses.get(&status).copied().unwrap_or_default();
    if requests == 0 || report.statuses.len() > 1 || !report.errors.is_empty() {
        let Report { statuses, errors, .. } = report;
        return Err(format!("expected {status} only, got {statuses:?} and errors {errors:?}").into());
    }
    let Report { elapsed, latencies, .. } = report;
    Ok(Seen { requests, elapsed, latencies, keeps_up: true })
}

/// Sends once; the status of the answer.
pub fn ask(oha: &Path, target: Target<'_>, request: &Request) -> Result<u16> {
    let target = Target { connections: 1, ..target };
    let report = read(start(oha, target, request, &["-n".into(), "1".into()])?)?;
    match report.statuses.keys().next() {
        Some(status) => Ok(status.parse()?),
        None => Err(format!("no answer: {:?}", report.errors).into()),
    }
}

/// The arguments that say how long to send.
pub fn for_seconds(seconds: f64) -> [String; 2] {
    ["-z".into(), format!("{}ms", (seconds * 1e3) as u64)]
}

/// Starts it; `length` says how long it sends.
pub fn start(oha: &Path, target: Target<'_>, request: &Request, length: &[String]) -> Result<Child> {
    let mut command = Command::new(oha);
    command.args(["--no-tui", "--output-format", "json", "--disable-compression"]);
    // What is due at the deadline is waited for, so that every request has its answer.
    command.arg("-w").args(length);
    command.args(["-c", &target.connections.to_string(), "-m", request.method]);
    if let Some(streams) = target.streams {
        command.args(["--http2", "-p", &streams.to_string()]);
    }
    for (name, value) in &request.headers {
        command.args(["-H", &format!("{name}: {value}")]);
    }
    if !request.body.is_empty() {
        command.args(["-d", std::str::from_utf8(&request.body)?]);
    }
    if let Some(certificate) = target.tls {
        let (ip, port) = (target.address.ip(), target.address.port());
        command.args(["--connect-to", &format!("{NAME}:443:{ip}:{port}")]);
        command.arg("--cacert").arg(certificate.place());
        command.arg(format!("https://{NAME}{}", request.path));
    } else {
        command.args(["--host", NAME]).arg(format!("http://{}{}", target.address, request.path));
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(command.spawn()?)
}

/// Waits for its end and reads its report.
pub fn read(oha: Child) -> Result<Report> {
    let output = oha.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let report: Value = serde_json::from_str(&text)
        .map_err(|error| format!("oha said no JSON: {error}: {}", String::from_utf8_lossy(&output.stderr)))?;
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    let counts = |name: &str| -> Result<BTreeMap<String, u64>> {
        serde_json::from_value(report[name].clone()).map_err(|error| format!("oha's {name}: {error}").into())
    };
    let (summary, percentiles) = (&report["summary"], &report["latencyPercentiles"]);
    Ok(Report {
        statuses: counts("statusCodeDistribution")?,
        errors: counts("errorDistribution")?,
        elapsed: Duration::try_from_secs_f64(number(&summary["total"]))?,
        latencies: Percentiles {
            p50: number(&percentiles["p50"]),
            p99: number(&percentiles["p99"]),
            p999: number(&percentiles["p99.9"]),
        },
        slowest: number(&summary["slowest"]),
    })
}
