//! oha, as a process of its own.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::super::Result;
use super::super::requests::Request;
use super::{Percentiles, Seen, Target};

/// Runs oha and reads its report.
pub fn run(oha: &Path, target: Target, request: &Request, seconds: f64) -> Result<Seen> {
    let mut command = Command::new(oha);
    command.args(["--no-tui", "--output-format", "json", "--disable-compression", "-w"]);
    // What is due at the deadline is waited for, so that every request has its answer.
    command.args(["-z", &format!("{}ms", (seconds * 1e3) as u64)]);
    command.args(["-c", &target.connections.to_string(), "-m", request.method]);
    command.args(["--host", "api.example.com"]);
    for (name, value) in &request.headers {
        command.args(["-H", &format!("{name}: {value}")]);
    }
    if !request.body.is_empty() {
        command.args(["-d", std::str::from_utf8(&request.body)?]);
    }
    command.arg(format!("http://{}{}", target.address, request.path));
    let output = command.stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let report: Value = serde_json::from_str(&text)
        .map_err(|error| format!("oha said no JSON: {error}: {}", String::from_utf8_lossy(&output.stderr)))?;

    let status = request.status.to_string();
    let statuses = report["statusCodeDistribution"].as_object();
    let expected = statuses.filter(|all| all.keys().eq([&status]));
    let count = expected.and_then(|all| all[&status].as_u64());
    let has_errors = report["errorDistribution"].as_object().is_none_or(|errors| !errors.is_empty());
    let (Some(requests), false) = (count, has_errors) else {
        return Err(format!(
            "expected {status} only, got {} and errors {}",
            report["statusCodeDistribution"], report["errorDistribution"]
        )
        .into());
    };
    let number = |value: &Value| value.as_f64().ok_or("oha's report lacks a number");
    let percentiles = &report["latencyPercentiles"];
    Ok(Seen {
        requests,
        elapsed: Duration::from_secs_f64(number(&report["summary"]["total"])?),
        latencies: Percentiles {
            p50: number(&percentiles["p50"])?,
            p99: number(&percentiles["p99"])?,
            p999: number(&percentiles["p99.9"])?,
        },
        keeps_up: true,
    })
}
