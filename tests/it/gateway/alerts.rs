//! Alert rules and dashboard: they name metrics that exist, and each alert has an entry for operators.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::harness::{Origin, gateway_before, has_program};

/// The names of metrics in the rules, without the suffixes of histograms.
fn metrics(rules: &str) -> BTreeSet<String> {
    let words = rules.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let names = words.filter(|word| word.starts_with("approov_gateway_") || word.starts_with("process_"));
    names.map(|name| name.trim_end_matches("_bucket").to_owned()).collect()
}

#[test]
fn every_metric_of_rules_and_dashboard_exists() {
    let rules = fs::read_to_string("packaging/prometheus/alerts.yaml").unwrap()
        + &fs::read_to_string("packaging/grafana/approov-gateway.json").unwrap();
    let gateway = gateway_before(&Origin::new());
    let text = gateway.metrics().text;
    let names = metrics(&rules);
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        // Only a listener with TLS has certificates.
        if name != "approov_gateway_certificate_expiry_timestamp_seconds" {
            assert!(text.contains(&format!("\n# TYPE {name} ")), "{name}");
        }
    }
}

#[test]
fn promtool_accepts_metrics_and_rules() {
    if !has_program("promtool") {
        return;
    }
    let check = Command::new("packaging/prometheus/check").output().unwrap();
    assert!(check.status.success(), "{check:?}");
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    gateway.assert_serves(&origin);
    let text = gateway.metrics().text;
    let mut promtool =
        Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).spawn().unwrap();
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(promtool.wait().unwrap().success());
}

#[test]
fn every_alert_has_an_entry_for_operators_and_a_test() {
    let rules = fs::read_to_string("packaging/prometheus/alerts.yaml").unwrap();
    let tests = fs::read_to_string("packaging/prometheus/alerts_test.yaml").unwrap();
    let page = fs::read_to_string("docs/operate/troubleshooting.md").unwrap();
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert_eq!(alerts.len(), 14);
    for alert in alerts {
        assert!(page.contains(&format!("\n### {alert}\n")), "{alert}");
        assert!(rules.contains(&format!("troubleshooting.md#{}\n", alert.to_lowercase())), "{alert}");
        assert!(tests.contains(&format!("alertname: {alert}\n")), "{alert}");
    }
}
