//! The reference pages say what the code says.
//!
//! `UPDATE_REFERENCE=1 cargo test --test it reference` rewrites the generated pages.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use approov_gateway::approov::Rejection;
use approov_gateway::cli::Arguments;
use approov_gateway::config;
use approov_gateway::limits::Cause;
use approov_gateway::origins::UpstreamErrorKind;
use clap::{Command, CommandFactory};

use crate::harness::tls::{Authority, Identity};
use crate::harness::{Folder, Gateway, Origin, Setup, Then, get, tokens};

fn page(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)
}

fn holds_or_updates(name: &str, expected: &str) {
    let path = page(name);
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        fs::write(&path, expected).unwrap();
    }
    let present = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        present == expected,
        "{} is out of date; run: UPDATE_REFERENCE=1 cargo test --test it reference",
        path.display()
    );
}

/// The part of a page from one heading to the next of the same level.
fn section(name: &str, heading: &str) -> String {
    let text = fs::read_to_string(page(name)).unwrap();
    let (_, after) = text.split_once(&format!("\n## {heading}\n")).unwrap();
    after.split("\n## ").next().unwrap().to_owned()
}

/// The names in the first column of the tables of a section.
fn first_column(section: &str) -> BTreeSet<String> {
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    rows.map(|(name, _)| name.to_owned()).collect()
}

fn set<'l>(labels: impl IntoIterator<Item = &'l str>) -> BTreeSet<String> {
    labels.into_iter().map(str::to_owned).collect()
}

#[test]
fn the_page_of_reasons_has_every_reason_and_no_other() {
    let name = "reference/reasons.md";
    assert_eq!(first_column(&section(name, "Verification")), set(Rejection::ALL.map(Rejection::label)));
    assert_eq!(first_column(&section(name, "Denials")), set(["policy_deny", "limit"]));
    assert_eq!(first_column(&section(name, "Limits")), set(Cause::ALL.map(Cause::label)));
    let kinds = set(UpstreamErrorKind::ALL.map(UpstreamErrorKind::label));
    assert_eq!(first_column(&section(name, "Failures of the origin")), kinds);
}

#[test]
fn troubleshooting_has_an_entry_for_every_reason_and_every_kind_of_failure() {
    let entries = |heading| {
        let section = section("operate/troubleshooting.md", heading);
        let headings = section.lines().filter_map(|line| line.strip_prefix("### "));
        headings.map(str::to_owned).collect::<BTreeSet<_>>()
    };
    assert_eq!(entries("Refused tokens"), set(Rejection::ALL.map(Rejection::label)));
    let kinds = set(UpstreamErrorKind::ALL.map(UpstreamErrorKind::label));
    assert_eq!(entries("Failures of the origin"), kinds);
}

#[test]
fn the_page_of_the_configuration_has_every_key() {
    let head = "# Configuration file\n\n\
        Every key, its type and its default. This page is generated from the declarations in `src/config/sections`; \
        `just reference` rewrites it. `conf/gateway.yaml` is a sample with every key, and `approov-gateway schema` \
        prints a JSON Schema for editors.\n\n\
        An unknown key, a wrong type or a value that cannot be used stops the start. Durations have a unit (`500ms`, \
        `30s`, `2m`, `1h`), sizes may have one (`512`, `16KiB`, `10MiB`, `1GiB`). Relative file names begin at the \
        folder of the file. [Environment variables](environment.md) override the file.\n";
    holds_or_updates("reference/configuration.md", &format!("{head}{}", config::reference()));
}

#[test]
fn the_page_of_the_environment_has_every_variable() {
    let head = "# Environment variables\n\n\
        This page is generated; `just reference` rewrites it.\n\n\
        A variable overrides the [configuration file](configuration.md). Without a file, the environment alone \
        configures one listener, one origin and one route that protects every path. A variable that is set but \
        empty stops the start, and so does an unknown variable whose name begins with `APPROOV_` or `GATEWAY_`. The \
        names that Kubernetes sets for Services, such as `GATEWAY_SERVICE_HOST` and `GATEWAY_PORT_8787_TCP`, are \
        ignored.\n\n";
    holds_or_updates("reference/environment.md", &format!("{head}{}", config::environment_reference()));
}

#[test]
fn the_schema_in_conf_is_the_one_that_is_printed() {
    let schema = format!("{:#}\n", config::schema());
    holds_or_updates("../conf/gateway.schema.json", &schema);
}

#[test]
fn the_page_of_commands_is_their_help() {
    let mut program = Arguments::command().term_width(100);
    program.build();
    let mut text = String::from(
        "# Commands\n\nThis page is the output of `--help`. It is generated; `just reference` rewrites it.\n",
    );
    let mut show = |title: &str, command: &mut Command| {
        let help = command.render_long_help().to_string();
        let help: Vec<&str> = help.lines().map(str::trim_end).collect();
        text += &format!("\n## {title}\n\n```text\n{}\n```\n", help.join("\n").trim_end());
    };
    show("approov-gateway", &mut program);
    for command in program.get_subcommands_mut().filter(|command| !command.is_hide_set()) {
        if command.get_name() != "help" {
            let name = command.get_name().to_owned();
            show(&name, command);
        }
    }
    holds_or_updates("reference/commands.md", &text);
}

/// A gateway that has a series of every metric.
fn gateway_with_every_metric() -> Gateway {
    let folder = Folder::new();
    let origin = Origin::scripted(|exchange| {
        if exchange.request.has("upgrade") {
            exchange.switch_protocols()?;
            return Ok(Then::Close);
        }
        exchange.answer("200 OK", "hello")
    });
    let identity = folder.identity("api", &Identity::new(&Authority::new(), &["api.example.com"]));
    let key_sets = Origin::refusing().url();
    let config = format!(
        "listeners:\n  - {{ address: 127.0.0.1:0 }}\n\
         \x20 - {{ address: 127.0.0.1:0, tls: {{ certificates: [ {} ] }} }}\n\
         approov:\n  keys: [ {{ secret_base64: \"{}\" }}, {{ jwks_uri: \"{key_sets}/keys\" }} ]\n\
         origins: {{ api: {{ domain: \"{}\" }} }}\n\
         routes: [ {{ path: /, message_signing: observe }} ]\n\
         fleet: {{ store: {{ url: \"{}\", key_file: {} }} }}\n",
        identity.replace("api.", &folder.path("api.").display().to_string()),
        tokens::SECRET_BASE64,
        origin.url(),
        Origin::refusing().url().replace("http://", "redis://"),
        folder.write("fleet-key", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=").display(),
    );
    let collector = Origin::refusing().url();
    let setup = Setup::bare().without("GATEWAY_LISTEN").env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector);
    let gateway = setup.config(&config).start();
    assert_eq!(gateway.ask(&get("/")).status, 200);
    assert_eq!(gateway.ask(&get("/").websocket()).status, 101);
    gateway.wait_for_count("approov_gateway_tunnel_duration_seconds_count", &[], 1.0);
    gateway
}

#[test]
fn the_page_of_metrics_has_every_metric() {
    let metrics = gateway_with_every_metric().metrics().text;
    let mut page = String::from(
        "# Metrics\n\nWhat `/metrics` of the admin listener serves. This page is generated; `just reference` \
         rewrites it.\nHow to use it: [Metrics](../operate/metrics.md).\n\n\
         | metric | type | labels | meaning |\n|---|---|---|---|\n",
    );
    let mut rows = BTreeSet::new();
    for family in metrics.split("# HELP ").skip(1) {
        let mut lines = family.lines();
        let (name, meaning) = lines.next().unwrap().split_once(' ').unwrap();
        let kind = lines.next().and_then(|line| line.strip_prefix(&format!("# TYPE {name} "))).unwrap();
        let labels: BTreeSet<String> = lines
            .filter_map(|series| series.split_once('{')?.1.rsplit_once('}'))
            .flat_map(|(labels, _)| labels.split("\",").filter_map(|label| label.split_once("=\"")))
            .map(|(label, _)| format!("`{label}`"))
            .filter(|label| label != "`le`")
            .collect();
        let labels = Vec::from_iter(labels).join(", ");
        let labels = if labels.is_empty() { "–" } else { &labels };
        rows.insert((name, format!("| `{name}` | {kind} | {labels} | {meaning} |\n")));
    }
    page.extend(rows.into_iter().map(|(_, row)| row));
    holds_or_updates("reference/metrics.md", &page);
}

#[test]
fn the_page_of_log_fields_has_every_field_and_no_other() {
    let source = fs::read_to_string(page("../src/telemetry/access_log/line.rs")).unwrap();
    let code = source.split("#[cfg(test)]").next().unwrap().replace("\\\"", "").replace("'\"'", "");
    let is_field = |text: &&str| {
        let is_name = text.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'.'));
        is_name && text.contains('.') && text.len() > 3
            || ["sample_rate", "trace_id", "span_id"].contains(text)
    };
    let fields = code.split('"').skip(1).step_by(2).filter(is_field).chain(["timestamp"]);
    let text = fs::read_to_string(page("reference/log-fields.md")).unwrap();
    assert_eq!(first_column(&text), set(fields));
}
